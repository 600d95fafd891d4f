"""GIT as a captioner: behind its own image tower, or from scratch behind any encoder and with any vocabulary.

Source: Wang et al. 2022, https://arxiv.org/abs/2205.14100.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import tfcap.quiet  # noqa: F401

import keras

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.captioner import Captioner
from tfcap.models.checkpoints import open_checkpoint
from tfcap.models.decoder_state import State
from tfcap.models.dropout import Dropout
from tfcap.models.encoders import Encoder, as_regions
from tfcap.models.git import GIT, SHAPES
from tfcap.models.git_checkpoint import GITVit, load_git, rows_of
from tfcap.models.hugging_face import HuggingFace, ids_of, no_form, preprocessing_of
from tfcap.settings import ModelSettings, Settings

Tensor = Any


class GITCaptioner(Captioner):
    """Features [B, R, F], or [B, F] as of one region, and words through one transformer to the next word's logits.

    Args:
      encoder: images to features.
      decoder: for features of that width.
      max_tokens: of a caption at most, begin and end included: the room of the decoder's cache.
      dropout: of the words' vectors and of the last block's outputs.
      image_dropout: of the projected regions.
      marks: of the vocabulary; the decoder's if None.
    """

    max_tokens: int

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

    @classmethod
    def of(cls, encoder: Encoder, vocabulary_size: int, settings: Settings) -> Self:
        model = settings.model
        if model.checkpoint:
            decoder = load_git(open_checkpoint(model.checkpoint, "checkpoint"))
            width = decoder.projection.kernel.shape[0]
            if width != encoder.feature_size:
                raise InputError(
                    "The checkpoint was made for another image encoder",
                    received=f"--encoder={model.encoder} with features of {encoder.feature_size}",
                    expected=f"features of {width}, as of --encoder=git_vit",
                )
        else:
            shape = SHAPES[model.shape]
            decoder = GIT(dataclasses.replace(shape, vocab_size=vocabulary_size), encoder.feature_size)
        decoder.check_room(settings.data.max_tokens)
        return cls(
            encoder,
            decoder,
            settings.data.max_tokens,
            model.dropout,
            model.image_dropout,
            settings.training.label_smoothing,
        )

    @classmethod
    def sees_regions(cls, model: ModelSettings) -> bool:
        return True

    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        decoder = self.decoder
        words = [decoder.embedding, decoder.positions, decoder.word_norm, *decoder.blocks, decoder.vocabulary_logits]
        return {"decoder": words, "projection": [decoder.projection, decoder.image_norm]}

    def hugging_face(self) -> HuggingFace:
        if not isinstance(self.encoder, GITVit):
            raise no_form("git", self.encoder, "--encoder=git_vit")
        tower = self.encoder.vision
        config = {
            "model_type": "git",
            "architectures": ["GitForCausalLM"],
            **dataclasses.asdict(self.decoder.shape),
            **ids_of(self.marks),
            "vision_config": {"model_type": "git_vision_model", **dataclasses.asdict(tower.shape)},
        }
        return HuggingFace(config, rows_of(tower, self.decoder), preprocessing_of(tower, "CLIPImageProcessor"))

    def decoder_logits(self, features: Tensor, tokens: Tensor, training: bool) -> Tensor:
        image = self.drop_image(self.decoder.image_tokens(as_regions(features)), training=training)
        words = self.drop_words(self.decoder.words(tokens), training=training)
        hidden = self.decoder(image, words, training=training)
        return self.decoder.logits(self.drop_output(hidden, training=training))

    def start(self, features: Tensor) -> State:
        return self.decoder.start(as_regions(features), self.max_tokens)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return self.decoder.step(tokens, state)

    @property
    def logits_layer(self) -> keras.layers.Layer:
        return self.decoder.vocabulary_logits
