"""The student: unit vectors of one space, the scale of their products, and what of it is trained."""

import math

import keras
import numpy as np
import pytest

from tests.models.toy_vit import SIDE, write_vit
from tests.training.toy import SIDE as TOY_SIDE
from tests.training.toy import ToyEncoder
from tfcap.data.text import WordTokenizer
from tfcap.models.small_text import SmallText
from tfcap.models.student import JointStudent, Student, with_low_rank
from tfcap.models.vit import Vit

D, E, P = 3, 4, 5
RNG = np.random.default_rng(0)
IMAGES, TEXTS = RNG.normal(size=(6, D)).astype(np.float32), RNG.normal(size=(7, E)).astype(np.float32)
PIXELS = RNG.integers(0, 256, (2, TOY_SIDE, TOY_SIDE, 3)).astype(np.float32)


def _student(encoder=None, dtype="float32"):
    keras.utils.set_random_seed(1)
    student = Student(encoder.feature_size if encoder else D, E, P, 0.07, encoder, dtype)
    for layer in (student.of_images, student.of_texts):
        layer.bias.assign(RNG.normal(size=P))
    return student


def _projected(vectors, layer):
    found = vectors @ layer.kernel.numpy() + layer.bias.numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_vectors_are_the_projections_at_length_one():
    student = _student()
    images, texts = student({"images": IMAGES, "texts": TEXTS})
    np.testing.assert_allclose(images, _projected(IMAGES, student.of_images), rtol=1e-5)
    np.testing.assert_allclose(texts, _projected(TEXTS, student.of_texts), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-6)


def test_the_scale_is_the_exponential_of_what_is_learnt_and_at_most_100():
    student = _student()
    assert float(student.scale()) == pytest.approx(1 / 0.07)
    student.log_scale.assign(math.log(7))
    assert float(student.scale()) == pytest.approx(7)
    student.log_scale.assign(math.log(1000))
    assert float(student.scale()) == pytest.approx(100)


def test_weights_and_vectors_have_the_dtype_that_is_asked_for():
    student = _student(dtype="float64")
    found = student({"images": IMAGES.astype("float64"), "texts": TEXTS.astype("float64")})
    assert {variable.dtype for variable in student.variables} == {"float64"}
    assert {vectors.dtype.name for vectors in found} == {"float64"}


def test_each_parameter_is_of_the_image_of_the_text_or_the_scale():
    student = _student(ToyEncoder())
    of = dict(zip((variable.path for variable in student.trainable_variables), student.modalities(), strict=True))
    assert of == {
        "student/log_scale": "scale",
        "dense/kernel": "image",
        "dense/bias": "image",
        "image_projection/kernel": "image",
        "image_projection/bias": "image",
        "text_projection/kernel": "text",
        "text_projection/bias": "text",
    }


def test_features_are_taken_as_they_are_and_pixels_go_through_the_encoder():
    alone = _student()
    assert alone.features(IMAGES) is IMAGES
    encoder = ToyEncoder()
    student = _student(encoder)
    weights = [value.numpy() for value in encoder.trainable_variables]
    features = np.tanh((PIXELS / 127.5 - 1).reshape(len(PIXELS), -1) @ weights[0] + weights[1])
    np.testing.assert_allclose(student.features(PIXELS), features, atol=1e-6)
    np.testing.assert_allclose(student.image_vectors(PIXELS), _projected(features, student.of_images), atol=1e-6)


def test_low_rank_pairs_alone_are_trained_and_change_nothing_at_first(tmp_path):
    encoder = Vit(str(write_vit(tmp_path / "vit")), SIDE, False)
    pictures = RNG.integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float32)
    before = encoder(encoder.preprocess(pictures)).numpy()
    student = _student(with_low_rank(encoder, rank=2))
    np.testing.assert_array_equal(student.features(pictures), before)

    trained = student.trainable_variables
    of = dict(zip(map(id, trained), student.modalities(), strict=True))
    own = encoder.trainable_variables
    assert len(trained) == 5 + len(own)  # beside the projections and the scale
    places = sorted(variable.path.split("/")[-3] for variable in own)
    assert places == ["query"] * 4 + ["value"] * 4  # two blocks, of each a pair
    assert {of[id(variable)] for variable in own} == {"image"}
    for variable in own:
        variable.assign(RNG.normal(size=variable.shape))
    assert np.abs(student.features(pictures) - before).max() > 0.1


def _joint():
    words = SmallText(WordTokenizer(["<pad>", "<begin>", "<end>", "<unk>", "red", "blue"], max_tokens=6), seed=0)
    return JointStudent(D, words, P, 0.07), words


def test_a_joint_student_projects_what_its_text_encoder_makes_of_tokens():
    student, words = _joint()
    tokens = words.tokens(["red blue", "blue", "red red red"])
    np.testing.assert_allclose(
        student.text_vectors(tokens), _projected(words(tokens).numpy(), student.of_texts), atol=1e-6
    )


def test_a_joint_student_trains_its_text_encoder_which_is_of_the_text():
    student, words = _joint()
    of = dict(zip(map(id, student.trainable_variables), student.modalities(), strict=True))
    assert words.trainable_variables
    assert {of[id(variable)] for variable in words.trainable_variables} == {"text"}
    assert [of[id(variable)] for variable in student.of_images.trainable_variables] == ["image", "image"]
