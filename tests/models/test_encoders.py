"""Encoders: whose preprocessing they share, which weights they take, and what of them is trained."""

import keras
import numpy as np
import pytest

from tfcap import registry
from tfcap.errors import InputError
from tfcap.models.build import build_captioner, build_encoder
from tfcap.settings import Settings

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, [2, SIZE, SIZE, 3]).astype(np.uint8)


@pytest.fixture(scope="module")
def mobilenet_weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.weights.h5"
    keras.utils.set_random_seed(0)
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)).save_weights(path)
    return path


@pytest.fixture(scope="module")
def bare():
    """Encoders made without their backbone: what is asked of them does not need it."""

    def make(name):
        encoder = registry.ENCODERS[name].__new__(registry.ENCODERS[name])
        keras.Model.__init__(encoder)
        return encoder

    return make


@pytest.mark.parametrize(
    ("name", "reference"),
    [("resnet50", keras.applications.resnet50), ("mobilenet_v2", keras.applications.mobilenet_v2)],
)
def test_preprocessing_is_that_of_keras_applications(bare, name, reference):
    expected = reference.preprocess_input(IMAGES.astype(np.float32))
    np.testing.assert_allclose(bare(name).preprocess(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenet_v2", "small_resnet"])
def test_features_have_the_width_that_the_encoder_says(name):
    encoder = registry.ENCODERS[name]("none", SIZE)
    features = encoder(encoder.preprocess(IMAGES))
    assert features.shape == (2, encoder.feature_size)
    assert np.isfinite(features).all() and np.ptp(np.asarray(features), axis=0).max() > 0


def _layers(encoder):
    return [type(layer).__name__ for layer in encoder.backbone.layers]


@pytest.mark.slow
def test_resnet50_from_a_random_start_has_no_batch_normalization():
    layers = _layers(registry.ENCODERS["resnet50"]("none", SIZE))
    assert "BatchNormalization" not in layers and layers.count("GroupNormalization") == 53


def test_mobilenet_from_a_random_start_has_no_batch_normalization():
    layers = _layers(registry.ENCODERS["mobilenet_v2"]("none", SIZE))
    assert "BatchNormalization" not in layers and layers.count("GroupNormalization") == 52


def test_every_normaliser_has_groups_that_divide_its_channels():
    """And the network computes: a pass through all of it is finite."""
    encoder = registry.ENCODERS["mobilenet_v2"]("none", SIZE)
    assert np.isfinite(encoder(encoder.preprocess(IMAGES))).all()


def test_weights_of_a_file_are_the_file_s(mobilenet_weights):
    encoder = registry.ENCODERS["mobilenet_v2"](str(mobilenet_weights), SIZE)
    reference = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    reference.load_weights(mobilenet_weights)
    expected = reference(keras.applications.mobilenet_v2.preprocess_input(IMAGES.astype(np.float32)), training=False)
    np.testing.assert_allclose(encoder(encoder.preprocess(IMAGES)), np.mean(expected, axis=(1, 2)), atol=1e-5)


def test_pretrained_batch_normalisation_stays_in_inference_mode(mobilenet_weights):
    """An image's features depend neither on its neighbours nor on training."""
    encoder = registry.ENCODERS["mobilenet_v2"](str(mobilenet_weights), SIZE)
    encoder.trainable = True
    before = [variable.numpy() for variable in encoder.non_trainable_variables]
    together = encoder(encoder.preprocess(IMAGES), training=True)
    alone = encoder(encoder.preprocess(IMAGES[:1]))
    np.testing.assert_allclose(together[:1], alone, atol=1e-5)
    for variable, value in zip(encoder.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_the_real_weights_load_and_see_the_same_as_keras(shared_weights):
    path = shared_weights / "mobilenet_v2_1.0_224_no_top.weights.h5"
    encoder = registry.ENCODERS["mobilenet_v2"](str(path), 96)
    images = np.random.default_rng(0).integers(0, 256, [2, 96, 96, 3]).astype(np.uint8)
    reference = keras.applications.MobileNetV2(
        include_top=False, weights=str(path), input_shape=(96, 96, 3), pooling="avg"
    )
    expected = reference(keras.applications.mobilenet_v2.preprocess_input(images.astype(np.float32)), training=False)
    np.testing.assert_allclose(encoder(encoder.preprocess(images)), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("absent.weights.h5", "weights are missing.*absent.weights.h5.*imagenet, none or a .weights.h5 file"),
        ("weights.pt", "unknown format.*weights.pt.*a .h5 or .weights.h5 file"),
        ("text.weights.h5", "does not hold the weights of MobileNetV2"),
        ("other.weights.h5", "does not hold the weights of MobileNetV2"),
    ],
)
def test_weights_that_cannot_be_used_are_an_error_that_says_why(tmp_path, monkeypatch, weights, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"torch")
    (tmp_path / "text.weights.h5").write_bytes(b"not HDF5")
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(InputError, match=words):
        registry.ENCODERS["mobilenet_v2"](weights, SIZE)


@pytest.mark.slow
def test_weights_of_another_architecture_are_refused(mobilenet_weights):
    with pytest.raises(InputError, match="does not hold the weights of ResNet50"):
        registry.ENCODERS["resnet50"](str(mobilenet_weights), SIZE)


def test_imagenet_weights_that_cannot_be_downloaded_are_an_error_with_a_way_out(monkeypatch):
    def fails(**_):
        raise Exception("URL fetch failure on https://example.com: None -- no network")  # what keras.utils raises

    monkeypatch.setattr(keras.applications, "MobileNetV2", fails)
    fails.__name__ = "MobileNetV2"
    with pytest.raises(InputError, match="ImageNet weights of MobileNetV2.*--encoder_weights=FILE.h5.*none"):
        registry.ENCODERS["mobilenet_v2"]("imagenet", SIZE)


def test_small_resnet_has_no_pretrained_weights():
    with pytest.raises(InputError, match="small_resnet has no pretrained weights.*imagenet"):
        registry.ENCODERS["small_resnet"]("imagenet", SIZE)


def test_the_hash_names_every_weight():
    encoder = registry.ENCODERS["small_resnet"]("none", 16)
    before = encoder.weights_hash()
    assert encoder.weights_hash() == before
    last = encoder.weights[-1]
    value = last.numpy()
    value.flat[-1] += 1e-3
    last.assign(value)
    assert encoder.weights_hash() != before


# From settings.


def _settings(**changes):
    small = {"image_size": 16, "units": 4, "embedding_size": 3, "progress": False}
    return Settings().replace(**{**small, **changes}).resolve()


def test_a_frozen_encoder_is_not_trained(mobilenet_weights):
    weights = {"encoder": "mobilenet_v2", "encoder_weights": str(mobilenet_weights), "image_size": 32}
    frozen = build_captioner(_settings(**weights), vocabulary_size=9)
    assert not [v.path for v in frozen.trainable_variables if "encoder" in v.path]
    assert len(frozen.trainable_variables) == 8
    trained = build_captioner(_settings(**weights, freeze_encoder=False), vocabulary_size=9)
    assert len(trained.trainable_variables) > 100


def test_initial_weights_depend_on_the_seed_alone():
    def weights(**changes):
        keras.random.normal([3])  # whatever was drawn before
        return [v.numpy() for v in build_captioner(_settings(**changes), 9).trainable_variables]

    first, again, other = weights(seed=1), weights(seed=1), weights(seed=2)
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(first, other, strict=True))


def test_a_given_encoder_is_shared():
    encoder = build_encoder(_settings())
    assert build_captioner(_settings(), 9, encoder).encoder is encoder
