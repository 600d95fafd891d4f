"""The prefix captioner: an image's vectors stand in front of the words, and GPT-2 reads on.

Source: Mokady et al. 2021 (ClipCap), https://arxiv.org/abs/2111.09734.
"""

from __future__ import annotations

from typing import Any, Self

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.captioner import Captioner
from tfcap.models.decoder_state import State
from tfcap.models.dropout import Dropout
from tfcap.models.encoders import Encoder
from tfcap.models.gpt2 import GPT2, gpt2_of
from tfcap.models.hugging_face import HuggingFace, ids_of
from tfcap.models.mappers import mapper_of
from tfcap.settings import ModelSettings, Settings

Tensor = Any


class PrefixCaptioner(Captioner):
    """Encoder, mapper, GPT-2; the begin mark follows the prefix, and only words have a loss.

    Args:
      encoder: images to features, such as the mapper takes.
      mapper: features to a prefix [B, P, D], one of `tfcap.models.mappers`.
      decoder: of width D, without cross-attention, with positions for P + max_tokens.
      max_tokens: of a caption at most, begin and end included: the room of the decoder's cache.
      dropout: of the vectors that GPT-2 is given, the prefix and the words.
      image_dropout: of the features.
      marks: of the vocabulary; the decoder's if None.
    """

    max_tokens: int

    def __init__(
        self,
        encoder: keras.Model,
        mapper: keras.layers.Layer,
        decoder: GPT2 | Any,
        max_tokens: int,
        dropout: float = 0.0,
        image_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        marks: Marks | None = None,
    ) -> None:
        super().__init__(encoder, label_smoothing)
        self.mapper, self.decoder, self.max_tokens = mapper, decoder, max_tokens
        self.marks = marks or decoder.marks
        self.drop_image = Dropout(image_dropout, name="drop_image")
        self.drop_vectors = Dropout(dropout, name="drop_vectors")
        self.built = True

    @classmethod
    def of(cls, encoder: Encoder, vocabulary_size: int, settings: Settings) -> Self:
        model = settings.model
        if model.train == "encoder":
            raise InputError(
                f"The mapper of {model.model} comes with no checkpoint, and --train=encoder would keep a random one",
                received="--train=encoder",
                expected="all, decoder or projection",
            )
        decoder = cls.decoder_of(settings, vocabulary_size)
        return cls(
            encoder,
            mapper_of(model, encoder.feature_size, decoder.width, encoder.regions),
            decoder,
            settings.data.max_tokens,
            model.dropout,
            model.image_dropout,
            settings.training.label_smoothing,
        )

    @classmethod
    def decoder_of(cls, settings: Settings, vocabulary_size: int) -> Any:
        """Returns the language model that reads on."""
        return gpt2_of(settings, vocabulary_size, settings.model.prefix_length + settings.data.max_tokens)

    @classmethod
    def sees_regions(cls, model: ModelSettings) -> bool:
        return model.attention and model.mapper == "transformer"  # the others would see the regions' mean

    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        return {"decoder": [self.decoder], "projection": [self.mapper]}

    def hugging_face(self) -> HuggingFace:
        left_out = "the image encoder and the mapper"
        config = {**self.decoder.config(), **ids_of(self.marks)}
        return HuggingFace(config, self.decoder.rows(), left_out=left_out)

    def decoder_logits(self, features: Tensor, tokens: Tensor, training: bool) -> Tensor:
        prefix = self.mapper(self.drop_image(features, training=training))
        vectors = ops.concatenate([prefix, self.decoder.words(tokens)], axis=1)
        hidden = self.decoder(self.drop_vectors(vectors, training=training), training=training)
        return self.decoder.logits(hidden[:, self.mapper.prefix_length :])

    def start(self, features: Tensor) -> State:
        prefix = self.mapper(features)
        room = self.mapper.prefix_length + self.max_tokens
        return self.decoder.extend(prefix, self.decoder.empty_state(ops.shape(features)[0], room))[1]

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return self.decoder.step(tokens, state)

    @property
    def logits_layer(self) -> keras.layers.Layer:
        return self.decoder.embedding
