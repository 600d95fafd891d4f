"""Gradient sketch: each example's gradient, projected to a few dimensions in which inner products survive.

The projection is a seeded map of random signs, one for each weight: of a matrix's gradient X^T G on both sides, which
costs as much as two thin layers and never makes the gradient. A map on both sides errs like one of far fewer dimensions
where the gradient is close to one outer product, so it is made WIDENING times wider on each side than is kept, and then
folded by random signs. Sketches of a whole model add up in the same dimensions.
Source: Johnson and Lindenstrauss 1984 with the signs of Achlioptas 2003; for gradients TRAK (Park et al. 2023,
https://arxiv.org/abs/2303.14186) and LESS (Xia et al. 2024, https://arxiv.org/abs/2402.04333); on both sides LoGra
(Choe et al. 2024, https://arxiv.org/abs/2405.13954); folding after Charikar, Chen and Farach-Colton 2002 (count
sketch). One bit a dimension after SimHash (Charikar 2002).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from tfcap.data.pipeline import Batch
from tfcap.scoring.factors import Factor, Product, Rows, dense_left
from tfcap.scoring.gradient_norms import GradientNorm, rules_of
from tfcap.scoring.taps import Taps, recording
from tfcap.training.step import Inputs, Tensors, example_output_gradients

Tensor = Any

WIDENING = 4


class GradientSketch(GradientNorm):
    """Sketch of the gradient that `gradient_norm` is the norm of, float16 [N, S] or bits.

    The inner product of two sketches is an unbiased estimate of that of the gradients. Its error, over the product of
    the two norms, was 1.1 to 2 times 1 / sqrt(S) on captioners (`benchmarks/gradient_sketch`).
    Cost: that of `gradient_norm`.
    """

    quantity = "nats per {} per unit of parameter, projected"
    averages = False

    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        layers, variables = rules_of(model, self.settings), model.trainable_variables
        side = math.isqrt(self.settings.sketch_dimensions)

        def finish(taps: Taps, gradients: list[tf.Tensor]) -> tf.Tensor:
            return sketch(taps.factors(gradients, variables), side)

        record, reduction = functools.partial(recording, layers), self.settings.token_reduction
        compute = example_output_gradients(model, xla, record, finish, reduction)
        return lambda parameters, state, inputs: compute(parameters, state, inputs)[0]

    def check(self, model: keras.Model, batches: Iterable[Batch]) -> None:
        GradientNorm(self.settings).check(model, batches)

    def stored(self, values: np.ndarray) -> np.ndarray:
        if self.settings.sketch_type == "bits":
            return np.packbits(values > 0, axis=1)
        return values.astype(np.float16)


def sketch(factors: Sequence[Sequence[Factor]], side: int) -> Tensor:
    """Returns [B, side * side]: the projection of the gradient over all weights.

    Args:
      factors: of each weight, what its gradient is the sum of.
    """
    wide = WIDENING * side
    matrices, rest = [], []
    for index, of_weight in enumerate(factors):
        for factor in of_weight:
            if isinstance(factor, Product):
                matrices.append(_on_both_sides(factor, index, wide))
            else:
                flat = tf.reshape(factor.gradient, [factor.gradient.shape[0], -1])
                rest.append(tf.matmul(flat, _signs(index, 0, (flat.shape[1], side * side))) / side)
    if matrices:
        signed = tf.add_n(matrices) * _signs(0, 3, (wide * wide,))
        rest.append(tf.reduce_sum(tf.reshape(signed, [-1, side * side, WIDENING**2]), -1))
    return tf.add_n(rest)


def _on_both_sides(product: Product, index: int, side: int) -> Tensor:
    """Returns [B, side * side]: the projection of one use of the matrix that is the weight number `index`."""
    right = product.right if len(product.right.shape) == 4 else product.right[:, None]  # [B, g, n, q]
    groups, q = right.shape[1], right.shape[3]
    if isinstance(product.left, Rows):
        left = tf.gather(_signs(index, 1, (product.left.count, side)), product.left.ids)[:, None]
    else:
        left = dense_left(product)
        left = left if len(left.shape) == 4 else left[:, None]
        left = tf.einsum("bgnp,gpr->bgnr", left, _signs(index, 1, (groups, left.shape[3], side)))
    right = tf.einsum("bgnq,gqc->bgnc", right, _signs(index, 2, (groups, q, side)))
    return tf.reshape(tf.einsum("bgnr,bgnc->brc", left, right), [right.shape[0], side * side]) / side


def _signs(index: int, place: int, shape: tuple[int, ...]) -> Tensor:
    """Returns random signs float32 that depend on the weight's number, the side and the shape alone."""
    signs = np.random.default_rng([index, place]).integers(0, 2, shape, np.int8) * 2 - 1
    return tf.cast(tf.constant(signs), tf.float32)
