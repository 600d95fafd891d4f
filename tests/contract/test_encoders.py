"""What every image encoder promises. A new encoder is a new row of ROWS; every test below then runs over it.

That its weights are those of a file, and what is said of files that do not fit, is tested in tests/models.
"""

import functools
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_clip import write_clip
from tests.models.toy_vit import write_vit
from tests.toy_checkpoints import write_git
from tfcap import registry
from tfcap.models.encoders import Encoder

SIZE, B = 32, 3
IMAGES = np.random.default_rng(0).integers(0, 256, [B, SIZE, SIZE, 3]).astype(np.uint8)
# What --encoder_weights says, or makes it say for an encoder that has no random start; seconds of building are slow.
ROWS: dict[str, str | Callable[..., str]] = {
    "resnet50": "none",
    "vgg19": "none",
    "mobilenet_v2": "none",
    "small_resnet": "none",
    "clip_vit_b32": "none",
    "clip_vit": lambda folder: str(write_clip(folder, side=SIZE)),
    "vit_b16": "none",
    "vit": lambda folder: str(write_vit(folder, image_size=SIZE)),
    "git_vit": lambda folder: str(write_git(folder, image_size=SIZE)),
    "nf_resnet50": "none",
    "nf_resnet_small": "none",
    "resnet18_cifar": "none",
}
SLOW = {"resnet50", "nf_resnet50"}

every = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in ROWS]
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Callable[..., Encoder]:
    """Makes an encoder once, with regions or without."""

    @functools.cache
    def make(name: str, regions: bool = False) -> Encoder:
        weights = ROWS[name] if isinstance(ROWS[name], str) else ROWS[name](tmp_path_factory.mktemp("weights") / name)
        return registry.ENCODERS[name](weights, SIZE, regions)

    return make


def test_every_registered_encoder_has_a_row():
    assert set(ROWS) == set(registry.ENCODERS)


@every
@pytest.mark.parametrize("regions", [False, True])
def test_features_are_as_wide_as_it_says_and_of_one_image_each(made, name, regions):
    encoder = made(name, regions)
    found = np.asarray(encoder(encoder.preprocess(IMAGES)))
    assert encoder.regions == regions and found.dtype == np.float32 and np.isfinite(found).all()
    assert found.shape[0] == B and found.shape[-1] == encoder.feature_size and found.ndim == (3 if regions else 2)
    np.testing.assert_allclose(encoder(encoder.preprocess(IMAGES[1:2])), found[1:2], atol=1e-4)
    assert np.abs(found[0] - found[1]).max() > 1e-5


@every
def test_pixels_between_whole_numbers_count_and_pass_a_gradient_on(made, name):
    """Distilled images are float32, of 0 to 255 and, while they are learnt, a little beyond."""
    encoder = made(name)
    np.testing.assert_allclose(encoder.preprocess(IMAGES.astype(np.float32)), encoder.preprocess(IMAGES), atol=1e-5)
    values = np.array([-20, 0.2, 100.7, 254.9, 300], np.float32)
    pixels = tf.constant(np.broadcast_to(values[:, None, None, None], [5, SIZE, SIZE, 3]))
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        prepared = encoder.preprocess(pixels)
    gradient = np.asarray(tape.gradient(prepared, pixels))
    rises = np.diff(np.asarray(prepared)[:, 0, 0], axis=0) / np.diff(values)[:, None]
    assert (gradient > 0).all() and np.ptp(gradient, axis=(0, 1, 2)).max() < 1e-6
    np.testing.assert_allclose(np.sort(rises), np.sort(gradient[:4, 0, 0]), rtol=1e-3)


@every
def test_its_hash_is_of_every_weight_and_of_the_regions(made, name):
    encoder = made(name)
    before = encoder.weights_hash()
    assert encoder.weights_hash() == before != made(name, True).weights_hash()
    last = encoder.trainable_weights[-1]
    value = last.numpy()
    last.assign(value + 1)
    assert encoder.weights_hash() != before
    last.assign(value)
