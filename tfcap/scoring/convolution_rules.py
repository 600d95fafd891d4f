"""Rules for convolutions: a convolution is a product with the patches that its kernel sees."""

from __future__ import annotations

from collections.abc import Callable

import tfcap.quiet  # noqa: F401

import tensorflow as tf
from keras import ops

from tfcap.scoring.factors import Product
from tfcap.scoring.layer_rules import Layer, Tensor, activated
from tfcap.scoring.taps import Factors, Taps


def convolution(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor) -> Tensor:
    """Rule of patches(x) W + b for each group of channels."""
    groups = layer.groups

    def factors(gradient: Tensor) -> Factors:
        patches = _patches(layer, inputs, groups)  # [R, g, P, k k c / g]
        rows = tf.transpose(tf.reshape(gradient, [patches.shape[0], -1, groups, layer.filters // groups]), [0, 2, 1, 3])
        found: Factors = [(layer._kernel, Product(_by_group(taps, patches), _by_group(taps, rows)))]
        return [*found, (layer.bias, taps.total(gradient))] if layer.use_bias else found

    y = layer.convolution_op(inputs, layer.kernel)
    return activated(layer, taps.tap(y + layer.bias if layer.use_bias else y, factors))


def depthwise_convolution(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor) -> Tensor:
    """Rule of patches(x) W + b for each channel alone; the kernel is so small that its gradient is made whole."""
    channels, multiplier = inputs.shape[-1], layer.depth_multiplier

    def factors(gradient: Tensor) -> Factors:
        patches = _patches(layer, inputs, channels)  # [R, c, P, k k]
        rows = tf.reshape(gradient, [patches.shape[0], -1, channels, multiplier])
        each = tf.matmul(patches, tf.transpose(rows, [0, 2, 1, 3]), transpose_a=True)  # [R, c, k k, m]
        found: Factors = [(layer.kernel, taps.total(each, 3))]
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


def _patches(layer: Layer, inputs: Tensor, groups: int) -> Tensor:
    """Returns what the kernel sees at each place of its output: [R, groups, places, window x channels]."""
    patches = tf.image.extract_patches(
        ops.cast(inputs, "float32"),
        sizes=[1, *layer.kernel_size, 1],
        strides=[1, *_pair(layer.strides), 1],
        rates=[1, *_pair(layer.dilation_rate), 1],
        padding=layer.padding.upper(),
    )
    window, channels = layer.kernel_size[0] * layer.kernel_size[1], inputs.shape[-1] // groups
    apart = tf.reshape(patches, [inputs.shape[0], -1, window, groups, channels])
    return tf.reshape(tf.transpose(apart, [0, 3, 1, 2, 4]), [inputs.shape[0], groups, -1, window * channels])


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _by_group(taps: Taps, values: Tensor) -> Tensor:
    """Returns [B, g, n, p] from [R, g, P, p]: the places of all rows of an example one after another."""
    groups, places, p = (int(size) for size in values.shape[1:])
    apart = tf.reshape(values, [taps.examples, -1, groups, places, p])
    return tf.cast(tf.reshape(tf.transpose(apart, [0, 2, 1, 3, 4]), [taps.examples, groups, -1, p]), tf.float32)
