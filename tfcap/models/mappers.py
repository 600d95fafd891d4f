"""Mappers: from an image's features to a prefix, vectors that a language model reads in front of its words.

Source: Mokady et al. 2021 (ClipCap), https://arxiv.org/abs/2111.09734, section 3.2. Shapes: B images, R regions, P
vectors of a prefix, D the language model's width.
"""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
from keras import ops

from tfcap.errors import InputError
from tfcap.models.encoders import as_one_vector
from tfcap.settings import ModelSettings

Tensor = Any


class LinearMapper(keras.layers.Layer):
    """Features [B, F], or the mean of regions [B, R, F], to a prefix [B, P, D] by one product.

    Args:
      feature_size: F.
      prefix_length: P.
      size: D.
    """

    def __init__(self, feature_size: int, prefix_length: int, size: int, dtype: Any = None) -> None:
        super().__init__(name="mapper", dtype=dtype)
        self.prefix_length, self.size = prefix_length, size
        self.products = self._products(prefix_length * size)
        for product in self.products:
            product.build((None, feature_size))
            feature_size = product.units
        self.built = True

    def _products(self, width: int) -> list[keras.layers.Dense]:
        return [keras.layers.Dense(width, dtype=self.dtype_policy, name="mapper_output")]

    def call(self, features: Tensor) -> Tensor:
        x = as_one_vector(features)
        for product in self.products:
            x = product(x)
        return ops.reshape(x, [-1, self.prefix_length, self.size])


class MLPMapper(LinearMapper):
    """The same with a hidden layer, half as wide as the prefix, and tanh: what ClipCap trains together with GPT-2."""

    def _products(self, width: int) -> list[keras.layers.Dense]:
        hidden = keras.layers.Dense(width // 2, activation="tanh", dtype=self.dtype_policy, name="mapper_hidden")
        return [hidden, *super()._products(width)]


class TransformerMapper(keras.layers.Layer):
    """A transformer over the image's vectors and, behind them, P learnt constants, which become the prefix [B, P, D].

    Features [B, F] are first made into P vectors by one product; of regions [B, R, F] each is made into one. Every
    vector sees every other. What ClipCap trains before a frozen GPT-2. Its layers are KerasHub's: the authors'
    have no biases in their queries, keys and values.

    Args:
      feature_size: F.
      prefix_length: P.
      size: D.
      layers: how many.
      heads: of each, which divide D.
      regions: whether features are of regions.
    """

    def __init__(
        self,
        feature_size: int,
        prefix_length: int,
        size: int,
        layers: int = 8,
        heads: int = 8,
        regions: bool = False,
        dtype: Any = None,
    ) -> None:
        super().__init__(name="mapper", dtype=dtype)
        if size % heads:
            raise InputError(
                "The heads of the mapper do not divide its width",
                received=f"{heads} heads, width {size}",
                expected="a divisor",
            )
        self.prefix_length, self.size, policy = prefix_length, size, self.dtype_policy
        width = size if regions else prefix_length * size
        self.projection = keras.layers.Dense(width, dtype=policy, name="mapper_projection")
        self.constants = keras.layers.Embedding(
            prefix_length, size, keras.initializers.RandomNormal(stddev=1.0), dtype=policy, name="mapper_constants"
        )
        self.blocks = [
            keras_hub.layers.TransformerEncoder(
                2 * size, heads, activation="relu", normalize_first=True, dtype=policy, name=f"mapper_block_{index}"
            )
            for index in range(layers)
        ]
        self.projection.build((None, feature_size))
        self.constants.build((None, prefix_length))
        for block in self.blocks:
            block.build((None, None, size))
        self.built = True

    def call(self, features: Tensor) -> Tensor:
        x = self.projection(features)
        if len(features.shape) == 2:
            x = ops.reshape(x, [-1, self.prefix_length, self.size])
        places = ops.broadcast_to(ops.arange(self.prefix_length), [ops.shape(features)[0], self.prefix_length])
        x = ops.concatenate([x, self.constants(places)], axis=1)
        for block in self.blocks:
            x = block(x)
        return x[:, -self.prefix_length :]


def mapper_of(model: ModelSettings, feature_size: int, size: int, regions: bool) -> keras.layers.Layer:
    """Returns the mapper that the settings name, for features of that width and to a prefix of width `size`."""
    if model.mapper == "transformer":
        heads = next(heads for heads in (8, 4, 2, 1) if size % heads == 0)
        return TransformerMapper(feature_size, model.prefix_length, size, heads=heads, regions=regions)
    kind = {"linear": LinearMapper, "mlp": MLPMapper}[model.mapper]
    return kind(feature_size, model.prefix_length, size)
