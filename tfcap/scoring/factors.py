"""A weight's gradient for each example, kept as the factors it is a product of, and its norm from them.

The gradient of a matrix that takes X to X W is X^T G, with G the loss's gradient at the output. Its squared norm is
<X X^T, G G^T> (Goodfellow 2015, https://arxiv.org/abs/1510.01799, for one position; Rochette et al. 2019,
https://arxiv.org/abs/1912.06015, and Li et al. 2022, https://arxiv.org/abs/2110.05679, for several), which needs no
gradient of W's size. Shapes: B examples, g groups of weights that do not mix, n positions, p and q the sides of W.
The classes are TensorFlow nests, so that a compiled function can return them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import tensorflow as tf

from tfcap.scoring.patches import Patches

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Rows:
    """The left factor of a table look-up: position s of example b takes row ids[b, s]."""

    ids: Tensor  # [B, n] int32
    count: int  # p, the rows of the table

    def __tf_flatten__(self) -> tuple[tuple[int], tuple[Tensor]]:
        return (self.count,), (self.ids,)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[int], components: tuple[Tensor]) -> Rows:
        return cls(*components, *metadata)


@dataclasses.dataclass(frozen=True)
class Product:
    """Gradient left^T right of each example: a matrix [p, q], or g of them."""

    left: Tensor | Rows | Patches  # [B, n, p] or [B, g, n, p] float32, or rows of a table, or patches of maps
    right: Tensor  # [B, n, q] or [B, g, n, q] float32

    def __tf_flatten__(self) -> tuple[tuple[()], tuple[Tensor | Rows | Patches, Tensor]]:
        return (), (self.left, self.right)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[()], components: tuple[Tensor | Rows | Patches, Tensor]) -> Product:
        return cls(*components)


@dataclasses.dataclass(frozen=True)
class Whole:
    """The gradient itself, for weights as small as an activation."""

    gradient: Tensor  # [B, ...] float32

    def __tf_flatten__(self) -> tuple[tuple[()], tuple[Tensor]]:
        return (), (self.gradient,)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[()], components: tuple[Tensor]) -> Whole:
        return cls(*components)


Factor = Product | Whole


@dataclasses.dataclass(frozen=True)
class Packed:
    """The factors of all weights with each tensor in them once, whichever factors share it.

    A compiled function would return a copy for each. What follows it then also sees that two tensors are the same, and
    TensorFlow makes the Gram matrix of a recurrence's gradient once for both of its kernels.
    """

    tensors: tuple[Tensor, ...]
    places: tuple[tuple[Factor, ...], ...]  # the factors of each weight, with a number among `tensors` for each tensor

    def __tf_flatten__(self) -> tuple[tuple[Any], tuple[tuple[Tensor, ...]]]:
        return (self.places,), (self.tensors,)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[Any], components: tuple[tuple[Tensor, ...]]) -> Packed:
        return cls(*components, *metadata)

    @classmethod
    def of(cls, factors: Sequence[Sequence[Factor]]) -> Packed:
        """Returns the factors packed."""
        nest = tuple(tuple(of_weight) for of_weight in factors)
        flat = tf.nest.flatten(nest)
        tensors = {id(tensor): tensor for tensor in flat}
        numbers = {key: number for number, key in enumerate(tensors)}
        return cls(tuple(tensors.values()), tf.nest.pack_sequence_as(nest, [numbers[id(tensor)] for tensor in flat]))

    @property
    def factors(self) -> Sequence[Sequence[Factor]]:
        """The factors of each weight."""
        return tf.nest.map_structure(lambda number: self.tensors[number], self.places)


def norms(factors: Sequence[Sequence[Factor]]) -> Tensor:
    """Returns the norm float32 [B] of each example's gradient over all weights, from the factors of each weight."""
    return tf.sqrt(tf.add_n([squared_norm(of_weight) for of_weight in factors if of_weight]))


def squared_norm(factors: Sequence[Factor]) -> Tensor:
    """Returns the squared norm float32 [B] of the sum of a weight's gradients, one for each use of the weight."""
    if any(isinstance(factor, Whole) for factor in factors):
        gradients = [factor.gradient if isinstance(factor, Whole) else _matrix(factor) for factor in factors]
        total = tf.add_n([tf.reshape(gradient, [tf.shape(gradient)[0], -1]) for gradient in gradients])
        return tf.reduce_sum(tf.square(total), -1)
    products = _joined([factor for factor in factors if isinstance(factor, Product)])
    norms = [_square(product) for product in products]
    norms += [2 * _inner(a, b) for i, a in enumerate(products) for b in products[i + 1 :]]
    return tf.add_n(norms)


def _joined(products: list[Product]) -> list[Product]:
    """Returns the same sum with all dense products as one, and all look-ups as one."""
    if len(products) == 1:
        return products
    dense = [product for product in products if not isinstance(product.left, Rows)]
    rows = [product for product in products if isinstance(product.left, Rows)]
    joined = []
    if dense:
        left = tf.concat([dense_left(product) for product in dense], -2)
        joined.append(Product(left, tf.concat([product.right for product in dense], -2)))
    if rows:
        lefts = [product.left for product in rows if isinstance(product.left, Rows)]
        ids = Rows(tf.concat([left.ids for left in lefts], -1), lefts[0].count)
        joined.append(Product(ids, tf.concat([product.right for product in rows], -2)))
    return joined


def dense_left(product: Product) -> Tensor:
    """Returns the left factor as a tensor, [B, n, p] or [B, g, n, p]: made, if it is one of patches.

    Raises:
      TypeError: it is a table's rows, whose p is the table's length.
    """
    if isinstance(product.left, Rows):
        raise TypeError("a table of which one use is not a look-up or a product has no rule")
    return product.left.matrix() if isinstance(product.left, Patches) else product.left


def _square(product: Product) -> Tensor:
    """Returns |left^T right|^2 [B] in whichever form multiplies less."""
    left, right = product.left, product.right
    if isinstance(left, Rows):
        return _inner(product, product)
    positions, p, q = left.shape[-2], left.shape[-1], right.shape[-1]
    gram = left.gram_multiplications if isinstance(left, Patches) else positions * positions * p
    if gram + positions * positions * q > positions * p * q:
        parts = left.parts() if isinstance(left, Patches) else [left]
        return tf.add_n([_sum(tf.square(tf.matmul(part, right, transpose_a=True))) for part in parts])
    if isinstance(left, Patches):
        return _sum(left.gram() * tf.matmul(right, right, transpose_b=True))
    return _inner(product, product)


def _inner(a: Product, b: Product) -> Tensor:
    """Returns the inner product [B] of two gradients of one weight, from the Gram matrices of their factors."""
    return _sum(_left_gram(a.left, b.left) * tf.matmul(a.right, b.right, transpose_b=True))


def _left_gram(a: Tensor | Rows, b: Tensor | Rows) -> Tensor:
    """Returns the products of every position of `a` with every position of `b`, [B, n, m]."""
    if isinstance(a, Rows) and isinstance(b, Rows):
        return tf.cast(a.ids[:, :, None] == b.ids[:, None, :], tf.float32)
    if isinstance(a, Rows):
        return tf.linalg.matrix_transpose(tf.gather(b, a.ids, axis=2, batch_dims=1))
    if isinstance(b, Rows):
        return tf.gather(a, b.ids, axis=2, batch_dims=1)
    return tf.matmul(a, b, transpose_b=True)


def _matrix(product: Product) -> Tensor:
    return tf.matmul(dense_left(product), product.right, transpose_a=True)


def _sum(values: Tensor) -> Tensor:
    return tf.reduce_sum(values, list(range(1, len(values.shape))))
