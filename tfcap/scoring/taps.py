"""Recording, while a model runs, what each layer's weights were multiplied with.

For the time of one forward pass the `call` of every layer with trainable weights is replaced by its rule, which
computes the same and taps the tensor right after the weights. The gradients at the taps then give the gradient of
every weight for every example, as factors, in one backward pass that makes no weight's gradient.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

from tfcap.errors import InputError
from tfcap.scoring.factors import Factor, Whole, norms

Tensor = Any
Factors = list[tuple[keras.Variable, Factor]]
Rule = Callable[..., Tensor]  # (layer, call, taps, *the layer's own arguments) -> the layer's output


@dataclasses.dataclass(frozen=True)
class LayerRule:
    """What is known of a layer type.

    Attributes:
      rule: takes the place of `call`.
      uncovered: says of a built layer which form it has that the rule does not cover; "" where the rule holds.
    """

    rule: Rule
    uncovered: Callable[[keras.layers.Layer], str] = lambda layer: ""


@dataclasses.dataclass(frozen=True)
class Tap:
    """A tensor whose gradient gives the gradients of weights."""

    output: Tensor
    factors: Callable[[Tensor], Factors]


class Taps:
    """The taps of one forward pass over a batch of B examples.

    Every layer sees a leading axis of B times a whole number of rows, the rows of one example side by side.
    """

    def __init__(self, examples: int, watch: Callable[[Tensor], None]) -> None:
        self.examples, self._watch = examples, watch
        self.taps: list[Tap] = []

    def tap(self, output: Tensor, factors: Callable[[Tensor], Factors]) -> Tensor:
        """Returns `output`, whose gradient will be handed to `factors`."""
        output = tf.identity(output)
        self._watch(output)
        self.taps.append(Tap(output, factors))
        return output

    def by_example(self, values: Tensor, axes: int = 1) -> Tensor:
        """Returns [B, n, ...] float32, or int32, from [R, ..., ...], keeping the last `axes` axes."""
        kept = [int(size) for size in values.shape[len(values.shape) - axes :]]
        dtype = tf.float32 if values.dtype.is_floating else tf.int32
        return tf.cast(tf.reshape(values, [self.examples, -1, *kept]), dtype)

    def total(self, values: Tensor, axes: int = 1) -> Whole:
        """Returns the sum over an example's positions, as the gradient of a weight that is added to each."""
        return Whole(tf.reduce_sum(self.by_example(values, axes), 1))

    @property
    def outputs(self) -> list[Tensor]:
        return [tap.output for tap in self.taps]

    def factors(self, gradients: Sequence[Tensor], variables: Sequence[keras.Variable]) -> list[list[Factor]]:
        """Returns what the gradient of each of `variables` is the sum of, for every example; nothing where unused.

        Args:
          gradients: at `outputs`, of a loss that is a sum over examples.
        """
        found: dict[int, list[Factor]] = {id(variable): [] for variable in variables}
        for tap, gradient in zip(self.taps, gradients, strict=True):
            for variable, factor in tap.factors(gradient):
                if id(variable) in found:
                    found[id(variable)].append(factor)
        return [found[id(variable)] for variable in variables]

    def norms(self, gradients: Sequence[Tensor], variables: Sequence[keras.Variable]) -> Tensor:
        """Returns the norm float32 [B] of each example's gradient over `variables`."""
        return norms(self.factors(gradients, variables))


@contextlib.contextmanager
def recording(
    layers: Mapping[keras.layers.Layer, Rule], examples: int, watch: Callable[[Tensor], None]
) -> Iterator[Taps]:
    """Yields the taps that the layers fill when they are called within."""
    taps = Taps(examples, watch)
    try:
        for layer, rule in layers.items():
            object.__setattr__(layer, "call", functools.partial(rule, layer, layer.call, taps))
        yield taps
    finally:
        for layer in layers:
            layer.__dict__.pop("call", None)


def rules_for(
    model: keras.Model, rules: Mapping[type, LayerRule], fallback: Rule | None
) -> dict[keras.layers.Layer, Rule]:
    """Returns the rule of every layer that holds trainable weights of the model.

    Args:
      rules: by the layer's exact type: a subclass may compute something else.
      fallback: for layers without a rule, or in a form that their rule does not cover; None makes them an error.

    Raises:
      InputError: naming the layers that have no rule, or those whose state passes from one batch to the next.
    """
    trainable = {id(variable) for variable in model.trainable_variables}
    layers = list(model._flatten_layers())
    cells = {id(part) for layer in layers if _has_cell(layer) for part in layer.cell._flatten_layers()}
    holding = [
        layer
        for layer in layers
        if id(layer) not in cells and any(id(variable) in trainable for variable in own_variables(layer))
    ]
    stateful = [layer.path for layer in holding if getattr(layer, "stateful", False)]
    if stateful:
        raise InputError(
            "Where a state passes from one batch to the next, an example has no gradient of its own",
            received=", ".join(stateful),
            expected="stateful=False",
        )
    missing = {layer: why for layer in holding if (why := without_rule(layer, rules))}
    if missing and fallback is None:
        raise InputError(
            "Layers of the captioner have no rule for the norm of an example's gradient",
            received=", ".join(f"{layer.path} ({why})" for layer, why in missing.items()),
            expected="one of " + ", ".join(sorted(kind.__name__ for kind in rules)),
            remedy="--gradient_norm_fallback=instantiate makes the gradient of each example for these layers alone.",
        )
    return {layer: fallback if fallback and layer in missing else rules[type(layer)].rule for layer in holding}


def without_rule(layer: keras.layers.Layer, rules: Mapping[type, LayerRule]) -> str:
    """Returns the layer's type and form if no rule covers them, "" otherwise."""
    kind = type(layer).__name__
    if type(layer) not in rules:
        return kind
    form = rules[type(layer)].uncovered(layer)
    return f"{kind} {form}" if form else ""


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the trainable variables that a layer's `call` uses itself: a recurrent layer's lie in its cell."""
    if _has_cell(layer):
        return list(layer.cell.trainable_variables)
    return [variable for variable in layer._trainable_variables if variable.trainable]


def _has_cell(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.RNN)
