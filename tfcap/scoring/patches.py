"""What a convolution's kernel is multiplied with, kept as the maps that it slides over.

Patches hold each value of a map as often as the kernel is large, and to make them takes longer than to multiply them
(`tf.image.extract_patches` is itself a convolution where XLA compiles it). Two forms do without them. With X_o the
values that the kernel's element o meets, the gradient's part at o is X_o^T G. And the patches' Gram matrix is the sum
over o of those of X_o, each of which is a part of the one Gram matrix of the whole map. Shapes: B examples, g groups
of channels that do not mix, r maps an example, n places of the output in all of them, c channels of a group.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import tfcap.quiet  # noqa: F401

import tensorflow as tf

Tensor = Any
Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Window:
    """How a kernel slides over a map: its sides, strides and dilation, and the zeros before and after each axis."""

    size: Pair
    strides: Pair
    dilation: Pair
    padding: tuple[Pair, Pair]

    @classmethod
    def of(cls, size: Pair, strides: Pair, dilation: Pair, padding: str, sides: Pair) -> Window:
        """Returns the window of a convolution over maps of such sides; `padding` is "valid" or "same"."""
        zeros = [(0, 0), (0, 0)]
        if padding == "same":
            for axis in (0, 1):
                reach = (size[axis] - 1) * dilation[axis] + 1
                missing = max((-(-sides[axis] // strides[axis]) - 1) * strides[axis] + reach - sides[axis], 0)
                zeros[axis] = (missing // 2, missing - missing // 2)
        return cls(size, strides, dilation, (zeros[0], zeros[1]))

    @property
    def offsets(self) -> list[Pair]:
        """Where the kernel's elements lie, row after row, from the first of the values that it meets."""
        rows, columns = (range(0, n * d, d) for n, d in zip(self.size, self.dilation, strict=True))
        return list(itertools.product(rows, columns))

    def padded(self, sides: Pair) -> Pair:
        """Returns the sides of a map with its zeros."""
        return sides[0] + sum(self.padding[0]), sides[1] + sum(self.padding[1])

    def places(self, sides: Pair) -> Pair:
        """Returns the sides of the output over a map of such sides."""
        rows, columns = (
            (side - (size - 1) * dilation - 1) // stride + 1
            for side, size, dilation, stride in zip(
                self.padded(sides), self.size, self.dilation, self.strides, strict=True
            )
        )
        return rows, columns


@dataclasses.dataclass(frozen=True)
class Patches:
    """The left factor of a convolution: a matrix [B, g, n, k k c] that is not made unless it is asked for."""

    maps: Tensor  # [B, g, r, H, W, c] float32, without the padding
    window: Window

    def __tf_flatten__(self) -> tuple[tuple[Window], tuple[Tensor]]:
        return (self.window,), (self.maps,)

    @classmethod
    def __tf_unflatten__(cls, metadata: tuple[Window], components: tuple[Tensor]) -> Patches:
        return cls(*components, *metadata)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """That of the matrix."""
        batch, groups, maps, height, width, channels = self.maps.shape
        rows, columns = self.window.places((height, width))
        return batch, groups, maps * rows * columns, len(self.window.offsets) * channels

    def each(self) -> list[Tensor]:
        """Returns what each element of the kernel meets, [B, g, n, c]."""
        *_, height, width, channels = self.maps.shape
        batch, groups, places, _ = self.shape
        (down, right), (rows, columns) = self.window.strides, self.window.places((height, width))
        # The map is cut into the phases of the strides first: outside XLA a slice with steps is slow.
        zeros, cut = [], []
        for (before, after), side, stride in zip(self.window.padding, (height, width), (down, right), strict=True):
            after += -(before + side + after) % stride
            zeros.append((before, after))
            cut += [(before + side + after) // stride, stride]
        maps = tf.reshape(
            _with_zeros(tf.reshape(self.maps, [-1, height, width, channels]), zeros), [-1, *cut, channels]
        )
        found = []
        for i, j in self.window.offsets:
            top, left = i // down, j // right
            seen = maps[:, top : top + rows, i % down, left : left + columns, j % right]
            found.append(tf.reshape(seen, [batch, groups, places, channels]))
        return found

    def parts(self) -> list[Tensor]:
        """Returns the matrix's columns in as many tensors [B, g, n, ...] as are made at the least cost."""
        if self.window.strides != self.window.size or self.window.dilation != (1, 1):
            return self.each()
        # Nothing is seen twice: the maps themselves in another order.
        *_, height, width, channels = self.maps.shape
        (down, right), (rows, columns) = self.window.size, self.window.places((height, width))
        maps = _with_zeros(tf.reshape(self.maps, [-1, height, width, channels]), self.window.padding)
        maps = maps[:, : rows * down, : columns * right]
        maps = tf.transpose(tf.reshape(maps, [-1, down, columns, right * channels]), [0, 2, 1, 3])
        return [tf.reshape(maps, self.shape)]

    def matrix(self) -> Tensor:
        """Returns the matrix, [B, g, n, k k c]; of a patch, the channels of each element lie side by side."""
        parts = self.parts()
        return parts[0] if len(parts) == 1 else tf.concat(parts, -1)

    def gram(self) -> Tensor:
        """Returns the products of every patch of an example with every other, [B, g, n, n]."""
        if not self._gram_from_maps:
            matrix = self.matrix()
            return tf.matmul(matrix, matrix, transpose_b=True)
        batch, groups, count, height, width, channels = self.maps.shape
        rows, columns = self.window.places((height, width))
        height_padded, width_padded = self.window.padded((height, width))
        maps = _with_zeros(tf.reshape(self.maps, [-1, height, width, channels]), self.window.padding)
        maps = tf.reshape(maps, [batch * groups, -1, channels])
        whole = tf.reshape(
            tf.matmul(maps, maps, transpose_b=True),
            [batch * groups, *(count, height_padded, width_padded) * 2],
        )
        parts = []
        for i, j in self.window.offsets:
            down, right = slice(i, i + rows), slice(j, j + columns)
            parts.append(whole[:, :, down, right, :, down, right])
        return tf.reshape(tf.add_n(parts), [batch, groups, self.shape[2], self.shape[2]])

    @property
    def gram_multiplications(self) -> int:
        """How many multiplications `gram` takes, for each example and group."""
        return self._multiplications[self._gram_from_maps]

    @property
    def _gram_from_maps(self) -> bool:
        """Whether the maps' Gram matrix is the cheaper way to the patches'; its parts have no steps, so no strides."""
        from_patches, from_maps = self._multiplications
        return self.window.strides == (1, 1) and from_maps < from_patches

    @property
    def _multiplications(self) -> tuple[int, int]:
        """Of the Gram matrix from the patches, and of that from the maps."""
        _, _, count, height, width, channels = self.maps.shape
        _, _, places, length = self.shape
        height, width = self.window.padded((height, width))
        return places**2 * length, (count * height * width) ** 2 * channels


def _with_zeros(maps: Tensor, padding: Any) -> Tensor:
    """Returns maps [N, H, W, c] with zeros around them."""
    return tf.pad(maps, [(0, 0), *padding, (0, 0)]) if any(map(any, padding)) else maps
