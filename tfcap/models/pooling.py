"""How a text encoder makes one vector of those of its tokens, as the folders of sentence-transformers say it.

Source: Reimers and Gurevych 2019, https://arxiv.org/abs/1908.10084, section 3. Shapes: B texts of T tokens, D wide.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

from keras import ops

from tfcap.errors import InputError
from tfcap.files import read_json

Tensor = Any

_FILE, _MODULES = "1_Pooling/config.json", "modules.json"
_WAYS = {"cls_token": "first", "mean_tokens": "mean", "max_tokens": "highest"}
_PIPELINES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])


@dataclasses.dataclass(frozen=True)
class Pooling:
    """What becomes of the vectors of a text's tokens.

    Attributes:
      way: `first`, the vector of [CLS]; `mean` of all tokens, the marks included; or of each coordinate the `highest`.
      unit: whether the vector is then scaled to length 1.
    """

    way: str = "first"
    unit: bool = False

    def __call__(self, hidden: Tensor, real: Tensor) -> Tensor:
        """Returns float32 [B, D] of hidden vectors [B, T, D]; `real` bool [B, T] says which are no padding."""
        if self.way == "first":
            found = hidden[:, 0]
        elif self.way == "mean":
            shares = ops.cast(real, hidden.dtype)
            found = ops.einsum("btd,bt->bd", hidden, shares / ops.sum(shares, axis=1, keepdims=True))
        else:
            found = ops.max(ops.where(real[..., None], hidden, -1e9), axis=1)
        if self.unit:
            found = found / ops.maximum(ops.sqrt(ops.sum(ops.square(found), axis=-1, keepdims=True)), 1e-12)
        return found


def pooling_in(folder: Path) -> Pooling:
    """Returns the pooling that a folder's 1_Pooling/config.json and modules.json say, without them that of [CLS].

    Raises:
      InputError: they say another, or something that is done to the vector besides.
    """
    modules = _kinds(folder / _MODULES) if (folder / _MODULES).is_file() else None
    if modules is not None and modules not in _PIPELINES:
        raise InputError(
            f"{folder / _MODULES} describes a text encoder that is not covered",
            received=" and ".join(modules) or "no modules",
            expected=" or ".join(" and ".join(kinds) for kinds in _PIPELINES),
        )
    if modules is None and not (folder / _FILE).is_file():
        return Pooling()
    return Pooling(_way(folder / _FILE), unit=modules == _PIPELINES[1])


def _kinds(path: Path) -> list[str]:
    """Returns the kinds of a text encoder's parts in their order."""
    said = read_json(path)
    if not isinstance(said, list) or not all(isinstance(part, dict) for part in said):
        raise InputError(f"{path} is damaged", received=type(said).__name__, expected="a list of JSON objects")
    return [str(part.get("type")).rpartition(".")[2] for part in sorted(said, key=lambda part: part.get("idx", 0))]


def _way(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path} is missing", expected="the file that modules.json names for the pooling")
    said = read_json(path)
    modes = said if isinstance(said, dict) else {}
    on = sorted(name for name, value in modes.items() if name.startswith("pooling_mode_") and value is True)
    ways = [way for name, way in _WAYS.items() if on == [f"pooling_mode_{name}"]]
    if not ways:
        raise InputError(
            f"{path} says a pooling that is not covered",
            received=" and ".join(on) or "none",
            expected="one of " + ", ".join(f"pooling_mode_{name}" for name in _WAYS),
        )
    return ways[0]
