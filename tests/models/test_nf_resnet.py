"""NF-ResNets: the variance of signals, gradients of gradients, and which weights they take; PyTorch: tests/parity."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from tfcap import registry
from tfcap.errors import InputError
from tfcap.models.nf_blocks import OF_RELU, StandardisedConvolution
from tfcap.models.nf_resnet import NF_RESNET_50, SMALL, NFResNet, NFResNet50, NFShape
from tfcap.models.weight_table import tensors_of
from tfcap.scoring.rules import RULES
from tfcap.scoring.taps import rules_for
from tfcap.settings import Settings

SIDE = 16
DEEP = NFShape((32, 3, 1.0), False, (64, 128), (8, 8), 2, means=False)
TOY = NFShape((8, 7, OF_RELU), True, (16, 24), (2, 1), 4, means=True)


class Toy(NFResNet50):
    SHAPE = TOY


def _noise(side=SIDE, count=64, seed=0):
    return np.random.default_rng(seed).normal(size=(count, side, side, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(0)
    return registry.ENCODERS["nf_resnet_small"]("none", SIDE)


@pytest.mark.parametrize("shape", [SMALL, DEEP], ids=["small", "deep"])
def test_at_the_start_a_signal_has_the_variance_that_its_block_expects(shape):
    keras.utils.set_random_seed(0)
    network = NFResNet(shape)
    signal, expected = network.stem(_noise(32)), []
    for block in network.blocks:
        np.testing.assert_allclose(np.var(signal), block.expected_variance, rtol=0.2)
        expected.append(block.expected_variance)
        signal = block(signal)
    # It begins anew behind the first block of each stage, and each block adds 0.2 squared.
    assert expected[0] == 1 and expected[1:] == pytest.approx(
        [1.04 + 0.04 * index for depth in shape.depths for index in range(depth)][: len(expected) - 1]
    )


def test_a_kernel_has_mean_0_and_the_variance_of_its_fan_in_whatever_its_weights_are():
    layer = StandardisedConvolution(8, 3, gamma=1.0)
    x = _noise(8, 2)
    before = np.asarray(layer(x))
    layer.kernel.assign(7 * layer.kernel.numpy() + 5)
    np.testing.assert_allclose(layer(x), before, atol=1e-3)  # but for the epsilon
    np.testing.assert_allclose(layer(x + 3)[:, 1:-1, 1:-1], before[:, 1:-1, 1:-1], atol=1e-3)
    layer.gain.assign(2 * layer.gain.numpy())
    np.testing.assert_allclose(layer(x), 2 * before, atol=2e-3)


def _after_a_step(encoder, target, variables, images):
    """How far features are from a target after one step of gradient descent on the images."""
    rate = 0.05

    def features(weights):
        return encoder.stateless_call(weights, [], encoder.preprocess(images))[0]

    with tf.GradientTape() as tape:
        tape.watch(variables)
        loss = tf.reduce_mean(tf.square(features(variables) - target))
    gradients = tape.gradient(loss, variables)
    assert all(gradient is not None for gradient in gradients)
    moved = [one - rate * gradient for one, gradient in zip(variables, gradients, strict=True)]
    return tf.reduce_mean(tf.square(features(moved) - target))


def _gradient_through_a_step(encoder, images):
    target = tf.constant(np.random.default_rng(1).normal(size=(len(images), encoder.feature_size)).astype(np.float32))
    variables = [tf.convert_to_tensor(variable.value) for variable in encoder.trainable_variables]

    def gradient(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            loss = _after_a_step(encoder, target, variables, images)
        return loss, tape.gradient(loss, images)

    return gradient, lambda images: _after_a_step(encoder, target, variables, images)


@pytest.mark.parametrize("name", ["nf_resnet_small", pytest.param("toy", id="with the pools of nf_resnet50")])
def test_pixels_have_a_gradient_through_a_training_step_and_xla_compiles_it(name):
    """As trajectories are matched: a gradient of gradients, here held against differences along a direction."""
    keras.utils.set_random_seed(0)
    encoder = Toy("none", SIDE) if name == "toy" else registry.ENCODERS[name]("none", SIDE)
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, [3, SIDE, SIDE, 3]).astype(np.float32))
    gradient, loss = _gradient_through_a_step(encoder, images)
    _, eager = gradient(images)
    _, compiled = tf.function(gradient, jit_compile=True)(images)
    assert np.isfinite(compiled).all()
    np.testing.assert_allclose(compiled, eager, atol=1e-3 * np.abs(eager).max())
    along = eager / tf.norm(eager)
    step = 0.02  # of the whole image, in 0 to 255: no ReLU passes its corner
    difference = (loss(images + step * along) - loss(images - step * along)) / (2 * step)
    assert float(difference) == pytest.approx(float(tf.norm(eager)), rel=0.01) and float(difference) > 1e-6


@pytest.mark.parametrize("regions", [False, True])
def test_features_are_the_mean_of_the_regions(regions):
    keras.utils.set_random_seed(0)
    encoder = Toy("none", 40, regions)
    found, last_map = np.asarray(encoder(_noise(40, 2))), np.asarray(encoder.backbone(_noise(40, 2)))
    assert last_map.shape == (2, 5, 5, 24) and last_map.min() == 0 and encoder.feature_size == 24
    expected = last_map.reshape(2, 25, 24) if regions else last_map.mean(axis=(1, 2))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_small_one_is_small(small):
    assert 300_000 < small.count_params() < 500_000 and small.feature_size == 256
    for side, places in ((16, 1), (64, 16)):
        assert registry.ENCODERS["nf_resnet_small"]("none", side, True)(_noise(side, 1)).shape == (1, places, 256)


def test_the_scores_that_have_no_rule_for_it_say_so_by_name(small):
    with pytest.raises(InputError, match="no rule.*stages_0_0/conv1.*gradient_norm_fallback=instantiate"):
        rules_for(small, RULES, None)


def test_mixed_precision_is_near_the_exact_features():
    keras.utils.set_random_seed(0)
    exact = Toy("none", SIDE)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = Toy("none", SIDE)
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    mixed.set_weights(exact.get_weights())
    expected, found = (np.asarray(tf.cast(one(_noise()), "float32")) for one in (exact, mixed))
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def _write(folder, made, **config):
    head = {"head.fc.weight": np.zeros([10, 24], np.float32), "head.fc.bias": np.zeros(10, np.float32)}
    save_file({**tensors_of(made.backbone.rows()), **head}, folder / "model.safetensors")
    said = {"architecture": "nf_resnet50", "pretrained_cfg": {"mean": [0.485, 0.456, 0.406]}, **config}
    (folder / "config.json").write_text(json.dumps(said), encoding="utf-8")
    return str(folder)


def test_weights_are_read_from_a_folder_of_timm_s_and_others_are_refused(tmp_path):
    made = Toy("none", SIDE)
    for variable in made.weights:
        variable.assign(variable.numpy() + np.random.default_rng(0).normal(scale=0.3, size=variable.shape))
    read = Toy(_write(tmp_path, made), SIDE)
    assert read.weights_hash() == made.weights_hash() != Toy("none", SIDE).weights_hash()
    for config, words in (
        ({"architecture": "nf_resnet26"}, "no nf_resnet50 of timm.*'nf_resnet26'"),
        ({"pretrained_cfg": {"std": [0.5, 0.5, 0.5]}}, "0.5.*0.229"),
    ):
        with pytest.raises(InputError, match=words):
            Toy(_write(tmp_path, made, **config), SIDE)
    with pytest.raises(InputError, match="another model.*missing: stages.0.2"):
        registry.ENCODERS["nf_resnet50"](_write(tmp_path, made), SIDE)
    with pytest.raises(InputError, match="nf_resnet_small has no pretrained weights.*imagenet"):
        registry.ENCODERS["nf_resnet_small"]("imagenet", SIDE)


@pytest.mark.slow
def test_nf_resnet50_is_what_its_name_says():
    made = registry.ENCODERS["nf_resnet50"]("none", 64)
    assert made.count_params() == 23_508_032  # timm's, less its classifier
    network = made.backbone
    signal = network.stem(_noise(64, 8))
    for block in network.blocks:
        before, expected = np.var(signal), block.expected_variance
        signal = block(signal)
        if block.shortcut is None:
            assert np.var(signal) == pytest.approx(before + 0.04 * before / expected, rel=0.1)
    assert NF_RESNET_50.widths[-1] == made.feature_size == 2048


def test_by_itself_the_small_one_starts_at_random_on_small_pictures_and_the_large_one_needs_weights():
    names = ("encoder_weights", "image_size", "freeze_encoder")
    small = Settings().replace(dataset="flickr8k", encoder="nf_resnet_small").resolve()
    assert tuple(map(small.get, names)) == ("none", 64, False)
    with pytest.raises(InputError, match="--encoder_weights is missing.*--encoder=nf_resnet50.*or none"):
        Settings().replace(encoder="nf_resnet50").resolve()
    large = Settings().replace(encoder="nf_resnet50", encoder_weights="folder").resolve()
    assert tuple(map(large.get, names)) == ("folder", 224, True)
