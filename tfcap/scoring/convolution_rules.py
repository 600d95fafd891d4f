"""Rules for convolutions: a convolution is a product with the patches that its kernel sees."""

from __future__ import annotations

from collections.abc import Callable

import tfcap.quiet  # noqa: F401

import tensorflow as tf
from keras import ops

from tfcap.scoring.factors import Product, Whole
from tfcap.scoring.layer_rules import Layer, Tensor, activated
from tfcap.scoring.patches import Patches, Window
from tfcap.scoring.taps import Factors, Taps


def convolution(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor) -> Tensor:
    """Rule of patches(x) W + b for each group of channels."""

    def factors(gradient: Tensor) -> Factors:
        left, right = _patches(layer, taps, inputs, layer.groups), _by_group(taps, gradient, layer.groups)
        found: Factors = [(layer._kernel, Product(left, right))]
        return [*found, (layer.bias, taps.total(gradient))] if layer.use_bias else found

    y = layer.convolution_op(inputs, layer.kernel)
    return activated(layer, taps.tap(y + layer.bias if layer.use_bias else y, factors))


def depthwise_convolution(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor) -> Tensor:
    """Rule of patches(x) W + b for each channel alone; the kernel is so small that its gradient is made whole."""

    def factors(gradient: Tensor) -> Factors:
        right = taps.by_example(gradient)
        right = tf.reshape(right, [taps.examples, -1, inputs.shape[-1], layer.depth_multiplier])
        seen = _patches(layer, taps, inputs, 1).each()
        elements = [tf.reduce_sum(values[:, 0, :, :, None] * right, 1) for values in seen]  # each [B, c, multiplier]
        found: Factors = [(layer.kernel, Whole(tf.stack(elements, 1)))]
        return [*found, (layer.bias, taps.total(gradient))] if layer.use_bias else found

    y = ops.depthwise_conv(
        inputs, layer.kernel, strides=layer.strides, padding=layer.padding, dilation_rate=layer.dilation_rate
    )
    return activated(layer, taps.tap(y + layer.bias if layer.use_bias else y, factors))


def uncovered(layer: Layer) -> str:
    """Returns the form of a convolution that these rules do not cover, or ""."""
    if layer.data_format != "channels_last":
        return "with channels first"
    return "with LoRA" if getattr(layer, "lora_enabled", False) else ""


def _patches(layer: Layer, taps: Taps, inputs: Tensor, groups: int) -> Patches:
    """Returns what the kernel sees at each place of its output, for each group of channels."""
    _, height, width, channels = inputs.shape
    maps = tf.reshape(tf.cast(inputs, tf.float32), [taps.examples, -1, height, width, groups, channels // groups])
    window = Window.of(
        layer.kernel_size, _pair(layer.strides), _pair(layer.dilation_rate), layer.padding, (height, width)
    )
    return Patches(tf.transpose(maps, [0, 4, 1, 2, 3, 5]), window)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _by_group(taps: Taps, gradient: Tensor, groups: int) -> Tensor:
    """Returns [B, g, n, q] from [R, places, places, g q]: the places of all rows of an example one after another."""
    apart = tf.reshape(tf.cast(gradient, tf.float32), [taps.examples, -1, groups, gradient.shape[-1] // groups])
    return tf.transpose(apart, [0, 2, 1, 3])
