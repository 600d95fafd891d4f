"""ResNet-18 for small pictures: its size, its norms, how its strides lie, what it refuses; PyTorch: tests/parity."""

import keras
import numpy as np
import pytest

from tfcap import registry
from tfcap.errors import InputError
from tfcap.models.batch_norm import BatchNorm, moving_statistics
from tfcap.models.build import build_captioner
from tfcap.models.classifier import Classifier
from tfcap.models.resnet_cifar import ResNet18Cifar
from tfcap.settings import Settings

SIDE, B = 16, 3
IMAGES = np.random.default_rng(0).integers(0, 256, [B, SIDE, SIDE, 3]).astype(np.uint8)


def _features(encoder, images, training):
    return np.asarray(encoder(encoder.preprocess(images), training=training))


@pytest.fixture
def narrow():
    keras.utils.set_random_seed(0)
    return ResNet18Cifar("none", SIDE, width=2)


def test_the_published_width_has_11_173_962_parameters_with_ten_classes():
    model = Classifier(ResNet18Cifar("none", 32), classes=10)
    assert model.encoder.feature_size == 512
    assert model.parameters_trained == 11_173_962
    moving = moving_statistics(model)
    assert len(moving) == 2 * 20 and sum(int(np.prod(variable.shape)) for variable in moving) == 2 * 4800


def test_norm_and_width_of_the_settings_reach_it():
    said = {"model": "classifier", "image_size": SIDE, "width": 8, "norm": "group"}
    encoder = build_captioner(Settings().replace(**said).resolve(), 3).encoder
    assert encoder.feature_size == 64
    kinds = {type(layer) for layer in encoder.backbone.layers if layer.name.endswith("_norm")}
    assert kinds == {keras.layers.GroupNormalization}
    usual = registry.ENCODERS["resnet18_cifar"]("none", SIDE, width=1).backbone.layers
    assert {type(layer) for layer in usual if layer.name.endswith("_norm")} == {BatchNorm}


def test_by_batch_an_image_s_features_in_training_are_of_its_batch(narrow):
    whole = _features(narrow, IMAGES, True)
    assert np.abs(whole[:2] - _features(narrow, IMAGES[:2], True)).max() > 0.01
    np.testing.assert_allclose(_features(narrow, IMAGES, False)[:2], _features(narrow, IMAGES[:2], False), atol=1e-5)


def test_by_group_they_are_its_own_and_nothing_moves():
    keras.utils.set_random_seed(0)
    encoder = ResNet18Cifar("none", SIDE, width=8, norm="group")
    assert not encoder.non_trainable_variables and not moving_statistics(encoder)
    whole = _features(encoder, IMAGES, True)
    np.testing.assert_allclose(whole, _features(encoder, IMAGES, False), atol=1e-6)
    np.testing.assert_allclose(whole[:1], _features(encoder, IMAGES[:1], True), atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def test_frozen_it_stays_in_evaluation_mode(narrow):
    before = _features(narrow, IMAGES, False)
    narrow.trainable = False
    np.testing.assert_allclose(_features(narrow, IMAGES, True), before, atol=1e-6)
    assert not moving_statistics(narrow)


def test_every_second_pixel_is_the_middle_of_a_strided_convolution_from_the_first_on(narrow):
    """As with PyTorch's padding=1; Keras' "same" would begin with the second."""
    layers = [narrow.backbone.get_layer(f"stage1_block0_first_{part}") for part in ("padding", "conv")]
    kernel = np.zeros(layers[1].kernel.shape, np.float32)
    kernel[1, 1] = np.eye(2, 4)
    layers[1].kernel.assign(kernel)
    x = np.random.default_rng(0).normal(size=[1, SIDE, SIDE, 2]).astype(np.float32)
    np.testing.assert_allclose(layers[1](layers[0](x))[..., :2], x[:, ::2, ::2])
    shortcut = narrow.backbone.get_layer("stage1_block0_shortcut_conv")
    shortcut.kernel.assign(kernel[1:2, 1:2])
    np.testing.assert_allclose(shortcut(x)[..., :2], x[:, ::2, ::2])


@pytest.mark.parametrize("side", [8, 15, 16])
def test_each_stage_but_the_first_halves_the_side(side):
    found = ResNet18Cifar("none", side, width=1).backbone
    sides = [found.get_layer(f"stage{stage}_block1_relu2").output.shape[1] for stage in range(4)]
    assert sides == [side, -(-side // 2), -(-side // 4), -(-side // 8)]


@pytest.mark.parametrize(
    ("arguments", "named", "words"),
    [
        (("imagenet", SIDE), {}, "no pretrained weights"),
        (("none", 7), {}, "larger pictures"),
        (("none", SIDE), {"norm": "group", "width": 12}, "a multiple of 8"),
    ],
)
def test_what_it_cannot_be_made_of_is_refused(arguments, named, words):
    with pytest.raises(InputError, match=words):
        ResNet18Cifar(*arguments, **named)


def test_any_width_goes_with_batch_normalisation():
    assert ResNet18Cifar("none", SIDE, width=3).feature_size == 24
