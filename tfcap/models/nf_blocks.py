"""A residual block that needs no normalisation: its convolutions standardise their weights, not their inputs.

Source: Brock, De and Smith 2021, https://arxiv.org/abs/2101.08692, sections 3 and 4. An output depends on its own image
alone, and everything can be differentiated twice. Shapes: B images, H x W places, C channels.
"""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.models.weight_table import CONVOLUTION, Row, of_one, row

Tensor = Any

ALPHA = 0.2  # of what a block adds
OF_RELU = 1.7139588594436646  # one by the deviation of a ReLU of normal numbers; 1.7129, but so it is published
_EPSILON = 1e-5
_OF_CHANNELS = of_one(lambda g: g.reshape(-1), lambda g: g.reshape(-1, 1, 1, 1))


class StandardisedConvolution(keras.layers.Layer):
    """A convolution [B, H, W, C] whose kernel has mean 0 and variance 1 / fan-in for each output, times a gain.

    Equation 2 of the paper; `gamma`, by which a ReLU in front of it is made up for, is in the kernel.
    """

    def __init__(self, outputs: int, size: int, strides: int = 1, gamma: float = OF_RELU, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.outputs, self.size, self.strides, self.gamma = outputs, size, strides, gamma

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        fan_in = self.size * self.size * int(input_shape[-1] or 0)
        self.scale = self.gamma * fan_in**-0.5
        self.kernel = self.add_weight(
            shape=(self.size, self.size, input_shape[-1], self.outputs),
            initializer=keras.initializers.RandomNormal(stddev=fan_in**-0.5),
            autocast=False,  # its mean and variance are float32
            name="kernel",
        )
        self.gain = self.add_weight(shape=(self.outputs,), initializer="ones", autocast=False, name="gain")
        self.bias = self.add_weight(shape=(self.outputs,), initializer="zeros", name="bias")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        kernel = ops.convert_to_tensor(self.kernel)
        centred = kernel - ops.mean(kernel, axis=(0, 1, 2))
        variance = ops.mean(ops.square(centred), axis=(0, 1, 2))
        kernel = ops.cast(centred * (self.gain * self.scale * ops.rsqrt(variance + _EPSILON)), x.dtype)
        x = padded(x, self.size) if self.size % 2 else x
        return ops.conv(x, kernel, self.strides, "valid" if self.size % 2 else "same", "channels_last") + self.bias

    def rows(self, name: str) -> list[Row]:
        """Returns the table of its weights under timm's names."""
        return [
            row(f"{name}.weight", self.kernel, CONVOLUTION),
            row(f"{name}.bias", self.bias),
            row(f"{name}.gain", self.gain, _OF_CHANNELS),
        ]


def padded(x: Tensor, size: int, value: float = 0.0) -> Tensor:
    """Returns [B, H, W, C] with as much around it on each side as a window of an odd size reaches over its middle."""
    around = size // 2
    return ops.pad(x, [[0, 0], [around, around], [around, around], [0, 0]], constant_values=value) if around else x


class NFBlock(keras.layers.Layer):
    """x to alpha f(x / beta) + x, where beta is the deviation that x has by the arithmetic of the start.

    f is ReLU and a convolution, three times, with fewer channels in the middle. Where sizes change, x is a convolution
    of ReLU(x / beta), and its variance begins at 1 again. Where it halves, that is of the means of four places, as in
    timm, which takes variance from it unless neighbours are alike, or of all four, which keeps it.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        middle: int,
        strides: int,
        expected_variance: float,
        means: bool,
        **arguments: Any,
    ) -> None:
        """Makes one with random weights, of which `means` says what a shortcut that halves is made of."""
        super().__init__(**arguments)
        policy = self.dtype_policy
        self.pools, self.expected_variance = means and strides > 1, expected_variance
        self.convolutions = [
            StandardisedConvolution(middle, 1, dtype=policy, name="conv1"),
            StandardisedConvolution(middle, 3, strides, dtype=policy, name="conv2"),
            StandardisedConvolution(width, 1, dtype=policy, name="conv3"),
        ]
        size = 1 if self.pools else strides
        self.shortcut = (
            StandardisedConvolution(width, size, size, dtype=policy, name="shortcut")
            if strides > 1 or inputs != width
            else None
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        first, second, third = self.convolutions
        first.build(input_shape)
        for layer in (second, third):
            layer.build((*input_shape[:-1], first.outputs))
        if self.shortcut is not None:
            self.shortcut.build(input_shape)
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        first, second, third = self.convolutions
        y = ops.relu(x) * self.expected_variance**-0.5
        if self.shortcut is not None:
            x = self.shortcut(ops.average_pool(y, 2, 2, "same", "channels_last") if self.pools else y)
        return ALPHA * third(ops.relu(second(ops.relu(first(y))))) + x

    def rows(self, name: str) -> list[Row]:
        """Returns the table of its weights under timm's names."""
        named = {f"{name}.conv{index + 1}": layer for index, layer in enumerate(self.convolutions)}
        if self.shortcut is not None:
            named[f"{name}.downsample.conv"] = self.shortcut
        return [one for part, layer in named.items() for one in layer.rows(part)]
