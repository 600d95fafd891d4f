"""Rules for recurrent layers: the gradient at the pre-activations of every step is the gradient of every kernel.

With Z = X W + b made for all steps before the loop, the input kernel's gradient is X^T dZ and the recurrent kernel's
H^T dZ, with H the state before each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tfcap.quiet  # noqa: F401

import tensorflow as tf
from keras import ops

from tfcap.models.lstm import HoistedLSTM, lstm_sequence
from tfcap.scoring.factors import Product, Whole
from tfcap.scoring.layer_rules import Layer, Tensor
from tfcap.scoring.taps import Factors, Taps


def hoisted_lstm(
    layer: HoistedLSTM, call: Callable[..., Tensor], taps: Taps, x: Tensor, h: Tensor, c: Tensor
) -> Tensor:
    """The captioner's own LSTM."""
    outputs: Tensor = None

    def factors(dz: Tensor) -> Factors:
        before = ops.concatenate([h[:, None], outputs[:, :-1]], axis=1)
        right = taps.by_example(dz)
        return [
            (layer.kernel, Product(taps.by_example(x), right)),
            (layer.recurrent_kernel, Product(taps.by_example(before), right)),
            (layer.bias, taps.total(dz)),
        ]

    z = ops.swapaxes(taps.tap(layer.project(x), factors), 0, 1)
    outputs = ops.swapaxes(lstm_sequence(z, ops.copy(layer.recurrent_kernel), h, c), 0, 1)
    return outputs


def _start(layer: Layer, sequences: Tensor, initial_state: Any, states: int) -> list[Tensor]:
    if initial_state is None:
        return [ops.zeros([sequences.shape[0], layer.units], sequences.dtype) for _ in range(states)]
    return list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]


def _in_order(layer: Layer, sequences: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Returns the steps, and the mask of them, in the order in which the layer takes them."""
    if not layer.go_backwards:
        return sequences, mask
    return ops.flip(sequences, axis=1), None if mask is None else ops.flip(mask, axis=1)


def _kept(mask: Tensor | None, t: int, new: Tensor, old: Tensor) -> Tensor:
    """Returns what is new after step t, and what was there where the step is masked."""
    return new if mask is None else ops.where(mask[:, t, None], new, old)


def _returned(layer: Layer, made: list[Tensor], mask: Tensor | None, state: list[Tensor]) -> Any:
    """Returns what the layer does for the output that each step has made; a masked step repeats the one before."""
    outputs: list[Tensor] = []
    for t, output in enumerate(made):
        repeats = outputs and not layer.zero_output_for_mask
        outputs.append(_kept(mask, t, output, outputs[-1] if repeats else ops.zeros_like(output)))
    result = ops.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
    return (result, *state) if layer.return_state else result


def lstm(
    layer: Layer,
    call: Callable[..., Tensor],
    taps: Taps,
    sequences: Tensor,
    initial_state: Any = None,
    mask: Tensor | None = None,
    training: Any = None,
) -> Any:
    """keras.layers.LSTM: gates in the order i, f, g, o."""
    cell = layer.cell
    h, c = _start(layer, sequences, initial_state, 2)
    sequences, mask = _in_order(layer, sequences, mask)
    before: list[Tensor] = []

    def factors(dz: Tensor) -> Factors:
        right = taps.by_example(dz)
        found: Factors = [
            (cell.kernel, Product(taps.by_example(sequences), right)),
            (cell.recurrent_kernel, Product(taps.by_example(ops.stack(before, axis=1)), right)),
        ]
        return [*found, (cell.bias, taps.total(dz))] if cell.use_bias else found

    z = ops.matmul(sequences, cell.kernel)
    z = taps.tap(z + cell.bias if cell.use_bias else z, factors)
    outputs = []
    for t in range(sequences.shape[1]):
        before.append(h)
        i, f, g, o = ops.split(z[:, t] + ops.matmul(h, cell.recurrent_kernel), 4, axis=-1)
        new_c = cell.recurrent_activation(f) * c + cell.recurrent_activation(i) * cell.activation(g)
        outputs.append(cell.recurrent_activation(o) * cell.activation(new_c))
        h, c = _kept(mask, t, outputs[-1], h), _kept(mask, t, new_c, c)
    return _returned(layer, outputs, mask, [h, c])


def gru(
    layer: Layer,
    call: Callable[..., Tensor],
    taps: Taps,
    sequences: Tensor,
    initial_state: Any = None,
    mask: Tensor | None = None,
    training: Any = None,
) -> Any:
    """keras.layers.GRU, its reset gate after or before the product with the state; gates in the order z, r, h."""
    cell, units, steps = layer.cell, layer.units, sequences.shape[1]
    (h,) = _start(layer, sequences, initial_state, 1)
    sequences, mask = _in_order(layer, sequences, mask)
    bias, recurrent_bias = (cell.bias[0], cell.bias[1]) if cell.use_bias and cell.reset_after else (cell.bias, None)
    before: list[Tensor] = []
    reset: list[Tensor] = []

    def input_factors(dx: Tensor) -> Factors:
        found: Factors = [(cell.kernel, Product(taps.by_example(sequences), taps.by_example(dx)))]
        if cell.use_bias:
            total = taps.total(dx).gradient
            found.append((cell.bias, Whole(tf.stack([total, tf.zeros_like(total)], 1) if cell.reset_after else total)))
        return found

    def recurrent_factors(dr: Tensor) -> Factors:
        state, right = taps.by_example(ops.stack(before, axis=1)), taps.by_example(dr)
        if cell.reset_after:
            found: Factors = [(cell.recurrent_kernel, Product(state, right))]
            total = tf.reduce_sum(right, 1)
            return [*found, (cell.bias, Whole(tf.stack([tf.zeros_like(total), total], 1)))] if cell.use_bias else found
        candidate = tf.range(3 * units) >= 2 * units
        gates, last = tf.where(candidate, 0.0, right), tf.where(candidate, right, 0.0)
        scaled = taps.by_example(ops.stack(reset, axis=1)) * state
        return [(cell.recurrent_kernel, Product(state, gates)), (cell.recurrent_kernel, Product(scaled, last))]

    x = ops.matmul(sequences, cell.kernel)
    x = taps.tap(x if bias is None else x + bias, input_factors)
    # Zeros added to each step's product with the state: their gradient is the gradient there.
    probe = taps.tap(ops.zeros_like(x), recurrent_factors)
    outputs = []
    for t in range(steps):
        before.append(h)
        x_z, x_r, x_h = ops.split(x[:, t], 3, axis=-1)
        p_z, p_r, p_h = ops.split(probe[:, t], 3, axis=-1)
        u_z, u_r, u_h = ops.split(ops.convert_to_tensor(cell.recurrent_kernel), 3, axis=-1)
        b_z, b_r, b_h = (0.0, 0.0, 0.0) if recurrent_bias is None else ops.split(recurrent_bias, 3, axis=-1)
        z = cell.recurrent_activation(x_z + ops.matmul(h, u_z) + b_z + p_z)
        r = cell.recurrent_activation(x_r + ops.matmul(h, u_r) + b_r + p_r)
        reset.append(r)
        inner = r * (ops.matmul(h, u_h) + b_h + p_h) if cell.reset_after else ops.matmul(r * h, u_h) + p_h
        outputs.append(z * h + (1 - z) * cell.activation(x_h + inner))
        h = _kept(mask, t, outputs[-1], h)
    return _returned(layer, outputs, mask, [h])
