"""The table of a block of BERT's, which norms last; the words of GIT pass through the same."""

from __future__ import annotations

from typing import Any

from tfcap.models.weight_table import Row, attention, linear, norm

_ATTENTION = {**{part: f"self.{part}" for part in ("query", "key", "value")}, "output": "output.dense"}


def block_rows(block: Any, prefix: str, heads: int) -> list[Row]:
    """Returns the rows of a TransformerEncoder or TransformerDecoder of KerasHub, whose names begin with the prefix."""
    return [
        *attention(block._self_attention_layer, heads, f"{prefix}attention.", _ATTENTION),
        *norm(f"{prefix}attention.output.LayerNorm", block._self_attention_layer_norm),
        *linear(f"{prefix}intermediate.dense", block._feedforward_intermediate_dense),
        *linear(f"{prefix}output.dense", block._feedforward_output_dense),
        *norm(f"{prefix}output.LayerNorm", block._feedforward_layer_norm),
    ]
