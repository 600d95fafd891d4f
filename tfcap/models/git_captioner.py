"""GIT as a captioner: behind its own image tower, or from scratch behind any encoder and with any vocabulary.

Source: Wang et al. 2022, https://arxiv.org/abs/2205.14100.
"""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

import keras

from tfcap.errors import InputError
from tfcap.models.captioner import Captioner
from tfcap.models.dropout import Dropout
from tfcap.models.generation import Decoding, Marks
from tfcap.models.git import GIT

Tensor = Any


class GITCaptioner(Captioner):
    """Features [B, R, F], or [B, F] as of one region, and words through one transformer to the next word's logits.

    Args:
      encoder: images to features.
      decoder: for features of that width.
      max_tokens: of a caption at most, begin and end included: the room of the decoder's cache.
      dropout: of the words' vectors and of the last block's outputs.
      image_dropout: of the projected regions.
      marks: of the vocabulary; the decoder's if None. Their pad is 0, as of every GIT.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: GIT,
        max_tokens: int,
        dropout: float = 0.0,
        image_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        marks: Marks | None = None,
    ) -> None:
        super().__init__(encoder, label_smoothing)
        self.decoder, self.max_tokens = decoder, max_tokens
        self.marks = marks or decoder.marks
        self.drop_image = Dropout(image_dropout, name="drop_image")
        self.drop_words = Dropout(dropout, name="drop_words")
        self.drop_output = Dropout(dropout, name="drop_output")
        self.built = True

    def decoder_logits(self, features: Tensor, tokens: Tensor, training: bool) -> Tensor:
        image = self.drop_image(self.decoder.image_tokens(_regions(features)), training=training)
        words = self.drop_words(self.decoder.words(tokens), training=training)
        hidden = self.decoder(image, words, training=training)
        return self.decoder.logits(self.drop_output(hidden, training=training))

    def start(self, features: Tensor) -> list[Tensor]:
        return self.decoder.start(_regions(features), self.max_tokens)

    def step(self, tokens: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        return self.decoder.step(tokens, state)

    @property
    def logits_layer(self) -> keras.layers.Layer:
        return self.decoder.vocabulary_logits

    def generate(
        self, features: Tensor, max_tokens: int, decoding: Decoding, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if max_tokens > self.max_tokens:
            raise InputError(
                "The captioner was made for shorter captions",
                received=f"{max_tokens} tokens",
                expected=f"at most {self.max_tokens}",
            )
        return super().generate(features, max_tokens, decoding, rows)


def _regions(features: Tensor) -> Tensor:
    return features if len(features.shape) == 3 else features[:, None]
