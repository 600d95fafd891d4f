"""What a config.json says of a transformer's sizes, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from tfcap.errors import InputError

ACTIVATIONS = ("quick_gelu", "gelu")
_DIVIDED = {"hidden_size": "num_attention_heads", "n_embd": "n_head", "image_size": "patch_size"}


@dataclasses.dataclass(frozen=True)
class ImageShape:
    """A vision transformer of a config.json, under its names; what is not said there is ViT-B/16."""

    FAMILY: ClassVar[str] = "ViT"
    ONLY: ClassVar[Mapping[str, tuple[Any, ...]]] = {"num_channels": (3,)}

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 16
    num_channels: int = 3
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    qkv_bias: bool = True


def check_room(tokens: int, name: str, places: int) -> None:
    """Raises InputError if a decoder has no places, which config.json calls `name`, for so many tokens."""
    if tokens > places:
        raise InputError(
            "The decoder has no positions for so many tokens",
            received=f"{tokens} tokens",
            expected=f"at most {name}={places}",
        )


def shape_of(kind: Any, said: Mapping[str, Any], origin: str) -> Any:
    """Returns the shape that config.json says; what it leaves out, or says null of, is the shape's default.

    Args:
      kind: a dataclass of numbers, switches and activations, with the name of its FAMILY and, where config.json may say
        more than its fields, with ONLY: of each such word the values that are covered, first what is meant without it.

    Raises:
      InputError: there is no such transformer.
    """
    told = {name: value for name, value in said.items() if value is not None}
    values = {field.name: _value(field, told) for field in dataclasses.fields(kind)}
    wrong = _uncovered(getattr(kind, "ONLY", {}), told) | _misfits(kind, values)
    refuse(wrong, kind, origin)
    shape = kind(**values)
    refuse(_contradictions(shape), kind, origin)
    return shape


def refuse(wrong: Mapping[str, str], kind: Any, origin: str) -> None:
    """Raises InputError unless nothing is wrong: what config.json says, and what is expected instead."""
    if wrong:
        raise InputError(
            f"config.json of {origin} describes no {kind.FAMILY}, or one that is not covered",
            received=", ".join(wrong),
            expected=", ".join(dict.fromkeys(wrong.values())),
        )


def _value(field: dataclasses.Field[Any], told: Mapping[str, Any]) -> Any:
    value = told.get(field.name, field.default)
    return float(value) if field.type == "float" and type(value) is int else value


def _uncovered(covered: Mapping[str, tuple[Any, ...]], told: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"{name}={told[name]!r}": f"{name}={' or '.join(map(repr, values))}"
        for name, values in covered.items()
        if told.get(name, values[0]) not in values
    }


def _misfits(kind: Any, values: Mapping[str, Any]) -> dict[str, str]:
    """Returns the values that are of another type, or too low: ids and what is 0 by itself may be 0."""
    wrong = {}
    for field in dataclasses.fields(kind):
        value, may_be_0 = values[field.name], field.default == 0 or field.name.endswith("_token_id")
        if field.type in ("int", "float"):
            fits = type(value).__name__ == field.type and (value > 0 or (may_be_0 and value == 0))
            expected = f"{field.type} {'of at least' if may_be_0 else 'above'} 0"
        elif field.type == "bool":
            fits, expected = type(value) is bool, "true or false"
        elif field.type == "str":
            fits, expected = value in ACTIVATIONS, " or ".join(ACTIVATIONS)
        else:
            continue  # a shape in the shape, or ids, which the family itself checks
        if not fits:
            wrong[f"{field.name}={'nothing' if value is dataclasses.MISSING else repr(value)}"] = expected
    return wrong


def _contradictions(shape: Any) -> dict[str, str]:
    """Returns which values do not go together: sizes that are divided, and a decoder's ids that its words must have."""
    wrong = {}
    for whole, part in _DIVIDED.items():
        if hasattr(shape, whole) and getattr(shape, whole) % getattr(shape, part):
            found = f"{whole}={getattr(shape, whole)} and {part}={getattr(shape, part)}"
            wrong[found] = f"{whole} that {part} divides"
    for mark in ("bos_token_id", "eos_token_id") if hasattr(shape, "bos_token_id") else ():
        if getattr(shape, mark) >= shape.vocab_size:
            wrong[f"{mark}={getattr(shape, mark)}"] = f"ids below vocab_size={shape.vocab_size}"
    return wrong
