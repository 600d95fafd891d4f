"""Dropout whose draws are a function of (seed, step, row of the whole batch), equal on any number of replicas.

Keras' Dropout draws from a stateful generator whose numbers depend on the compiler and the replica, and
which XLA compiles badly for CPUs (0.8 microseconds a number here, where this takes a few nanoseconds).
"""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
from keras import ops

Tensor = Any

STATE = "dropout_state"  # how the training step recognises the variables that it sets


class Dropout(keras.layers.Layer):
    """Zeroes each activation with probability `rate` and scales the others by 1 / (1 - rate) (Srivastava et al. 2014).

    Its variable holds (stream, step, first row of this replica), each below 2**32, and is set anew for every step.
    It is int64 [3] because TensorFlow cannot broadcast an unsigned variable from one worker to the others.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.state = self.add_weight(shape=(3,), dtype="int64", initializer="zeros", trainable=False, name=STATE)
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Returns x, or in training x with dropout: float [B, ...] of the same shape."""
        if not training or self.rate == 0:
            return x
        stream, step, first_row = ops.unstack(ops.cast(ops.convert_to_tensor(self.state), "uint32"))
        shape = ops.shape(x)
        width = int(np.prod(shape[1:]))
        counter = ops.reshape(first_row * width + ops.cast(ops.arange(shape[0] * width), "uint32"), shape)
        bits = mixed(counter ^ mixed(step + mixed(stream)))
        keep = bits < np.uint32((1 - self.rate) * (2**32 - 1))
        return ops.where(keep, x / (1 - self.rate), ops.zeros_like(x))


def mixed(x: Tensor) -> Tensor:
    """Returns a uint32 hash of uint32: C. Wellons' lowbias32, in which an input bit flips half of the output bits."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = ops.bitwise_xor(x, ops.right_shift(x, shift)) * ops.cast(factor, "uint32")
    return ops.bitwise_xor(x, ops.right_shift(x, 16))
