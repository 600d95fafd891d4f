"""Encoders: whose preprocessing they share, which weights they take, and what of them is trained."""

import hashlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from tfcap import registry
from tfcap.errors import InputError
from tfcap.models import encoders
from tfcap.models.build import build_captioner, build_encoder
from tfcap.settings import Settings

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, [2, SIZE, SIZE, 3]).astype(np.uint8)


def tiny(include_top: bool, weights: None, input_shape: tuple[int, int, int]) -> keras.Model:
    """What stands in for an architecture of keras.applications where only the handling of its weights is tested."""
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(8, 3, strides=4, name="conv")(inputs)
    x = keras.layers.ReLU(name="relu")(keras.layers.BatchNormalization(name="norm")(x))
    return keras.Model(inputs, x, name="tiny")


class Tiny(encoders._Pretrained):
    SMALLEST_SIDE = 1

    def _architecture(self):
        return tiny

    def preprocess(self, images):
        return ops.cast(images, "float32") / 255.0


@pytest.fixture(scope="module")
def tiny_reference():
    """A `tiny` whose every weight is random, statistics of the normalisation included."""
    model = tiny(False, None, (SIZE, SIZE, 3))
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def tiny_weights(tiny_reference, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.weights.h5"
    tiny_reference.save_weights(path)
    return path


@pytest.fixture(scope="module")
def mobilenet_from_scratch():
    return registry.ENCODERS["mobilenet_v2"]("none", SIZE)


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
    [
        ("resnet50", keras.applications.resnet50),
        ("vgg19", keras.applications.vgg19),
        ("mobilenet_v2", keras.applications.mobilenet_v2),
    ],
)
def test_preprocessing_is_that_of_keras_applications(bare, name, reference):
    expected = reference.preprocess_input(IMAGES.astype(np.float32))
    np.testing.assert_allclose(bare(name).preprocess(IMAGES), expected, atol=1e-5)


def test_small_resnet_tells_left_from_right():
    encoder = registry.ENCODERS["small_resnet"]("none", SIZE)
    features = np.asarray(encoder(encoder.preprocess(IMAGES)))
    mirrored = np.asarray(encoder(encoder.preprocess(IMAGES[:, :, ::-1])))
    assert features.shape == (2, encoder.feature_size)
    assert np.abs(features - mirrored).max() > 0.1


@pytest.mark.parametrize("name", ["small_resnet", "tiny"])
def test_regions_are_the_places_of_what_is_pooled_or_flattened_without_them(name, tiny_weights):
    def encoder(regions):
        keras.utils.set_random_seed(0)
        if name == "tiny":
            return Tiny(str(tiny_weights), SIZE, regions)
        return registry.ENCODERS[name]("none", SIZE, regions)

    whole, regions = (np.asarray(made(made.preprocess(IMAGES))) for made in (encoder(False), encoder(True)))
    assert regions.shape[1] > 1 and regions.shape[-1] == encoder(True).feature_size
    expected = regions.mean(axis=1) if name == "tiny" else regions.reshape(len(IMAGES), -1)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    assert encoder(False).weights_hash() != encoder(True).weights_hash()


def _layers(encoder):
    return [type(layer).__name__.lstrip("_") for layer in encoder.backbone.layers]


@pytest.mark.slow
def test_resnet50_from_a_random_start_has_no_batch_normalization():
    encoder = registry.ENCODERS["resnet50"]("none", SIZE)
    assert "BatchNormalization" not in _layers(encoder) and _layers(encoder).count("GroupNormalization") == 53
    assert encoder(encoder.preprocess(IMAGES)).shape == (2, encoder.feature_size) == (2, 2048)


def test_mobilenet_from_a_random_start_has_no_batch_normalization(mobilenet_from_scratch):
    layers = _layers(mobilenet_from_scratch)
    assert "BatchNormalization" not in layers and layers.count("GroupNormalization") == 52


def test_mobilenet_from_a_random_start_computes(mobilenet_from_scratch):
    features = np.asarray(mobilenet_from_scratch(mobilenet_from_scratch.preprocess(IMAGES)))
    assert features.shape == (2, mobilenet_from_scratch.feature_size) == (2, 1280)
    assert np.isfinite(features).all() and np.ptp(features, axis=0).max() > 0


def test_group_normalisation_stands_where_batch_normalisation_stood():
    assert _layers(Tiny("none", SIZE)) == ["InputLayer", "Conv2D", "GroupNormalization", "ReLU"]


def test_weights_of_a_file_are_the_file_s(tiny_weights, tiny_reference):
    encoder = Tiny(str(tiny_weights), SIZE)
    expected = tiny_reference(IMAGES / np.float32(255), training=False)
    np.testing.assert_allclose(encoder(encoder.preprocess(IMAGES)), np.mean(expected, axis=(1, 2)), atol=1e-5)


def test_pretrained_batch_normalisation_stays_in_inference_mode(tiny_weights):
    """An image's features depend neither on its neighbours nor on training, and its statistics stay."""
    encoder = Tiny(str(tiny_weights), SIZE)
    encoder.trainable = True
    before = [variable.numpy() for variable in encoder.non_trainable_variables]
    together = encoder(encoder.preprocess(IMAGES), training=True)
    np.testing.assert_allclose(together[:1], encoder(encoder.preprocess(IMAGES[:1])), atol=1e-5)
    assert len(before) == 2
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


@pytest.fixture(scope="module")
def vgg19_weights(tmp_path_factory):
    """A file of VGG-19's weights as they are drawn, and the model that has them."""
    keras.utils.set_random_seed(1)
    model = keras.applications.VGG19(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    path = tmp_path_factory.mktemp("weights") / "vgg19.weights.h5"
    model.save_weights(path)
    return path, model


def test_vgg19_sees_what_keras_applications_see(vgg19_weights):
    path, model = vgg19_weights
    images = np.random.default_rng(0).integers(0, 256, [2, 64, 64, 3]).astype(np.uint8)
    expected = model(keras.applications.vgg19.preprocess_input(images.astype(np.float32)), training=False)
    whole, regions = (registry.ENCODERS["vgg19"](str(path), 64, attention) for attention in (False, True))
    assert np.abs(expected).max() > 1e-3 and whole.feature_size == 512
    np.testing.assert_allclose(whole(whole.preprocess(images)), expected, rtol=1e-4, atol=1e-6)
    found = np.asarray(regions(regions.preprocess(images)))
    assert found.shape == (2, 4, 512)
    np.testing.assert_allclose(found.mean(axis=1), expected, rtol=1e-4, atol=1e-6)


def test_vgg19_from_a_random_start_is_as_published():
    encoder = registry.ENCODERS["vgg19"]("none", SIZE)
    assert _layers(encoder).count("Conv2D") == 16 and set(_layers(encoder)) == {"InputLayer", "Conv2D", "MaxPooling2D"}


@pytest.mark.parametrize(("name", "title"), [("vgg19", "VGG19"), ("resnet50", "ResNet50")])
@pytest.mark.parametrize("weights", ["none", "imagenet", "absent.weights.h5"])
def test_pictures_that_are_too_small_are_refused_before_any_weight_is_read(name, title, weights):
    with pytest.raises(InputError, match=f"{title} needs larger pictures.*--image_size=16. Expected: at least 32"):
        registry.ENCODERS[name](weights, 16)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("absent.weights.h5", "weights are missing.*absent.weights.h5.*imagenet, none or a .weights.h5 file"),
        ("weights.pt", "unknown format.*weights.pt.*a .h5 or .weights.h5 file"),
        ("text.weights.h5", "does not hold the weights of tiny"),
        ("cut.weights.h5", "does not hold the weights of tiny"),
        ("other.weights.h5", "does not hold the weights of tiny"),
        ("wider.weights.h5", "does not hold the weights of tiny"),
    ],
)
def test_weights_that_cannot_be_used_are_an_error_that_says_why(tmp_path, monkeypatch, tiny_weights, weights, words):
    monkeypatch.chdir(tmp_path)
    Path("weights.pt").write_bytes(b"torch")
    Path("text.weights.h5").write_bytes(b"not HDF5")
    Path("cut.weights.h5").write_bytes(tiny_weights.read_bytes()[:-2000])
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights("other.weights.h5")
    wider = [keras.Input((SIZE, SIZE, 3)), keras.layers.Conv2D(9, 3), keras.layers.BatchNormalization()]
    keras.Sequential(wider).save_weights("wider.weights.h5")
    with pytest.raises(InputError, match=words):
        Tiny(weights, SIZE)


@pytest.mark.slow
def test_weights_of_another_architecture_are_refused(tmp_path):
    keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)).save_weights(
        tmp_path / "mobilenet.weights.h5"
    )
    with pytest.raises(InputError, match="does not hold the weights of ResNet50"):
        registry.ENCODERS["resnet50"](str(tmp_path / "mobilenet.weights.h5"), SIZE)


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


def test_features_of_low_precision_have_a_hash_of_their_own_and_those_of_float32_the_one_they_had():
    exact = registry.ENCODERS["small_resnet"]("none", 16)
    named = hashlib.sha256(b"SmallResNet" + b"".join(variable.numpy().tobytes() for variable in exact.weights))
    assert exact.weights_hash() == named.hexdigest()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        mixed = registry.ENCODERS["small_resnet"]("none", 16)
    finally:
        keras.config.set_dtype_policy("float32")
    mixed.set_weights(exact.get_weights())
    assert mixed.weights_hash() != exact.weights_hash()


# From settings.


def _settings(**changes):
    small = {"image_size": 16, "units": 4, "embedding_size": 3, "progress": False}
    return Settings().replace(**{**small, **changes}).resolve()


def test_a_frozen_encoder_is_not_trained(tiny_weights, monkeypatch):
    monkeypatch.setitem(registry.ENCODERS._targets, "tiny", "tests.models.test_encoders:Tiny")
    weights = {"encoder": "tiny", "encoder_weights": str(tiny_weights)}
    frozen = build_captioner(_settings(**weights), vocabulary_size=9)
    decoder = [variable.path for variable in frozen.trainable_variables]
    assert len(decoder) == 8 and not [path for path in decoder if "conv" in path or "norm" in path]
    trained = build_captioner(_settings(**weights, freeze_encoder=False), vocabulary_size=9)
    paths = [variable.path for variable in trained.trainable_variables]
    assert sorted(set(paths) - set(decoder)) == ["conv/bias", "conv/kernel", "norm/beta", "norm/gamma"]


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


def test_features_are_of_regions_or_of_the_whole_image_as_a_decoder_wants_them():
    of_regions, of_images = np.arange(12.0).reshape(2, 3, 2), np.arange(4.0).reshape(2, 2)
    np.testing.assert_array_equal(encoders.as_regions(of_regions), of_regions)
    np.testing.assert_array_equal(encoders.as_regions(of_images), [[[0, 1]], [[2, 3]]])
    np.testing.assert_array_equal(encoders.as_one_vector(of_regions), [[2, 3], [8, 9]])
    np.testing.assert_array_equal(encoders.as_one_vector(of_images), of_images)
