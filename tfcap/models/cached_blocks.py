"""KerasHub's decoder blocks a few words at a time: the words' keys and values in a cache, an image's beside it.

An image's keys and values are the same for all captions begun about it, whose vectors are so many queries to the one
set; KerasHub's own cached pass wants a set a caption. Tests hold these passes against KerasHub's without a cache.

Shapes: B images, K captions an image, N = B * K, P new places of a caption, T that its cache has room for, R places of
an image, D width of a vector, H heads, d = D / H.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tfcap.quiet  # noqa: F401

from keras import ops

from tfcap.models.decoder_state import State

Tensor = Any

_UNSEEN = -1e9


class Kept(NamedTuple):
    """What an attention layer looks at: places of captions [N, H, T, d], or of images [B, H, R, d]."""

    keys: Tensor
    values: Tensor


def keys_and_values(layer: Any, x: Tensor) -> Kept:
    """Returns what an attention layer keeps of vectors [B, R, D]."""
    return Kept(*[ops.swapaxes(dense(x), 1, 2) for dense in (layer.key_dense, layer.value_dense)])


def empty_state(blocks: Sequence[Any], rows: Any, room: int, images: Sequence[Kept] = ()) -> State:
    """Returns the state in which no word was seen yet.

    It changes in the keys and the values [N, H, T, d] of each block and, last, in how many places were seen, int32 [N].

    Args:
      rows: N.
      room: T.
      images: what each block looks at, by cross-attention or, where it has none, before the words; or nothing at all.
    """
    caches = []
    for block in blocks:
        size = [rows, block.num_heads, room, block._self_attention_layer.key_dim]
        caches += [ops.zeros(size, dtype=block.compute_dtype) for _ in Kept._fields]
    return State([*caches, ops.zeros([rows], dtype="int32")], [part for image in images for part in image])


def extend(blocks: Sequence[Any], x: Tensor, state: State) -> tuple[Tensor, State]:
    """Returns what the blocks make of vectors x [N, P, D] that follow what the state has seen, and the state after."""
    *caches, seen = state.changing
    images: Sequence[Kept | None] = _by_block(state.constant) if state.constant else [None] * len(blocks)
    moved: list[Tensor] = []
    for block, words, image in zip(blocks, _by_block(caches), images, strict=True):
        x, words = _passed(block, x, image, words, seen[0])
        moved += words
    return x, state._replace(changing=[*moved, seen + x.shape[1]])


def pass_image(block: Any, x: Tensor) -> tuple[Tensor, Kept]:
    """Returns what a block that norms last makes of an image's vectors [B, R, D], which see each other, and keeps."""
    image = keys_and_values(block._self_attention_layer, x)
    return _passed(block, x, image)[0], image


def _by_block(parts: Sequence[Tensor]) -> list[Kept]:
    return [Kept(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def _passed(
    block: Any, x: Tensor, image: Kept | None, words: Kept | None = None, place: Tensor | None = None
) -> tuple[Tensor, Any]:
    """Returns what a block makes of x [N, P, D], and the words with x at their `place`, if there are any."""
    own, norm, across = block._self_attention_layer, block._self_attention_layer_norm, block._cross_attention_layer
    given = _before(block, norm, x)
    if words is not None:
        new = keys_and_values(own, given)
        words = Kept(*[ops.slice_update(old, [0, 0, place, 0], one) for old, one in zip(words, new, strict=True)])
    x = _after(block, norm, x, _attended(own, given, image if across is None else None, words, place))
    if across is not None:
        norm = block._cross_attention_layer_norm
        x = _after(block, norm, x, _attended(across, _before(block, norm, x), image))
    norm = block._feedforward_layer_norm
    fed = block._feedforward_output_dense(block._feedforward_intermediate_dense(_before(block, norm, x)))
    return _after(block, norm, x, fed), words


def _before(block: Any, norm: Any, x: Tensor) -> Tensor:
    return norm(x) if block.normalize_first else x


def _after(block: Any, norm: Any, x: Tensor, added: Tensor) -> Tensor:
    return x + added if block.normalize_first else norm(x + added)


def _attended(
    layer: Any, x: Tensor, image: Kept | None, words: Kept | None = None, place: Tensor | None = None
) -> Tensor:
    """Returns what an attention layer finds for vectors x [N, P, D], by one softmax over an image and words.

    Args:
      image: every vector sees all of it.
      words: with x at their `place`; a vector sees itself and those before.
    """
    places, heads, size = x.shape[1], layer.num_heads, layer.key_dim
    images = ops.shape(x if image is None else image.keys)[0]
    queries = ops.reshape(layer.query_dense(x) * size**-0.5, [images, -1, places, heads, size])  # [B, K, P, H, d]
    kept, scores = [], []
    if image is not None:
        kept.append(("bhtd", image.values))
        scores.append(ops.einsum("bkphd,bhtd->bkhpt", queries, image.keys))
    if words is not None:
        keys, values = (ops.reshape(part, [images, -1, *part.shape[1:]]) for part in words)
        kept.append(("bkhtd", values))
        seen = ops.arange(keys.shape[-2]) <= place + ops.arange(places)[:, None]
        scores.append(ops.where(seen, ops.einsum("bkphd,bkhtd->bkhpt", queries, keys), _UNSEEN))
    scores = ops.cast(ops.concatenate(scores, axis=-1), "float32")
    weights = ops.exp(scores - ops.logsumexp(scores, axis=-1, keepdims=True))  # softmax warns of an image's one region
    found, first = [], 0
    for axes, values in kept:
        last = first + values.shape[-2]
        found.append(ops.einsum(f"bkhpt,{axes}->bkphd", ops.cast(weights[..., first:last], values.dtype), values))
        first = last
    return layer.output_dense(ops.reshape(sum(found), [-1, places, heads, size]))
