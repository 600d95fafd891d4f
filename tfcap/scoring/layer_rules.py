"""How each layer's weights enter its output: one rule for each type of layer.

A rule computes what the layer's `call` computes and taps the tensor right after the weights, before any activation:
the norm is wrong by the activation's slope otherwise. `rules.RULES` is the table of all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf
from keras import ops

from tfcap.scoring.factors import Product, Rows, Whole
from tfcap.scoring.taps import Factors, Rule, Taps, own_variables

Tensor = Any
Layer = Any  # a Keras layer: Keras has no types


def activated(layer: Layer, x: Tensor) -> Tensor:
    """Returns the layer's activation of x."""
    return x if layer.activation is None else layer.activation(x)


def _kernel_factors(layer: Layer, taps: Taps, x: Tensor, g: Tensor) -> Factors:
    """Returns the factors of a kernel [p, q], or of its LoRA pair, from its input x [B, n, p] and g [B, n, q]."""
    if not layer.lora_enabled:
        return [(layer._kernel, Product(x, g))]
    scale = layer.lora_alpha / layer.lora_rank
    a, b = ops.convert_to_tensor(layer.lora_kernel_a), ops.convert_to_tensor(layer.lora_kernel_b)
    rank, last = b.shape  # W is A B along its last axis alone: A [p, q / last, rank], B [rank, last]
    apart = tf.reshape(g, [taps.examples, g.shape[1], -1, last])
    through_b = tf.reshape(tf.matmul(apart, b, transpose_b=True), [taps.examples, g.shape[1], -1])
    through_a = tf.reshape(tf.matmul(x, tf.reshape(a, [x.shape[-1], -1])), [taps.examples, -1, rank])
    return [
        (layer.lora_kernel_a, Product(x, scale * through_b)),
        (layer.lora_kernel_b, Product(through_a, scale * tf.reshape(apart, [taps.examples, -1, last]))),
    ]


def dense(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor, training: Any = None) -> Tensor:
    """Rule of x W + b."""

    def factors(gradient: Tensor) -> Factors:
        found = _kernel_factors(layer, taps, taps.by_example(inputs), taps.by_example(gradient))
        return [*found, (layer.bias, taps.total(gradient))] if layer.bias is not None else found

    x = ops.matmul(inputs, layer.kernel)
    return activated(layer, taps.tap(x if layer.bias is None else x + layer.bias, factors))


def einsum_dense(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor, training: Any = None) -> Tensor:
    """Rule of einsum(equation, x, W) + b, as a product of matrices, or of several where all three share an axis."""
    inputs_term, kernel_term, output_term = _terms(layer.equation, len(inputs.shape))
    summed = [c for c in kernel_term if c in inputs_term and c not in output_term]
    made = [c for c in kernel_term if c in output_term and c not in inputs_term]
    groups = [c for c in kernel_term if c in inputs_term and c in output_term]

    def factors(gradient: Tensor) -> Factors:
        x = _as_matrices(taps, inputs, inputs_term, groups, summed)
        g = _as_matrices(taps, gradient, output_term, groups, made)
        found = _kernel_factors(layer, taps, x, g)
        return [*found, (layer.bias, _bias_total(layer, taps, gradient))] if layer.bias is not None else found

    x = ops.einsum(layer.equation, inputs, layer.kernel)
    return activated(layer, taps.tap(x if layer.bias is None else x + layer.bias, factors))


def einsum_uncovered(layer: Layer) -> str:
    """Returns the form of an EinsumDense that its rule does not cover, or ""."""
    named = layer.equation.split(",")[0].replace("...", ".").replace(" ", "")
    inputs, kernel, output = _terms(layer.equation, len(named))  # of dots for one axis; any number is alike
    if inputs[0] in kernel or inputs[0] != output[0]:
        return f"with the equation {layer.equation}, whose first axis is not the batch"
    if set(inputs) - set(kernel) != set(output) - set(kernel):
        return f"with the equation {layer.equation}, which sums over places or makes them"
    groups = set(kernel) & set(inputs) & set(output)
    in_order = sorted(kernel, key=lambda c: c in output) == list(kernel)
    return f"with LoRA on the equation {layer.equation}" if layer.lora_enabled and (groups or not in_order) else ""


def _terms(equation: str, rank: int) -> tuple[str, str, str]:
    """Returns the three terms of an equation with `...` written out."""
    free = [c for c in "ABCDEFGH" if c not in equation]
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    dots = "".join(free[: rank - len(inputs.replace("...", ""))])
    return inputs.replace("...", dots), kernel, output.replace("...", dots)


def _as_matrices(taps: Taps, values: Tensor, term: str, groups: list[str], sides: list[str]) -> Tensor:
    """Returns `values` with axes named by `term` as [B, n, p], or [B, g, n, p] where there are groups."""
    positions = [c for c in term if c not in groups and c not in sides]
    values = taps.by_example(
        tf.transpose(values, [term.index(c) for c in [*positions, *groups, *sides]]), len(term) - 1
    )
    sizes = [int(size) for size in values.shape[2:]]
    count, group_count = len(positions) - 1, len(groups)
    side = int(tf.TensorShape(sizes[count + group_count :]).num_elements() or 1)
    if not groups:
        return tf.reshape(values, [taps.examples, -1, side])
    together = int(tf.TensorShape(sizes[count : count + group_count]).num_elements() or 1)
    return tf.transpose(tf.reshape(values, [taps.examples, -1, together, side]), [0, 2, 1, 3])


def _bias_total(layer: Layer, taps: Taps, gradient: Tensor) -> Whole:
    """Returns the sum of a gradient over the axes along which the bias is the same for all."""
    trailing = len(gradient.shape) - 1
    values = taps.by_example(gradient, trailing)  # [B, n, ...]
    bias = [1] * (trailing - len(layer.bias.shape)) + [int(size) for size in layer.bias.shape]
    same = [2 + i for i, size in enumerate(bias) if size == 1 and values.shape[2 + i] != 1]
    return Whole(tf.reduce_sum(values, [1, *same]))


def embedding(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor) -> Tensor:
    """Rule of W[ids]."""
    return taps.tap(call(inputs), lambda g: [(layer._embeddings, _looked_up(taps, inputs, g, layer.input_dim))])


def embedding_uncovered(layer: Layer) -> str:
    """Returns the form of an embedding that its rules do not cover, or ""."""
    return "with LoRA" if layer.lora_enabled else ""


def _looked_up(taps: Taps, ids: Tensor, gradient: Tensor, count: int) -> Product:
    return Product(Rows(taps.by_example(ops.cast(ids, "int32"), 0), count), taps.by_example(gradient))


def reversible_embedding(
    layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor, reverse: bool = False
) -> Tensor:
    """Rule of W[ids] and, in reverse, of the logits h W^T: one weight in two uses, which `squared_norm` adds up."""
    if not reverse:
        return embedding(layer, lambda ids: call(ids, reverse=False), taps, inputs)
    table = ops.transpose(layer.embeddings) if layer.tie_weights else layer.reverse_embeddings
    if layer.reverse_dtype is not None:
        inputs, table = ops.cast(inputs, layer.reverse_dtype), ops.cast(table, layer.reverse_dtype)

    def factors(gradient: Tensor) -> Factors:
        h, g = taps.by_example(inputs), taps.by_example(gradient)
        return (
            [(layer._embeddings, Product(g, h))] if layer.tie_weights else [(layer.reverse_embeddings, Product(h, g))]
        )

    logits = taps.tap(ops.matmul(inputs, table), factors)
    cap = layer.logit_soft_cap
    return logits if cap is None else ops.tanh(logits / cap) * cap


def position_embedding(
    layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor, start_index: int = 0, positions: Any = None
) -> Tensor:
    """Rule of W[start], W[start + 1], ..."""
    output = call(inputs, start_index=start_index, positions=positions)
    ids = ops.arange(inputs.shape[-2], dtype="int32") + start_index if positions is None else positions
    ids = ops.broadcast_to(ids, inputs.shape[:-1])
    return taps.tap(output, lambda g: [(layer.position_embeddings, _looked_up(taps, ids, g, layer.sequence_length))])


def scale_and_shift(scale: str, shift: str | None, neutral: float = 1.0) -> Rule:
    """Returns the rule of a normalisation, normalised(x) * scale + shift.

    Args:
      scale, shift: names of the layer's weights.
      neutral: the value of `scale` at which the layer only normalises.
    """

    def rule(layer: Layer, call: Callable[..., Tensor], taps: Taps, inputs: Tensor, **arguments: Any) -> Tensor:
        gamma, beta = getattr(layer, scale), getattr(layer, shift) if shift else None
        mapping = [
            (v, ops.full(v.shape, value, v.dtype)) for v, value in ((gamma, neutral), (beta, 0.0)) if v is not None
        ]
        untouched = [(v, v.value) for v in layer.variables if v is not gamma and v is not beta]
        with keras.StatelessScope(state_mapping=[*mapping, *untouched]):
            normalised = call(inputs, **arguments)

        def factors(gradient: Tensor) -> Factors:
            found: Factors = []
            if gamma is not None:
                scaled = ops.cast(gradient, "float32") * ops.cast(normalised, "float32")
                found.append((gamma, taps.total(scaled)))
            if beta is not None:
                found.append((beta, taps.total(gradient)))
            return found

        output = normalised
        if gamma is not None:
            output = output * ops.cast(gamma - neutral + 1.0, output.dtype)
        if beta is not None:
            output = output + ops.cast(beta, output.dtype)
        return taps.tap(output, factors)

    return rule


def normalisation_uncovered(layer: Layer) -> str:
    """Returns the form of a normalisation that its rule does not cover, or ""."""
    axis = getattr(layer, "axis", -1)
    axes = list(axis) if isinstance(axis, (list, tuple)) else [axis]
    shape = (layer.get_build_config() or {}).get("input_shape")
    last = (-1,) if shape is None else (-1, len(shape) - 1)
    return "" if len(axes) == 1 and axes[0] in last else f"with weights along axis {', '.join(map(str, axes))}"


def instantiate(layer: Layer, call: Callable[..., Tensor], taps: Taps, *args: Any, **kwargs: Any) -> Tensor:
    """Any layer: gives each example a copy of its weights, whose gradient is then the example's own.

    Costs B times the layer's weights in memory. The fallback for layers that have no rule.
    """
    variables = own_variables(layer)
    rest = [variable for variable in layer.variables if all(variable is not v for v in variables)]

    def own_copy(variable: keras.Variable) -> Tensor:
        copies = tf.repeat(tf.convert_to_tensor(variable.value)[None], taps.examples, axis=0)
        return taps.tap(copies, lambda g: [(variable, Whole(tf.cast(g, tf.float32)))])

    copies = [own_copy(variable) for variable in variables]
    structure = (args, kwargs)
    tensors = [leaf for leaf in tf.nest.flatten(structure) if tf.is_tensor(leaf)]
    split = [tf.reshape(t, [taps.examples, t.shape[0] // taps.examples, *t.shape[1:]]) for t in tensors]
    others = [(variable, variable.value) for variable in rest]

    def one(example: tuple[list[Tensor], list[Tensor]]) -> Tensor:
        weights, parts = example
        left = iter(parts)
        own_args, own_kwargs = tf.nest.map_structure(lambda leaf: next(left) if tf.is_tensor(leaf) else leaf, structure)
        with keras.StatelessScope(state_mapping=[*zip(variables, weights, strict=True), *others]):
            return call(*own_args, **own_kwargs)

    output = tf.vectorized_map(one, (copies, split))
    return tf.nest.map_structure(lambda t: tf.reshape(t, [-1, *t.shape[2:]]), output)
