"""A compiled function of a model's values, run on all replicas over a batch that every worker holds whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

from tfcap.data.pipeline import Batch
from tfcap.training.step import Inputs, Tensors, values_of
from tfcap.training.strategy import Replicas


def replicated(
    model: keras.Model, compute: Callable[[Tensors, Tensors, Inputs], Any], replicas: Replicas
) -> Callable[[Batch], Any]:
    """Returns a function from a batch of B to what `compute` gives, each tensor as a NumPy array [B, ...].

    Args:
      model: its values at the time of each call are used.
      compute: (trainable values, non-trainable values, inputs) -> tensors with a leading batch axis.
    """

    def on_replica(inputs: Inputs) -> Any:
        return compute(values_of(model.trainable_variables), values_of(model.non_trainable_variables), inputs)

    @tf.function
    def run(inputs: Inputs) -> Any:
        return replicas.strategy.run(on_replica, args=(inputs,))

    def on_batch(batch: Batch) -> Any:
        seen = {name: array for name, array in batch.items() if name != "position"}
        results = run(replicas.split(replicas.share(seen)))
        if isinstance(results, tuple):
            return tuple(replicas.gather(result) for result in results)
        return replicas.gather(results)

    return on_batch
