"""What a config.json says of a transformer's sizes, checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from tfcap.errors import InputError

ACTIVATIONS = ("quick_gelu", "gelu")


@dataclasses.dataclass(frozen=True)
class ImageShape:
    """A vision transformer of a config.json, under its names; what is not said there is ViT-B/16."""

    FAMILY: ClassVar[str] = "ViT"

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


def named_shape(shapes: Mapping[str, Any], name: str, family: str) -> Any:
    """Returns one of a family's shapes; raises InputError for a name that it does not have."""
    if name not in shapes:
        raise InputError(f"There is no {family} of that shape", received=f"--shape={name}", expected=", ".join(shapes))
    return shapes[name]


def shape_of(kind: Any, said: Mapping[str, Any], origin: str) -> Any:
    """Returns the shape that config.json says.

    Args:
      kind: a dataclass of numbers above 0, an activation and booleans, with the name of its FAMILY.

    Raises:
      InputError: there is no such transformer.
    """
    fields = dataclasses.fields(kind)
    shape = kind(**{field.name: said[field.name] for field in fields if said.get(field.name) is not None})
    for field in fields:
        value, known = getattr(shape, field.name), type(field.default)
        same = type(value) is known
        if not same or not (value in ACTIVATIONS if known is str else known is bool or value > 0):
            expected = {str: " or ".join(ACTIVATIONS), bool: "true or false"}.get(known, f"{known.__name__} above 0")
            raise InputError(
                f"config.json of {origin} describes no {kind.FAMILY}",
                received=f"{field.name}={value!r}",
                expected=expected,
            )
    divided = {"hidden_size": "num_attention_heads", "image_size": "patch_size"}
    for whole, part in divided.items():
        if hasattr(shape, whole) and getattr(shape, whole) % getattr(shape, part):
            raise InputError(
                f"config.json of {origin} describes no {kind.FAMILY}",
                received=f"{whole}={getattr(shape, whole)} and {part}={getattr(shape, part)}",
                expected=f"{whole} that {part} divides",
            )
    return shape
