"""A vision transformer as CLIP and ViT have it: patches, a class token, positions, blocks with their norms in front.

Source: Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929. Every weight lies in a layer that has a rule for the
norm of an example's gradient. Shapes: B images of side S, R patches, D the hidden size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
import numpy as np
from keras import ops

from tfcap.errors import InputError
from tfcap.models.transformer_shapes import ImageShape
from tfcap.models.weight_table import Row, attention, linear, norm

Tensor = Any


class VisionTransformer(keras.Model):
    """Images float32 [B, S, S, 3] to the class token's vector [B, D]."""

    # Of pixels in [0, 1], for checkpoints that do not say how images are prepared.
    MEAN: tuple[float, float, float] = (0.5, 0.5, 0.5)
    DEVIATION: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __init__(
        self,
        shape: ImageShape,
        preprocessing: Mapping[str, Any],
        dtype: Any = None,
        *,
        patch_bias: bool,
        first_norm: bool,
    ) -> None:
        """Makes one with random weights.

        Args:
          preprocessing: what the checkpoint says of its images; of it `image_mean` and `image_std` are taken.
          dtype: the policy; the global one if None.
          patch_bias: whether a bias is added to the patches.
          first_norm: whether there is a norm before the first block.
        """
        super().__init__(name="vision", dtype=dtype)
        self.shape = shape
        factor = preprocessing.get("rescale_factor")
        if not (factor is None or isinstance(factor, float) and math.isclose(factor, 1 / 255, rel_tol=1e-6)):
            raise InputError(
                "The checkpoint wants pixels of another range", received=f"rescale_factor={factor}", expected="1/255"
            )
        self.mean = np.array(preprocessing.get("image_mean") or self.MEAN, np.float32)
        self.deviation = np.array(preprocessing.get("image_std") or self.DEVIATION, np.float32)
        if self.mean.shape != (3,) or self.deviation.shape != (3,) or not (self.deviation > 0).all():
            raise InputError(
                "The checkpoint has no mean and deviation of colours",
                received=f"image_mean={self.mean.tolist()} image_std={self.deviation.tolist()}",
                expected="three numbers each",
            )
        policy = self.dtype_policy
        self.embedding = PatchEmbedding(shape, patch_bias, dtype=policy, name="embedding")
        self.first_norm = _norm(shape, policy, "first_norm") if first_norm else None
        self.blocks = [Block(shape, dtype=policy, name=f"block_{index}") for index in range(shape.num_hidden_layers)]
        self.last_norm = _norm(shape, policy, "last_norm")
        self.embedding.build((None, shape.image_size, shape.image_size, 3))
        for layer in (self.first_norm, *self.blocks, self.last_norm):
            if layer is not None:
                layer.build((None, None, shape.hidden_size))
        self.built = True

    @property
    def feature_size(self) -> int:
        """The width of an image's vector."""
        return self.shape.hidden_size

    def preprocess(self, images: Tensor) -> Tensor:
        """Returns float32 [B, S, S, 3]: pixels in [0, 1] less the mean, by the deviation, of images uint8."""
        return (ops.cast(images, "float32") / 255.0 - self.mean) / self.deviation

    def patches(self, images: Tensor) -> Tensor:
        """Returns the class token and then the patches, row by row, after the last norm: [B, 1 + R, D]."""
        x = self.embedding(images)
        x = x if self.first_norm is None else self.first_norm(x)
        for block in self.blocks:
            x = block(x)
        return self.last_norm(x)

    def call(self, images: Tensor) -> Tensor:
        return self.patches(images)[:, 0]


class PatchEmbedding(keras.layers.Layer):
    """Images [B, S, S, 3] to a class token and a vector a patch, row by row, each with its position: [B, 1 + R, D]."""

    def __init__(self, shape: ImageShape, patch_bias: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        width, side, policy = shape.hidden_size, shape.patch_size, self.dtype_policy
        self.count = (shape.image_size // side) ** 2
        self.patches = keras.layers.Conv2D(
            width,
            side,
            strides=side,
            use_bias=patch_bias,
            data_format="channels_last",
            kernel_initializer=_initializer(),
            dtype=policy,
            name="patches",
        )
        # An embedding of one id, so that the gradient of each example is known as that of any embedding.
        self.class_token = keras.layers.Embedding(1, width, _initializer(), dtype=policy, name="class_token")
        self.positions = keras_hub.layers.PositionEmbedding(
            1 + self.count, _initializer(), dtype=policy, name="positions"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.patches.build(input_shape)
        self.class_token.build()
        self.positions.build((None, 1 + self.count, self.patches.filters))
        self.built = True

    def call(self, images: Tensor) -> Tensor:
        patches = ops.reshape(self.patches(images), (-1, self.count, self.patches.filters))
        token = self.class_token(ops.zeros((ops.shape(images)[0], 1), "int32"))
        x = ops.concatenate([token, patches], axis=1)
        return x + self.positions(x)


class Block(keras.layers.Layer):
    """Vectors [B, T, D] plus what attention adds to them, plus what two dense layers add to those."""

    def __init__(self, shape: ImageShape, **arguments: Any) -> None:
        super().__init__(**arguments)
        policy, self.num_heads = self.dtype_policy, shape.num_attention_heads
        self.layer_norm_1 = _norm(shape, policy, "layer_norm_1")
        self.attention = SelfAttention(shape, dtype=policy, name="attention")
        self.layer_norm_2 = _norm(shape, policy, "layer_norm_2")
        self.dense_1 = _dense(shape.intermediate_size, policy, "dense_1")
        self.activation = _quick_gelu if shape.hidden_act == "quick_gelu" else keras.activations.gelu  # exact
        self.dense_2 = _dense(shape.hidden_size, policy, "dense_2")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for layer in (self.layer_norm_1, self.attention, self.layer_norm_2, self.dense_1):
            layer.build(input_shape)
        self.dense_2.build((*input_shape[:-1], self.dense_1.units))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layer_norm_1(x))
        return x + self.dense_2(self.activation(self.dense_1(self.layer_norm_2(x))))


class SelfAttention(keras.layers.Layer):
    """Attention of each of [B, T, D] over all; Keras' own has a bias in all of its four products or in none."""

    def __init__(self, shape: ImageShape, **arguments: Any) -> None:
        super().__init__(**arguments)
        heads = (shape.num_attention_heads, shape.hidden_size // shape.num_attention_heads)
        self.query_dense, self.key_dense, self.value_dense = (
            self._product("btd,dnh->btnh", heads, "nh" if shape.qkv_bias else None, name)
            for name in ("query", "key", "value")
        )
        self.output_dense = self._product("btnh,nhd->btd", (shape.hidden_size,), "d", "output")
        self.heads = heads

    def _product(self, equation: str, sizes: tuple[int, ...], bias: str | None, name: str) -> keras.layers.EinsumDense:
        return keras.layers.EinsumDense(
            equation,
            (None, *sizes),
            bias_axes=bias,
            kernel_initializer=_initializer(),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for layer in (self.query_dense, self.key_dense, self.value_dense):
            layer.build(input_shape)
        self.output_dense.build((*input_shape[:-1], *self.heads))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        return self.output_dense(ops.dot_product_attention(self.query_dense(x), self.key_dense(x), self.value_dense(x)))


def block_rows(block: Any, prefix: str, names: Mapping[str, str]) -> list[Row]:
    """Returns the rows of a block, of ours or of KerasHub's for CLIP.

    Args:
      names: what the checkpoint calls `query`, `key`, `value`, `output`, the norms and the dense layers.
    """
    rows = attention(block.attention, block.num_heads, prefix, names)
    for kind, parts in ((norm, ("layer_norm_1", "layer_norm_2")), (linear, ("dense_1", "dense_2"))):
        rows += [one for part in parts for one in kind(f"{prefix}{names[part]}", getattr(block, part))]
    return rows


def _quick_gelu(x: Tensor) -> Tensor:
    return x * ops.sigmoid(1.702 * x)


def _initializer() -> keras.initializers.Initializer:
    return keras.initializers.TruncatedNormal(stddev=0.02)


def _norm(shape: ImageShape, policy: Any, name: str) -> keras.layers.LayerNormalization:
    return keras.layers.LayerNormalization(epsilon=shape.layer_norm_eps, dtype=policy, name=name)


def _dense(units: int, policy: Any, name: str) -> keras.layers.Dense:
    return keras.layers.Dense(units, kernel_initializer=_initializer(), dtype=policy, name=name)
