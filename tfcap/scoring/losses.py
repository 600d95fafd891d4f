"""Teacher loss: how hard a trained captioner finds each example."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfcap.scoring.signal import Signal
from tfcap.training.step import Inputs, Tensors, example_losses


class TeacherLoss(Signal):
    """Cross-entropy of each image's captions under a teacher trained on all of train, in evaluation mode.

    The mean over the captions of the mean, or the sum, over a caption's tokens.
    Source: study S4, algorithm 1. Cost: O(N) forward passes.
    """

    quantity = "nats per {}"

    def default_epochs(self, epochs: int) -> int:
        return epochs

    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        return example_losses(model, xla, self.settings.token_reduction)
