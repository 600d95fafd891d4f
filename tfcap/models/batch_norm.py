"""Batch normalisation that trains: its moving statistics are a part of what a training step changes."""

from __future__ import annotations

import keras


class BatchNorm(keras.layers.BatchNormalization):
    """Keras' batch normalisation (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167) with PyTorch's constants.

    A training step normalises by its own batch, on each replica by the replica's part of it, as is usual; what a
    replica adds to the moving statistics is averaged over the replicas. That of a pretrained encoder is Keras' own
    class, which stays in evaluation mode and is not looked for here.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **keywords: object) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, **keywords)


def moving_statistics(model: keras.Model) -> list[keras.Variable]:
    """Returns the means and variances that training moves, in the order of `model.non_trainable_variables`."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, BatchNorm) and layer.trainable]
    moved = {id(variable) for layer in layers for variable in (layer.moving_mean, layer.moving_variance)}
    return [variable for variable in model.non_trainable_variables if id(variable) in moved]
