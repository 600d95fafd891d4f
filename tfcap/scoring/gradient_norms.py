"""Gradient norm: how strongly one example alone would change the captioner."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from tfcap.data.pipeline import Batch
from tfcap.scoring.factors import Packed, norms
from tfcap.scoring.layer_rules import instantiate
from tfcap.scoring.rules import RULES
from tfcap.scoring.signal import Signal
from tfcap.scoring.taps import Rule, Taps, recording, rules_for
from tfcap.settings import SelectionSettings
from tfcap.training.step import Inputs, Tensors, example_gradient_norms, example_output_gradients, values_of


def rules_of(model: keras.Model, settings: SelectionSettings) -> dict[keras.layers.Layer, Rule]:
    """Returns the rule of every layer of the model that has trainable weights, as the settings say."""
    return rules_for(model, RULES, instantiate if settings.gradient_norm_fallback == "instantiate" else None)


class GradientNorm(Signal):
    """L2 norm of the gradient of each image's loss over all trainable parameters of a proxy captioner.

    The loss is the mean over an image's captions of the mean, or the sum, over a caption's tokens.
    Exact, in one pass: the norms come from each layer's inputs and the gradients at its outputs, and no weight's
    gradient is made (`factors`).
    Source: GraNd at one point in training (Paul et al. 2021, https://arxiv.org/abs/2107.07075, definition 2.1).
    Cost: O(N), a forward and a backward pass without the weights' half of it.
    """

    quantity = "nats per {} per unit of parameter"
    FAULT = "a weight is used outside the call of its layer"
    TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the first examples of a pass, against a gradient tape

    def default_epochs(self, epochs: int) -> int:
        return max(1, round(epochs / 5))

    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        layers, variables = rules_of(model, self.settings), model.trainable_variables

        def finish(taps: Taps, gradients: list[tf.Tensor]) -> Packed:
            return Packed.of(taps.factors(gradients, variables))

        record, reduction = functools.partial(recording, layers), self.settings.token_reduction
        factors = example_output_gradients(model, xla, record, finish, reduction)

        @tf.function
        def compute(parameters: Tensors, state: Tensors, inputs: Inputs) -> tf.Tensor:
            # The norms outside XLA, which multiplies many small matrices two to five times slower on a CPU.
            return norms(factors(parameters, state, inputs)[0].factors)

        return compute

    def check_captioner(self, model: keras.Model) -> None:
        rules_of(model, self.settings)

    def by_tape(self, model: keras.Model) -> Callable[..., tf.Tensor]:
        """Returns a function like that of `compute`, by gradients made whole, each on its own."""
        compute = example_gradient_norms(model, False, self.settings.token_reduction)
        return lambda *arguments: compute(*arguments)[0]

    def check(self, model: keras.Model, batches: Iterable[Batch]) -> None:
        """Compares the first two examples with `by_tape`.

        A captioner that uses a layer's weights outside the layer's call would otherwise score wrongly without a word.

        Raises:
          RuntimeError: they differ by more than TOLERANCE.
        """
        first = next(iter(batches))
        two = {name: tf.constant(array[:2]) for name, array in first.items() if name != "position"}
        arguments = values_of(model.trainable_variables), values_of(model.non_trainable_variables), two
        ours = self.compute(model, False)(*arguments).numpy()
        exact = self.by_tape(model)(*arguments).numpy()
        error = np.abs(ours - exact).max() / max(exact.max(), 1e-12)
        if not error <= self.TOLERANCE[keras.config.dtype_policy().compute_dtype]:
            raise RuntimeError(
                f"The gradient norms by layer rules are {ours.tolist()} where a gradient tape gives {exact.tolist()}:"
                f" {self.FAULT}."
            )
