"""The table of a block of GPT-2: the names of Hugging Face, whose linear layers are [in, out], and the variables."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfcap.models.weight_table import Arrays, Row, Transform, bias_of_heads, norm, of_one, row


def block_rows(block: Any, name: str, heads: int) -> list[Row]:
    """Returns the rows of a block, `keras_hub.layers.TransformerDecoder`; all names begin with `name`."""
    own, cross = block._self_attention_layer, block._cross_attention_layer
    wide, narrow = block._feedforward_intermediate_dense, block._feedforward_output_dense
    rows = [
        *norm(f"{name}ln_1", block._self_attention_layer_norm),
        *_side_by_side(f"{name}attn.c_attn", (own.query_dense, own.key_dense, own.value_dense), heads),
        *_out(f"{name}attn.c_proj", own.output_dense, heads),
        *norm(f"{name}ln_2", block._feedforward_layer_norm),
        row(f"{name}mlp.c_fc.weight", wide.kernel),
        row(f"{name}mlp.c_fc.bias", wide.bias),
        row(f"{name}mlp.c_proj.weight", narrow.kernel),
        row(f"{name}mlp.c_proj.bias", narrow.bias),
    ]
    if cross is None:
        return rows
    return [
        *rows,
        *norm(f"{name}ln_cross_attn", block._cross_attention_layer_norm),
        *_side_by_side(f"{name}crossattention.q_attn", (cross.query_dense,), heads),
        *_side_by_side(f"{name}crossattention.c_attn", (cross.key_dense, cross.value_dense), heads),
        *_out(f"{name}crossattention.c_proj", cross.output_dense, heads),
    ]


def _side_by_side(name: str, layers: tuple[Any, ...], heads: int) -> list[Row]:
    """Returns the rows of projections into heads that are one tensor: queries, keys and values, or some of them."""
    return [
        Row(f"{name}.weight", tuple(layer.kernel for layer in layers), _joined(_heads_last(heads), len(layers))),
        Row(f"{name}.bias", tuple(layer.bias for layer in layers), _joined(bias_of_heads(heads), len(layers))),
    ]


def _out(name: str, layer: Any, heads: int) -> list[Row]:
    """Returns the rows of an attention's output."""
    return [row(f"{name}.weight", layer.kernel, _heads_first(heads)), row(f"{name}.bias", layer.bias)]


def _heads_last(heads: int) -> Transform:
    """Returns the transform of a projection [D, D], which GPT-2 keeps as [in, out], to [D, heads, D / heads]."""
    return of_one(lambda w: w.reshape(w.shape[0], heads, -1), lambda w: w.reshape(w.shape[0], -1))


def _heads_first(heads: int) -> Transform:
    """Returns the transform of the attention's output [in, out] to [heads, D / heads, D]."""
    return of_one(lambda w: w.reshape(heads, -1, w.shape[1]), lambda w: w.reshape(-1, w.shape[-1]))


def _joined(one: Transform, count: int) -> Transform:
    """Returns the transform of a tensor with so many parts side by side to as many variables."""

    def there(tensor: np.ndarray) -> Arrays:
        return [one.to_variables(part)[0] for part in np.split(tensor, count, axis=-1)]

    def back(values: Arrays) -> np.ndarray:
        return np.concatenate([one.to_checkpoint([value]) for value in values], axis=-1)

    return Transform(there, back)
