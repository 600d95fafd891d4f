"""Which words may follow, and how likely each is drawn: what happens between a decoder's logits and its next word.

Each function keeps static shapes, so that XLA compiles it. Forbidden n-grams and nuclei follow the logits processors of
Hugging Face's `generate`, against which tests hold them; ties at a nucleus' edge are the exception:
https://huggingface.co/docs/transformers/internal/generation_utils.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
from keras import ops

from tfcap.models.dropout import mixed

Tensor = Any


def without(scores: Tensor, words: Sequence[int]) -> Tensor:
    """Returns the scores float32 [N, V] with minus infinity for the words, which are then never chosen."""
    if not words:
        return scores
    added = np.zeros(scores.shape[-1], np.float32)
    added[list(words)] = -np.inf
    return scores + added


def without_repeats(scores: Tensor, tokens: Tensor, t: Tensor, size: int) -> Tensor:
    """Returns the scores with minus infinity for each word that would end an n-gram a second time.

    Source: Paulus et al. 2017, https://arxiv.org/abs/1705.04304, section 2.5. The prompt's n-grams count too.

    Args:
      scores: float32 [N, V].
      tokens: int32 [N, T], of which the first t are known.
      t: scalar.
      size: n; 0 forbids nothing.
    """
    windows = tokens.shape[-1] - size + 1  # that a row has room for; those that reach t are not complete
    if not size or windows < 1:
        return scores
    first = ops.maximum(t - size + 1, 0)
    complete = ops.arange(windows) < t - size + 1
    matches = ops.broadcast_to(complete, ops.shape(tokens[:, :windows]))
    for place in range(size - 1):
        present = ops.take(tokens, ops.minimum(first + place, tokens.shape[-1] - 1), axis=1)
        matches = ops.logical_and(matches, tokens[:, place : place + windows] == present[:, None])
    forbidden = ops.maximum(tokens[:, size - 1 :], 0)  # [N, windows], the word that ends each
    rows = ops.broadcast_to(ops.arange(ops.shape(tokens)[0])[:, None], ops.shape(forbidden))
    places = ops.stack([ops.cast(rows, "int32"), forbidden], axis=-1)
    counts = ops.scatter(places, ops.cast(matches, "float32"), ops.shape(scores))
    return ops.where(counts > 0, -np.inf, scores)


def within_top_p(logits: Tensor, top_p: float) -> Tensor:
    """Returns the logits [N, V] with minus infinity outside the nucleus.

    That is the smallest set of the most likely words whose probabilities add up to top_p or more (Holtzman et al. 2019,
    https://arxiv.org/abs/1904.09751, section 3.1), and of words as likely as the least likely of them all. 1 keeps all.
    """
    if top_p >= 1.0:
        return logits
    ascending = ops.sort(logits, axis=-1)
    outside = ops.cumsum(ops.softmax(ascending, axis=-1), axis=-1) <= 1 - top_p
    inside = ops.where(outside, np.inf, ascending)
    least = ops.minimum(ops.min(inside, axis=-1, keepdims=True), ascending[:, -1:])
    return ops.where(logits >= least, logits, -np.inf)


def draw(logits: Tensor, seed: int, rows: Tensor, t: Tensor) -> Tensor:
    """Returns one word of each row, drawn with the probabilities softmax(logits): int32 [N].

    It is the largest of the logits with Gumbel noise (Maddison et al. 2014, https://arxiv.org/abs/1411.0030), a hash of
    (seed, row's number, t, word): equal in any batch, on any number of replicas, with and without XLA.

    Args:
      logits: float32 [N, V]; minus infinity is never drawn.
      seed: in [0, 2**31).
      rows: int32 [N], a number for each row.
      t: int32 scalar, the step.
    """
    key = mixed(mixed(ops.cast(rows, "uint32") + mixed(ops.cast(seed, "uint32"))) + ops.cast(t, "uint32"))  # [N]
    words = mixed(ops.cast(ops.arange(logits.shape[-1]), "uint32"))
    bits = mixed(ops.bitwise_xor(key[:, None], words[None]))
    # 23 bits and a half are a float32; of one bit more the largest is rounded to 1, whose noise is infinite.
    uniform = (ops.cast(ops.right_shift(bits, 9), "float32") + 0.5) * 2.0**-23  # in [2**-24, 1 - 2**-24]
    return ops.cast(ops.argmax(logits - ops.log(-ops.log(uniform)), axis=-1), "int32")
