"""Low-rank adaptation: frozen projections, each with a trainable pair of small ones beside it.

Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685. As in the authors' program, https://github.com/microsoft/LoRA,
the first of a pair starts uniform within 1 / sqrt(its inputs), and the second at zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.errors import InputError
from tfcap.models.dropout import Dropout

Tensor = Any
Layer = Any  # a Keras layer: Keras has no types

PROJECTIONS = ("query", "key", "value", "output")  # what the attention layers of Keras and KerasHub have


class LowRank(keras.layers.Layer):
    """A frozen projection plus alpha / rank * up(down(dropout(x))) (equation 3 of the paper), of the same shapes.

    `down` and `up` are layers of the base's own kind without a bias, so whatever knows that kind knows the pair.
    Their weights are float32, also where the base keeps its own in low precision.
    """

    def __init__(self, base: Layer, rank: int, alpha: float, dropout: float = 0.0) -> None:
        """Freezes the base, a built Dense or EinsumDense, and makes the pair, whose variables are named after it."""
        compute = base.compute_dtype
        policy = compute if compute == "float32" else f"mixed_{compute}"
        super().__init__(name=base.name, dtype=policy)
        self.base, self.scale = base, alpha / rank
        base.trainable = False
        self.dropout = Dropout(dropout, dtype=policy, name="dropout")
        down_shape, down, up_shape, up, self.product = _pair(base, rank)
        first = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        kind = keras.layers.Dense if isinstance(base, keras.layers.Dense) else keras.layers.EinsumDense
        self.down = kind(**down, kernel_initializer=first, dtype=policy, name="down")
        self.up = kind(**up, kernel_initializer="zeros", dtype=policy, name="up")
        with keras.name_scope(base.name, override_parent=base.path.rpartition("/")[0]):
            self.down.build(down_shape)
            self.up.build(up_shape)
        self.built = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Returns the projection of inputs [B, ...]; dropout acts on what the pair is given alone."""
        low = self.up(self.down(self.dropout(inputs, training=training)))
        return self.base(inputs) + self.scale * low

    def merged(self) -> Layer:
        """Returns the base with the pair added to its kernel; the layer itself is then of no more use."""
        update = self.scale * ops.einsum(self.product, self.down.kernel, self.up.kernel)
        self.base.kernel.assign(ops.cast(self.base.kernel, "float32") + update)
        return self.base


def adapt(
    layer: Layer, rank: int, alpha: float, dropout: float = 0.0, projections: Sequence[str] = PROJECTIONS
) -> list[LowRank]:
    """Freezes all that a built layer holds, and puts a trainable pair on projections of each attention layer in it.

    What the layer computes stays the same until the pairs are trained. Its table of weights is that of its checkpoint
    before this and after `merge`, not in between. To set `trainable` of the layer later would thaw what is frozen.

    Args:
      layer: a decoder, a block of KerasHub or an attention layer.
      rank: of the pairs, at least 1.
      alpha: divided by the rank, it scales what the pairs add.
      dropout: of what the pairs are given.
      projections: which of PROJECTIONS.

    Returns:
      the pairs, in the order of the attention layers and of `projections`.

    Raises:
      InputError: there is no such projection, or the rank is below 1.
      ValueError: the layer holds no attention, or pairs already.
    """
    unknown = [name for name in projections if name not in PROJECTIONS]
    if unknown or rank < 1 or not projections:
        raise InputError(
            "Low-rank pairs cannot be put there",
            received=f"rank {rank} on {', '.join(projections) or 'nothing'}",
            expected=f"a rank of at least 1 on some of {', '.join(PROJECTIONS)}",
        )
    attentions = _attentions(layer)
    if not attentions or _adapted(layer):
        raise ValueError(f"{layer.name} holds {'low-rank pairs already' if attentions else 'no attention layer'}")
    layer.trainable = True  # of all the layers on the way, which would hide the pairs otherwise
    for variable in layer.trainable_variables:
        variable.trainable = False
    pairs = []
    for attention in attentions:
        for name in projections:
            pairs.append(LowRank(getattr(attention, _attribute(attention, name)), rank, alpha, dropout))
            _replace(attention, name, pairs[-1])
    return pairs


def merge(layer: Layer) -> None:
    """Adds each pair that the layer holds to its base, which takes its old place: the layer is as before `adapt`.

    What it computes stays the same, up to rounding to the precision of the base's weights. All of it stays frozen.
    """
    for attention, name in _adapted(layer):
        _replace(attention, name, getattr(attention, _attribute(attention, name)).merged())


def _pair(base: Layer, rank: int) -> tuple[tuple[Any, ...], dict[str, Any], tuple[Any, ...], dict[str, Any], str]:
    """Returns of `down` and then of `up` the shape of its input and its arguments, and their product's equation.

    Raises:
      ValueError: the base has an activation, or its equation is not that of a projection of axes that it sums over.
    """
    if base.activation not in (None, keras.activations.linear):
        raise ValueError(f"No low-rank pair is known for {base.path}, which has an activation")
    if isinstance(base, keras.layers.Dense):
        narrow, wide = ({"units": units, "use_bias": False} for units in (rank, base.units))
        return (None, base.kernel.shape[0]), narrow, (None, rank), wide, "xr,ry->xy"
    inputs, kernel, output = re.split(",|->", base.equation.replace(" ", ""))
    summed = "".join(c for c in kernel if c not in output)
    made = "".join(c for c in kernel if c not in inputs)
    if len(summed + made) < len(kernel) or "." in inputs:
        raise ValueError(f"No low-rank pair is known for {base.path} with the equation {base.equation}")
    places = "".join(c for c in inputs if c not in kernel)
    low = next(c for c in "rabcdefghi" if c not in base.equation)
    free = (None,) * (len(places) - 1)
    sizes = dict(zip(kernel, base.kernel.shape, strict=True))
    down = {"equation": f"{inputs},{summed}{low}->{places}{low}", "output_shape": (*free, rank)}
    up = {"equation": f"{places}{low},{low}{made}->{output}", "output_shape": base.partial_output_shape}
    shape = tuple(sizes.get(c) for c in inputs)
    return shape, down, (None, *free, rank), up, f"{summed}{low},{low}{made}->{kernel}"


def _attribute(layer: Layer, projection: str) -> str:
    """Returns where a layer has the projection; Keras' attention begins the name with an underscore, ours does not."""
    name = f"{projection}_dense"
    return f"_{name}" if hasattr(layer, f"_{name}") else name


def _attentions(layer: Layer) -> list[Layer]:
    """Returns the attention layers within a layer, itself included."""
    return [
        part
        for part in layer._flatten_layers()
        if all(hasattr(part, _attribute(part, projection)) for projection in PROJECTIONS)
    ]


def _adapted(layer: Layer) -> list[tuple[Layer, str]]:
    """Returns the attention layers and the names of their projections that have a pair."""
    places = [(attention, name) for attention in _attentions(layer) for name in PROJECTIONS]
    return [
        (attention, name)
        for attention, name in places
        if isinstance(getattr(attention, _attribute(attention, name)), LowRank)
    ]


def _replace(attention: Layer, projection: str, new: Layer) -> None:
    """Puts another layer in a projection's place; Keras takes no new part into a built layer otherwise."""
    tracker = attention._tracker
    tracker.unlock()
    attribute = _attribute(attention, projection)
    tracker.untrack(getattr(attention, attribute))
    setattr(attention, attribute, new)
    tracker.lock()
