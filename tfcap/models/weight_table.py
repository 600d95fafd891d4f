"""The table from a checkpoint's names to a model's variables, read in both directions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint, some

Variable = Any  # keras.Variable
Arrays = Sequence[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Transform:
    """How a tensor of a checkpoint becomes the values of variables, and back; neither changes a number.

    Attributes:
      to_variables: the tensor -> one array a variable.
      to_checkpoint: one array a variable -> the tensor.
    """

    to_variables: Callable[[np.ndarray], Arrays]
    to_checkpoint: Callable[[Arrays], np.ndarray]


def of_one(there: Callable[[np.ndarray], np.ndarray], back: Callable[[np.ndarray], np.ndarray]) -> Transform:
    """Returns the transform of a tensor that is one variable."""
    return Transform(lambda tensor: [there(tensor)], lambda values: back(values[0]))


AS_IT_IS = of_one(lambda w: w, lambda w: w)
TRANSPOSED = of_one(np.transpose, np.transpose)  # a linear layer: [out, in] and [in, out]
CONVOLUTION = of_one(lambda w: w.transpose(2, 3, 1, 0), lambda w: w.transpose(3, 2, 0, 1))  # OIHW and HWIO


def into_heads(heads: int) -> Transform:
    """Returns the transform of a query's, key's or value's [D, D] to [D, heads, D / heads]."""
    return of_one(lambda w: w.T.reshape(w.shape[1], heads, -1), lambda w: w.reshape(w.shape[0], -1).T)


def bias_of_heads(heads: int) -> Transform:
    """Returns the transform of their bias [D] to [heads, D / heads]."""
    return of_one(lambda b: b.reshape(heads, -1), lambda b: b.reshape(-1))


def out_of_heads(heads: int) -> Transform:
    """Returns the transform of the attention's output [D, D] to [heads, D / heads, D]."""
    return of_one(lambda w: w.T.reshape(heads, -1, w.shape[0]), lambda w: w.reshape(-1, w.shape[-1]).T)


@dataclasses.dataclass(frozen=True)
class Row:
    """A tensor of a checkpoint, by name, and the variable that it fills, or several where it is their union."""

    name: str
    variables: tuple[Variable, ...]
    transform: Transform

    def shape(self) -> tuple[int, ...]:
        """Returns the shape that the tensor must have."""
        empty = [np.broadcast_to(np.float32(0), variable.shape) for variable in self.variables]
        return self.transform.to_checkpoint(empty).shape

    def tensor(self) -> np.ndarray:
        """Returns the tensor of the variables' values, float32."""
        values = [np.asarray(variable.numpy(), np.float32) for variable in self.variables]
        return np.ascontiguousarray(self.transform.to_checkpoint(values)).reshape(self.shape())


def row(name: str, variable: Variable, transform: Transform = AS_IT_IS) -> Row:
    """Returns the row of a tensor that is one variable."""
    return Row(name, (variable,), transform)


def linear(name: str, layer: Any) -> list[Row]:
    """Returns the rows of a Dense layer."""
    bias = [row(f"{name}.bias", layer.bias)] if layer.use_bias else []
    return [row(f"{name}.weight", layer.kernel, TRANSPOSED), *bias]


def norm(name: str, layer: Any) -> list[Row]:
    """Returns the rows of a layer normalisation."""
    return [row(f"{name}.weight", layer.gamma), row(f"{name}.bias", layer.beta)]


def attention(layer: Any, heads: int, prefix: str, names: Mapping[str, str]) -> list[Row]:
    """Returns the rows of an attention; `names` has the checkpoint's of `query`, `key`, `value` and `output`."""
    rows = []
    for part in ("query", "key", "value"):
        dense = getattr(layer, f"{part}_dense")
        rows.append(row(f"{prefix}{names[part]}.weight", dense.kernel, into_heads(heads)))
        if dense.bias is not None:
            rows.append(row(f"{prefix}{names[part]}.bias", dense.bias, bias_of_heads(heads)))
    output = f"{prefix}{names['output']}"
    rows.append(row(f"{output}.weight", layer.output_dense.kernel, out_of_heads(heads)))
    return [*rows, row(f"{output}.bias", layer.output_dense.bias)]


def check_table(rows: Sequence[Row], variables: Sequence[Variable]) -> None:
    """Raises ValueError unless the rows fill each of the variables once, under as many names."""
    filled = [id(variable) for one in rows for variable in one.variables]
    wanted = {id(variable): variable.path for variable in variables}
    if len({one.name for one in rows}) < len(rows) or len(set(filled)) < len(filled) or set(filled) != set(wanted):
        left = [path for key, path in wanted.items() if key not in filled]
        raise ValueError(f"The table names a tensor or a variable twice, or leaves variables out: {some(left)}")


def fill(rows: Sequence[Row], checkpoint: Checkpoint, variables: Sequence[Variable], ignored: str = "") -> None:
    """Gives the variables the checkpoint's values.

    Args:
      variables: what the rows must fill, all of them and each once.
      ignored: a pattern of whole names that the checkpoint may have besides, such as buffers.

    Raises:
      InputError: the checkpoint lacks a tensor, has one too many, or has one of another shape.
    """
    check_table(rows, variables)
    wanted = {one.name: one.shape() for one in rows}
    missing = wanted.keys() - checkpoint.shapes.keys()
    besides = [name for name in checkpoint.shapes.keys() - wanted.keys() if not re.fullmatch(ignored, name)]
    differ = [
        f"{name} is {list(checkpoint.shapes[name])} and not {list(shape)}"
        for name, shape in wanted.items()
        if name not in missing and checkpoint.shapes[name] != shape
    ]
    if missing or besides or differ:
        raise InputError(
            f"The weights of {checkpoint.origin} are of another model than its config.json describes",
            received=f"missing: {some(missing)}; left over: {some(besides)}; of another shape: {some(differ)}",
            expected=f"{len(rows)} tensors",
        )
    for one in rows:
        for variable, value in zip(one.variables, one.transform.to_variables(checkpoint.tensor(one.name)), strict=True):
            variable.assign(value)


def tensors_of(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Returns the checkpoint's tensors, float32 by name, that the variables would be read from."""
    return {one.name: one.tensor() for one in rows}
