"""The cross-attention captioner: every block of GPT-2 looks at the image; and such pairs from Hugging Face folders.

Source: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.3, with an image as the source sentence; as a
pair of pretrained models Rothe et al. 2020, https://arxiv.org/abs/1907.12461, and `VisionEncoderDecoderModel` of
https://github.com/huggingface/transformers, which a test holds this against.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.captioner import Captioner
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.decoder_state import State
from tfcap.models.dropout import Dropout
from tfcap.models.encoders import Encoder, as_regions
from tfcap.models.gpt2 import BUFFERS, GPT2, GPT2Shape, gpt2_of
from tfcap.models.hugging_face import HuggingFace, ids_of, no_form, preprocessing_of
from tfcap.models.transformer_shapes import shape_of
from tfcap.models.vit import Vit
from tfcap.models.weight_table import Row, fill, linear
from tfcap.settings import ModelSettings, Settings

Tensor = Any


class CrossAttentionCaptioner(Captioner):
    """Encoder, GPT-2 with cross-attention over the features [B, R, F], or [B, F] as of one region.

    Where F is not the decoder's width, a linear layer stands between.

    Args:
      encoder: images to features.
      feature_size: F.
      decoder: with cross-attention, and with positions for max_tokens.
      max_tokens: of a caption at most, begin and end included: the room of the decoder's cache.
      dropout: of the words' vectors.
      image_dropout: of the features.
      marks: of the vocabulary; the decoder's if None.
    """

    max_tokens: int

    def __init__(
        self,
        encoder: keras.Model,
        feature_size: int,
        decoder: GPT2,
        max_tokens: int,
        dropout: float = 0.0,
        image_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        marks: Marks | None = None,
    ) -> None:
        super().__init__(encoder, label_smoothing)
        self.decoder, self.max_tokens = decoder, max_tokens
        self.marks = marks or decoder.marks
        self.projection: Any = None
        if feature_size != decoder.shape.n_embd:
            self.projection = keras.layers.Dense(decoder.shape.n_embd, name="projection")
            self.projection.build((None, None, feature_size))
        self.drop_image = Dropout(image_dropout, name="drop_image")
        self.drop_words = Dropout(dropout, name="drop_words")
        self.built = True

    @classmethod
    def of(cls, encoder: Encoder, vocabulary_size: int, settings: Settings) -> Self:
        model, training, max_tokens = settings.model, settings.training, settings.data.max_tokens
        options: dict[str, Any] = {
            "dropout": model.dropout,
            "image_dropout": model.image_dropout,
            "label_smoothing": training.label_smoothing,
        }
        if model.checkpoint:
            checkpoint = open_checkpoint(model.checkpoint, "checkpoint")
            made = load_vision_encoder_decoder(checkpoint, encoder, max_tokens, **options)
            made.decoder.shape.check_room(max_tokens)
            return made
        decoder = gpt2_of(settings, vocabulary_size, max_tokens, attends=True)
        return cls(encoder, encoder.feature_size, decoder, max_tokens, **options)

    @classmethod
    def sees_regions(cls, model: ModelSettings) -> bool:
        return True

    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        return {"decoder": [self.decoder], "projection": [self.projection] if self.projection else []}

    def _memory(self, features: Tensor, training: bool = False) -> Tensor:
        """Returns what the decoder attends to: [B, R, D]."""
        regions = self.drop_image(as_regions(features), training=training)
        return regions if self.projection is None else self.projection(regions)

    def decoder_logits(self, features: Tensor, tokens: Tensor, training: bool) -> Tensor:
        words = self.drop_words(self.decoder.words(tokens), training=training)
        return self.decoder.logits(self.decoder(words, self._memory(features, training), training=training))

    def start(self, features: Tensor) -> State:
        return self.decoder.empty_state(ops.shape(features)[0], self.max_tokens, self._memory(features))

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return self.decoder.step(tokens, state)

    @property
    def logits_layer(self) -> keras.layers.Layer:
        return self.decoder.embedding

    def hugging_face(self) -> HuggingFace:
        if not isinstance(self.encoder, Vit):
            raise no_form("vit_gpt2", self.encoder, "--encoder=vit or vit_b16")
        tower, marks = self.encoder.vision, self.marks
        config = {
            "model_type": "vision-encoder-decoder",
            "architectures": ["VisionEncoderDecoderModel"],
            "is_encoder_decoder": True,
            "encoder": {"model_type": "vit", **dataclasses.asdict(tower.shape)},
            "decoder": {**self.decoder.config(), **ids_of(marks), "is_decoder": True},
            "decoder_start_token_id": marks.begin,
            **ids_of(marks),
            "pad_token_id": marks.end,
        }
        rows = [*tower.rows("encoder."), *self.rows()]
        return HuggingFace(config, rows, preprocessing_of(tower, "ViTImageProcessor"))

    def rows(self) -> list[Row]:
        """Returns the table of all weights but the encoder's."""
        between = [] if self.projection is None else linear("enc_to_dec_proj", self.projection)
        return [*between, *self.decoder.rows("decoder.transformer.")]


def load_vision_encoder_decoder(
    checkpoint: Checkpoint, encoder: Encoder, max_tokens: int, **options: Any
) -> CrossAttentionCaptioner:
    """Returns the captioner of a VisionEncoderDecoder of ViT and GPT-2, such as nlpconnect/vit-gpt2-image-captioning.

    Args:
      encoder: with the checkpoint's own weights, all tokens as its regions: `tfcap.models.vit.Vit`.
      max_tokens, options: as of the captioner.

    Raises:
      InputError: the checkpoint holds something else.
    """
    decoder = GPT2(shape_of(GPT2Shape, _said(checkpoint), checkpoint.origin))
    model = CrossAttentionCaptioner(encoder, encoder.feature_size, decoder, max_tokens, **options)
    between = [] if model.projection is None else model.projection.weights
    fill(model.rows(), checkpoint, [*between, *decoder.weights], rf"encoder\..*|{BUFFERS}")
    return model


def _said(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns what is said of the decoder, begin and end being those that `generate` of transformers starts from."""
    decoder: Any = checkpoint.config.get("decoder")
    kinds = checkpoint.config.get("model_type"), decoder.get("model_type") if isinstance(decoder, dict) else None
    if kinds != ("vision-encoder-decoder", "gpt2") or not decoder.get("add_cross_attention"):
        raise InputError(
            f"{checkpoint.origin} is no image encoder with a GPT-2 that attends to it",
            received=f"model_type {kinds[0]!r} with a decoder {kinds[1]!r} in its config.json",
            expected="'vision-encoder-decoder' with a decoder 'gpt2' and add_cross_attention",
        )
    places = (checkpoint.optional_json("generation_config.json"), checkpoint.config, decoder)

    def first(*names: str) -> Any:
        found = (place[name] for name in names for place in places if place.get(name) is not None)
        return next(found, None)

    return {
        **decoder,
        "bos_token_id": first("decoder_start_token_id", "bos_token_id"),
        "eos_token_id": first("eos_token_id"),
    }
