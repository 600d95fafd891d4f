"""The part of a dual encoder that is trained again and again on small sets: projections, and perhaps the image encoder.

Source: Wu et al. 2024, "Vision-Language Dataset Distillation", https://arxiv.org/abs/2308.07545, section 3.
"""

from __future__ import annotations

import math
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.models.encoders import Encoder, as_one_vector
from tfcap.models.lora import adapt
from tfcap.models.text_encoders import TextEncoder

Tensor = Any
LOG_SCALE_LIMIT = math.log(100.0)  # as CLIP has it


class Student(keras.Model):
    """Images, or features of them, and embeddings of texts to unit vectors of one space.

    The text encoder is frozen and so is not here: a text is its embedding. The scale of the logits is exp(log_scale),
    at most 100.

    Attributes:
      encoder: of images; None where an image is given as its features.
    """

    def __init__(
        self,
        image_width: int,
        text_width: int,
        projection_size: int,
        temperature: float,
        encoder: Encoder | None = None,
        dtype: str = "float32",
    ) -> None:
        """Makes one with random weights.

        Args:
          image_width: D of the features.
          text_width: E of the embeddings.
          projection_size: P of the common space.
          temperature: that the logits are divided by at the start.
          encoder: with its weights; what it has of trainable ones is trained.
          dtype: of weights and results.
        """
        super().__init__(name="student", dtype=dtype)
        self.encoder = encoder
        self.of_images = keras.layers.Dense(projection_size, name="image_projection", dtype=dtype)
        self.of_texts = keras.layers.Dense(projection_size, name="text_projection", dtype=dtype)
        self.of_images.build((None, image_width))
        self.of_texts.build((None, text_width))
        start = keras.initializers.Constant(-math.log(temperature))
        self.log_scale = self.add_weight(shape=(), initializer=start, dtype=dtype, name="log_scale")
        self.built = True

    def call(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns unit vectors float32 [B, P] of `images`, [B, S, S, 3] of 0 to 255 or [B, D], and `texts` [C, E]."""
        return self.image_vectors(inputs["images"]), self.text_vectors(inputs["texts"])

    def image_vectors(self, images: Tensor) -> Tensor:
        """Returns unit vectors [B, P]."""
        return _unit(self.of_images(self.features(images)))

    def features(self, images: Tensor) -> Tensor:
        """Returns what is projected, [B, D]: features as they are given, or what the encoder makes of images."""
        if self.encoder is None:
            return images
        return as_one_vector(self.encoder(self.encoder.preprocess(images)))

    def text_vectors(self, texts: Tensor) -> Tensor:
        """Returns unit vectors [C, P]."""
        return _unit(self.of_texts(texts))

    def scale(self) -> Tensor:
        """Returns what cosines are multiplied by, 1 / temperature."""
        return ops.exp(ops.minimum(self.log_scale, LOG_SCALE_LIMIT))

    def modality(self, variable: keras.Variable) -> str:
        """Returns whose parameter it is: `image`, `text` or `scale`."""
        if variable is self.log_scale:
            return "scale"
        of_images = [*self.of_images.variables, *(self.encoder.variables if self.encoder else [])]
        return "image" if any(variable is one for one in of_images) else "text"

    def modalities(self) -> list[str]:
        """Returns whose each trainable variable is, in Keras' order."""
        return [self.modality(variable) for variable in self.trainable_variables]


class JointStudent(Student):
    """A student that trains its text encoder too, and is given tokens int32 [C, T] in the place of embeddings."""

    def __init__(
        self,
        image_width: int,
        text_encoder: TextEncoder,
        projection_size: int,
        temperature: float,
        encoder: Encoder | None = None,
    ) -> None:
        """Makes one with the text encoder's weights, and otherwise as `Student`."""
        super().__init__(image_width, text_encoder.width, projection_size, temperature, encoder)
        self.text_encoder = text_encoder

    def text_vectors(self, texts: Tensor) -> Tensor:
        return super().text_vectors(self.text_encoder(texts))


def with_low_rank(encoder: Encoder, rank: int) -> Encoder:
    """Returns the encoder frozen but for low-rank pairs beside its attention's queries and values.

    Source: Hu et al. 2021, https://arxiv.org/abs/2106.09685; as in study S3 they are what is matched.
    """
    adapt(encoder, rank, float(rank), projections=("query", "value"))
    return encoder


def _unit(vectors: Tensor) -> Tensor:
    return vectors * ops.rsqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + 1e-12)
