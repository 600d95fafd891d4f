"""The classifier: a captioner of one word, whose probabilities are a softmax of one layer over the features."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.toy import FEATURES, WORDS, ToyEncoder, classes, classifier
from tfcap.data.text import PAD
from tfcap.errors import InputError
from tfcap.models.build import build_captioner
from tfcap.models.classifier import Classifier
from tfcap.models.generation import Decoding
from tfcap.settings import Settings

B = 5
VECTORS = np.random.default_rng(0).normal(size=[B, FEATURES]).astype(np.float32)
RIGHT = np.array([[0], [6], [3], [0], [2]], np.int32)


@pytest.fixture
def model():
    return classifier()


def _log_probs(model, features=VECTORS):
    kernel, bias = (variable.numpy().astype(np.float64) for variable in model.class_logits.trainable_variables)
    logits = features @ kernel + bias
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def _losses(model, tokens=RIGHT, **more):
    losses, mask = model({"features": tf.constant(VECTORS), "tokens": tf.constant(tokens)}, **more)
    return losses.numpy(), mask.numpy()


def test_log_probabilities_are_the_log_softmax_of_one_layer(model):
    found = model.log_probs(tf.constant(VECTORS)).numpy()
    assert found.shape == (B, WORDS) and found.dtype == np.float32
    np.testing.assert_allclose(found, _log_probs(model), rtol=1e-5)
    assert model.logits_layer is model.class_logits and model.class_logits.kernel.shape == (FEATURES, WORDS)


def test_regions_count_by_their_mean(model):
    regions = np.random.default_rng(1).normal(size=[B, 4, FEATURES]).astype(np.float32)
    np.testing.assert_allclose(model.log_probs(tf.constant(regions)), _log_probs(model, regions.mean(1)), rtol=1e-4)


def test_the_loss_is_the_cross_entropy_of_the_right_class_of_which_0_is_one(model):
    losses, mask = _losses(model)
    np.testing.assert_allclose(losses[:, 0], -_log_probs(model)[np.arange(B), RIGHT[:, 0]], rtol=1e-5)
    assert losses.shape == mask.shape == (B, 1) and (mask == 1).all()


def test_in_scoring_a_picture_has_one_caption_of_one_word(model):
    losses, mask = _losses(model, RIGHT[:, None])
    assert losses.shape == mask.shape == (B, 1, 1)
    np.testing.assert_array_equal(losses[:, 0], _losses(model)[0])
    found = model({"features": tf.constant(VECTORS), "tokens": tf.constant(RIGHT[:, None])}, predictions=True)
    assert found[2].shape == (B, 1, 1, WORDS)
    np.testing.assert_allclose(found[2][:, 0, 0], _log_probs(model), rtol=1e-5)
    np.testing.assert_array_equal(found[3], RIGHT[:, None])


def test_where_there_is_no_class_there_is_no_loss(model):
    tokens = RIGHT.copy()
    tokens[1] = PAD
    losses, mask = _losses(model, tokens)
    assert mask[:, 0].tolist() == [1, 0, 1, 1, 1] and losses[1] == 0
    np.testing.assert_array_equal(losses[[0, 2, 3, 4]], _losses(model)[0][[0, 2, 3, 4]])


def test_label_smoothing_is_of_training_alone(model):
    expected = _losses(model)[0][:, 0]
    model.label_smoothing = 0.2
    np.testing.assert_array_equal(_losses(model)[0][:, 0], expected)
    smoothed = 0.8 * expected - 0.2 * _log_probs(model).mean(-1)
    np.testing.assert_allclose(_losses(model, training=True)[0][:, 0], smoothed, rtol=1e-5)


@pytest.mark.parametrize("decoding", [Decoding(), Decoding(beams=3, length_penalty=2.0)])
def test_it_names_the_likeliest_class_and_its_log_probability(model, decoding):
    tokens, scores = model.generate(tf.constant(VECTORS), 1, decoding)
    assert tokens.shape == (B, 1) and tokens.dtype == tf.int32 and scores.dtype == tf.float32
    expected = _log_probs(model)
    assert len(set(expected.argmax(-1).tolist())) > 1
    np.testing.assert_array_equal(tokens[:, 0], expected.argmax(-1))
    np.testing.assert_allclose(scores, expected.max(-1), rtol=1e-5)


def test_pictures_and_their_features_are_named_alike(model):
    inputs = {name: tf.constant(array) for name, array in classes(B).items()}
    features = model.encode(inputs["images"])
    losses, _ = model(inputs)
    np.testing.assert_allclose(
        losses[:, 0], -_log_probs(model, features.numpy())[np.arange(B), inputs["tokens"][:, 0]], rtol=1e-5
    )
    del inputs["images"]
    np.testing.assert_array_equal(model({**inputs, "features": features})[0], losses)


def test_its_features_are_those_of_the_encoder_in_the_mode_that_is_asked():
    model, images = classifier(norm=True), tf.constant(classes(B)["images"])
    prepared = model.encoder.preprocess(images)
    np.testing.assert_array_equal(model.encode(images), model.encoder.backbone(prepared, training=False))
    by_batch = model.encode(images, training=True).numpy()
    gamma, beta = (model.encoder.backbone.get_layer("norm").get_weights()[i] for i in (0, 1))
    np.testing.assert_allclose(by_batch.mean(0), beta, atol=1e-5)
    np.testing.assert_allclose(by_batch.std(0), np.abs(gamma), rtol=1e-2)


def test_the_settings_make_it_of_as_many_classes_as_there_are_names():
    said = {"model": "classifier", "image_size": 16, "width": 1, "label_smoothing": 0.25}
    model = build_captioner(Settings().replace(**said).resolve(), 4)
    assert isinstance(model, Classifier) and model.label_smoothing == 0.25
    assert model.class_logits.kernel.shape == (8, 4)
    assert model.parameters_trained == sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def test_it_has_no_form_at_hugging_face():
    with pytest.raises(InputError, match="no form at Hugging Face for this captioner. Received: Classifier"):
        Classifier(ToyEncoder(), classes=2).hugging_face()
