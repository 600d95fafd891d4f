"""Gradient norm: how strongly one example alone would change the captioner."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfcap.scoring.signal import Signal
from tfcap.training.step import Inputs, Tensors, example_gradient_norms


class GradientNorm(Signal):
    """L2 norm of the gradient of each image's mean caption loss over all trainable parameters of a proxy captioner.

    Exact: each gradient is made on its own, in evaluation mode.
    Source: GraNd at one point in training (Paul et al. 2021, https://arxiv.org/abs/2107.07075, definition 2.1).
    Cost: O(N) forward and backward passes of a batch of one image with all its captions.
    """

    unit = "nats per token per unit of parameter"

    def default_epochs(self, epochs: int) -> int:
        return max(1, round(epochs / 5))

    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        compute = example_gradient_norms(model, xla)
        return lambda parameters, state, inputs: compute(parameters, state, inputs)[0]
