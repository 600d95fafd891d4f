"""The patches of a convolution, against TensorFlow's own extraction of them."""

import numpy as np
import pytest
import tensorflow as tf

from tfcap.scoring.patches import Patches, Window

# Name: the maps' height, width and channels, and the window's size, strides, dilation and padding.
WINDOWS = {
    "same": ((5, 4, 2), (3, 3), (1, 1), (1, 1), "same"),
    "valid": ((3, 4, 2), (2, 2), (1, 1), (1, 1), "valid"),
    "map smaller than its patches": ((4, 4, 9), (3, 3), (1, 1), (1, 1), "same"),
    "uneven strides": ((7, 6, 2), (3, 2), (2, 3), (1, 1), "same"),
    "strides wider than the window": ((7, 7, 2), (1, 1), (2, 2), (1, 1), "valid"),
    "side by side": ((8, 6, 3), (4, 3), (4, 3), (1, 1), "same"),
    "side by side, with zeros": ((7, 5, 3), (2, 2), (2, 2), (1, 1), "same"),
    "side by side, with a rest": ((7, 5, 3), (2, 2), (2, 2), (1, 1), "valid"),
    "dilated": ((6, 7, 2), (2, 3), (1, 1), (2, 2), "same"),
}


def _patches(name, maps=2):
    sides, size, strides, dilation, padding = WINDOWS[name]
    values = np.random.default_rng(0).normal(size=(2, 1, maps, *sides)).astype(np.float32)
    return Patches(tf.constant(values), Window.of(size, strides, dilation, padding, sides[:2]))


@pytest.mark.parametrize("name", WINDOWS)
def test_the_matrix_is_what_tensorflow_extracts(name):
    patches = _patches(name)
    sides, size, strides, dilation, padding = WINDOWS[name]
    expected = tf.image.extract_patches(
        tf.reshape(patches.maps, [-1, *sides]), [1, *size, 1], [1, *strides, 1], [1, *dilation, 1], padding.upper()
    )
    found = patches.matrix()
    assert found.shape == patches.shape
    np.testing.assert_array_equal(tf.reshape(found, [-1, found.shape[-1]]), tf.reshape(expected, [-1, found.shape[-1]]))
    np.testing.assert_array_equal(tf.concat(patches.each(), -1), found)


@pytest.mark.parametrize("name", WINDOWS)
def test_the_gram_matrix_is_that_of_the_patches_whichever_way_it_is_made(name, monkeypatch):
    patches = _patches(name)
    matrix = patches.matrix().numpy().astype(np.float64)
    expected = matrix @ matrix.swapaxes(-1, -2)
    ways = [False, True] if patches.window.strides == (1, 1) else [False]
    for way in ways:
        monkeypatch.setattr(Patches, "_gram_from_maps", way)
        np.testing.assert_allclose(patches.gram(), expected, rtol=1e-4, atol=1e-4)


def test_the_gram_matrix_is_made_from_the_maps_where_that_multiplies_less():
    """Of maps 4 x 4 padded to 6 x 6, 36^2 products of 9 channels; of their 16 patches, 16^2 products of 81 values."""
    assert _patches("map smaller than its patches", maps=1).gram_multiplications == 36 * 36 * 9
    assert _patches("uneven strides", maps=1).gram_multiplications == 8 * 8 * 12


def test_without_strides_the_cheaper_way_is_taken():
    wide = Patches(tf.zeros([1, 1, 1, 16, 16, 2]), Window.of((3, 3), (1, 1), (1, 1), "same", (16, 16)))
    assert wide.gram_multiplications == min(256**2 * 18, 324**2 * 2)
    zeros = Patches(tf.zeros([1, 1, 1, 2, 2, 2]), Window.of((3, 3), (1, 1), (1, 1), "same", (2, 2)))
    assert zeros.gram_multiplications == min(4**2 * 18, 16**2 * 2) == 4**2 * 18
