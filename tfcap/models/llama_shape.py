"""The shapes of Llama decoders: those of Llama 3.2, and what a config.json of Hugging Face says.

Source: https://huggingface.co/meta-llama/Llama-3.2-1B and Llama-3.2-3B, and `LlamaConfig` of
https://github.com/huggingface/transformers, whose version 5 writes what concerns rotation in another place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from tfcap.models import transformer_shapes


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How a model for longer texts turns the rotary frequencies that it was first trained with (rope_type llama3)."""

    FAMILY: ClassVar[str] = "Llama"

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

    FAMILY: ClassVar[str] = "Llama"
    ONLY: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model_type": ("llama",),
        "hidden_act": ("silu",),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "partial_rotary_factor": (1.0,),
        "rope_type": ("default", "llama3"),
    }

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
    more_ends: tuple[int, ...] = ()  # the others
    max_position_embeddings: int = 2048
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None

    @property
    def ends(self) -> tuple[int, ...]:
        """The ids that may end a text."""
        return (self.eos_token_id, *self.more_ends)

    def check_room(self, tokens: int) -> None:
        """Raises InputError if there are no positions for so many tokens, a prefix included."""
        transformer_shapes.check_room(tokens, "max_position_embeddings", self.max_position_embeddings)


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
    max_position_embeddings=131072,
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
    told = {"num_key_value_heads": told.get("num_attention_heads"), **told, **rope}
    told["rope_type"] = told.get("rope_type", told.get("type", "default"))
    if isinstance(told.get("eos_token_id"), list) and told["eos_token_id"]:
        told["eos_token_id"], *others = told["eos_token_id"]
        told["more_ends"] = tuple(others)
    scales = told["rope_type"] == "llama3"
    told["rope_scaling"] = transformer_shapes.shape_of(RopeScaling, told, origin) if scales else None
    shape: LlamaShape = transformer_shapes.shape_of(LlamaShape, told, origin)
    transformer_shapes.refuse(_contradictions(shape, told.get("head_dim")), LlamaShape, origin)
    return shape


def _contradictions(shape: LlamaShape, head_size: Any) -> dict[str, str]:
    """Returns which values of a shape do not go together, and what is expected."""
    size, heads, groups = shape.hidden_size, shape.num_attention_heads, shape.num_key_value_heads
    wrong, scaling = {}, shape.rope_scaling
    if not all(type(end) is int and 0 <= end < shape.vocab_size for end in shape.more_ends):
        wrong[f"eos_token_id={list(shape.ends)}"] = f"ids below vocab_size={shape.vocab_size}"
    if size % (2 * heads) or head_size not in (None, size // heads):
        said = f"hidden_size={size}, num_attention_heads={heads}, head_dim={head_size}"
        wrong[said] = "heads of an even size that make up hidden_size"
    if heads % groups:
        said = f"num_attention_heads={heads}, num_key_value_heads={groups}"
        wrong[said] = "num_attention_heads that num_key_value_heads divides"
    if scaling and scaling.low_freq_factor >= scaling.high_freq_factor:
        said = f"low_freq_factor={scaling.low_freq_factor}, high_freq_factor={scaling.high_freq_factor}"
        wrong[said] = "low_freq_factor below high_freq_factor"
    return wrong
