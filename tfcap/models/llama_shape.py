"""The shapes of Llama decoders: those of Llama 3.2, and what a config.json of Hugging Face says.

Source: https://huggingface.co/meta-llama/Llama-3.2-1B and Llama-3.2-3B, and `LlamaConfig` of
https://github.com/huggingface/transformers, whose version 5 writes what concerns rotation in another place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfcap.errors import InputError

# What else a config.json may say, and how these blocks do it.
_ONLY = {
    "model_type": "llama",
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "partial_rotary_factor": 1.0,
}


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How a model for longer texts turns the rotary frequencies that it was first trained with (rope_type llama3)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def arguments(self) -> dict[str, Any]:
        """Returns the arguments of KerasHub's blocks."""
        names = ("frequency_adjustment_factor", "low_freq_factor", "high_freq_factor", "pretraining_sequence_length")
        return dict(zip((f"rope_{name}" for name in names), dataclasses.astuple(self), strict=True))


@dataclasses.dataclass(frozen=True)
class LlamaShape:
    """The decoder of a config.json, under its names; what is not said there is as transformers has it."""

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    bos_token_id: int = 1
    eos_token_id: int = 2  # of several, the first
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None


# 1,235,814,400 parameters: 4.9 GB as float32, 2.5 GB as bfloat16.
LLAMA_3_2_1B = LlamaShape(
    vocab_size=128256,
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
    rms_norm_eps=1e-5,
    tie_word_embeddings=True,
    bos_token_id=128000,
    eos_token_id=128001,
    rope_theta=500000.0,
    rope_scaling=RopeScaling(32.0, 1.0, 4.0, 8192),
)
# 3,212,749,824 parameters: 12.9 GB as float32, 6.4 GB as bfloat16.
LLAMA_3_2_3B = dataclasses.replace(LLAMA_3_2_1B, hidden_size=3072, num_hidden_layers=28, num_attention_heads=24)


SHAPES = {
    "tiny": LlamaShape(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    "1b": LLAMA_3_2_1B,
    "3b": LLAMA_3_2_3B,
}


def shape_of(said: Mapping[str, Any], origin: str) -> LlamaShape:
    """Returns the shape that config.json says; raises InputError if that is no Llama, or one that is not covered."""
    told = {name: value for name, value in said.items() if value is not None}
    rope = told.get("rope_parameters", told.get("rope_scaling", {}))
    rope = rope if isinstance(rope, Mapping) else {"rope_type": rope}
    told = {"num_key_value_heads": told.get("num_attention_heads", LlamaShape.num_attention_heads), **told, **rope}
    if isinstance(told.get("eos_token_id"), list):
        told["eos_token_id"] = next(iter(told["eos_token_id"]), None)
    kind = told.get("rope_type", told.get("type", "default"))
    parts: list[type] = [LlamaShape, RopeScaling] if kind == "llama3" else [LlamaShape]
    wrong = [] if kind in ("default", "llama3") else [f"rope_type={kind!r}"]
    wrong += [f"{name}={told[name]!r}" for name, only in _ONLY.items() if told.get(name, only) != only]
    wrong += [misfit for part in parts for misfit in _misfits(part, told)]
    if not wrong:
        scaling = RopeScaling(**_values(RopeScaling, told)) if kind == "llama3" else None
        shape = LlamaShape(**_values(LlamaShape, told), rope_scaling=scaling)
        wrong = _contradictions(shape, told.get("head_dim"))
    if wrong:
        raise InputError(
            f"config.json of {origin} describes no Llama, or one that is not covered",
            received=", ".join(wrong),
            expected="sizes above 0 that num_attention_heads divides into heads of an even size, as many or groups of"
            " them for num_key_value_heads, ids below vocab_size, rope_type default or llama3, and "
            + ", ".join(f"{name}={only!r}" for name, only in _ONLY.items()),
        )
    return shape


def _values(part: type, told: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is told of the fields of a part that are numbers or switches."""
    fields = [field for field in dataclasses.fields(part) if field.type in ("int", "float", "bool")]
    found = {field.name: told.get(field.name, field.default) for field in fields}
    floats = {field.name for field in fields if field.type == "float"}
    return {name: float(value) if name in floats and type(value) is int else value for name, value in found.items()}


def _misfits(part: type, told: Mapping[str, Any]) -> list[str]:
    """Returns the fields of a part that are not told, of another type, or not above 0."""
    kinds = {field.name: field.type for field in dataclasses.fields(part)}
    return [
        f"{name}={'nothing' if value is dataclasses.MISSING else repr(value)}"
        for name, value in _values(part, told).items()
        if type(value).__name__ != kinds[name]
        or (kinds[name] != "bool" and not (value > 0 or (value == 0 and name.endswith("token_id"))))
    ]


def _contradictions(shape: LlamaShape, head_size: Any) -> list[str]:
    """Returns which values of a shape do not go together."""
    size, heads, groups = shape.hidden_size, shape.num_attention_heads, shape.num_key_value_heads
    wrong = []
    if size % (2 * heads) or heads % groups or head_size not in (None, size // heads):
        wrong.append(f"hidden_size={size}, num_attention_heads={heads}, num_key_value_heads={groups}")
        wrong += [f"head_dim={head_size}"] if head_size is not None else []
    if max(shape.bos_token_id, shape.eos_token_id) >= shape.vocab_size:
        wrong += [f"{name}={getattr(shape, name)}" for name in ("vocab_size", "bos_token_id", "eos_token_id")]
    scaling = shape.rope_scaling
    if scaling and scaling.low_freq_factor >= scaling.high_freq_factor:
        wrong.append(f"low_freq_factor={scaling.low_freq_factor}, high_freq_factor={scaling.high_freq_factor}")
    return wrong
