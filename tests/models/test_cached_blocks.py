"""Blocks a few words at a time, several captions of an image side by side, against KerasHub's pass over all at once."""

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tests.models.toy_gpt2 import stirred
from tfcap.models.cached_blocks import empty_state, extend, keys_and_values, pass_image

B, K, P, T, R, D, H = 2, 3, 2, 5, 4, 6, 2
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(0, 2, [B, R, D]).astype(np.float32)
WORDS = RNG.normal(0, 2, [B * K, T, D]).astype(np.float32)


def _blocks(normalize_first, cross=False):
    blocks = [keras_hub.layers.TransformerDecoder(8, H, normalize_first=normalize_first) for _ in range(2)]
    for seed, block in enumerate(blocks):
        block.build((None, None, D), (None, None, D) if cross else None)
        stirred(block, seed, scale=0.5)
    return blocks


def _words_alone(normalize_first):
    blocks = _blocks(normalize_first)
    x = WORDS
    for block in blocks:
        x = block(x)
    return blocks, [], x


def _beside_a_memory(normalize_first):
    blocks = _blocks(normalize_first, cross=True)
    x, memory = WORDS, np.repeat(IMAGE, K, axis=0)
    for block in blocks:
        x = block(x, memory)
    return blocks, [keys_and_values(block._cross_attention_layer, tf.constant(IMAGE)) for block in blocks], x


def _behind_an_image():
    blocks, images, image = _blocks(normalize_first=False), [], tf.constant(IMAGE)
    for block in blocks:
        image, kept = pass_image(block, image)
        images.append(kept)
    x, places = np.concatenate([np.repeat(IMAGE, K, axis=0), WORDS], axis=1), np.arange(R + T)
    seen = (places < R) | (places <= places[:, None])
    for block in blocks:
        x = block(x, decoder_attention_mask=seen[None], use_causal_mask=False)
    np.testing.assert_allclose(np.repeat(image, K, axis=0), x[:, :R], atol=1e-5)
    return blocks, images, x[:, R:]


@pytest.mark.parametrize(
    "made",
    [
        lambda: _words_alone(True),
        lambda: _words_alone(False),
        lambda: _beside_a_memory(True),
        lambda: _beside_a_memory(False),
        _behind_an_image,
    ],
    ids=["alone, norm first", "alone, norm last", "memory, norm first", "memory, norm last", "image"],
)
def test_a_few_words_at_a_time_are_all_at_once(made):
    blocks, images, expected = made()
    state, found = empty_state(blocks, B * K, T + 1, images), []
    for first in range(0, T, P):
        x, state = extend(blocks, tf.constant(WORDS[:, first : first + P]), state)
        found.append(x)
    np.testing.assert_allclose(tf.concat(found, axis=1), expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.5  # captions that are all alike would agree with anything
    assert state.changing[-1].numpy().tolist() == [T] * B * K
    assert all(part.shape == (B * K, H, T + 1, D // H) for part in state.changing[:-1])
    assert all(part.shape == (B, H, R, D // H) for part in state.constant)
