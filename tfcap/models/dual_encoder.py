"""A dual encoder: images and texts to unit vectors of one space, whose cosine says how well they fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.data.clip_tokenizer import ClipTokenizer
from tfcap.errors import InputError
from tfcap.files import hash_of
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.clip import BUFFERS, TextShape, TextTower, VisionShape, VisionTower, said_of
from tfcap.models.transformer_shapes import shape_of
from tfcap.models.weight_table import Row, fill, row

Tensor = Any


class DualEncoder(keras.Model):
    """CLIP's two towers and the scale of its logits; always in float32."""

    def __init__(
        self, vision: VisionShape, text: TextShape, projection_size: int, preprocessing: Mapping[str, Any] | None = None
    ) -> None:
        """Makes one with random weights; its arguments are those of the towers."""
        super().__init__(name="dual_encoder", dtype="float32")
        self.vision = VisionTower(vision, projection_size, preprocessing or {}, "float32")
        self.text = TextTower(text, projection_size, "float32")
        self.logit_scale = self.add_weight(shape=(), initializer="zeros", dtype="float32", name="logit_scale")
        self.built = True

    def call(self, inputs: dict[str, Tensor]) -> Tensor:
        """Returns unit vectors float32 [B, D] of `images` uint8 [B, S, S, 3], or of `tokens` int32 [B, T]."""
        if "images" in inputs:
            found = self.vision(self.vision.preprocess(inputs["images"]))
        else:
            found = self.text(inputs["tokens"])
        return found / ops.sqrt(ops.sum(ops.square(found), axis=-1, keepdims=True))

    def logits_per_image(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Returns the scaled cosines float32 [images, texts] that CLIP is trained with."""
        cosines = ops.matmul(self({"images": images}), ops.transpose(self({"tokens": tokens})))
        return ops.exp(self.logit_scale) * cosines

    def rows(self) -> list[Row]:
        """Returns the table of its weights."""
        return [row("logit_scale", self.logit_scale), *self.vision.rows(), *self.text.rows()]


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A dual encoder with what it needs: the tokenizer of its texts, and which one it is.

    Attributes:
      identity: a digest of the configuration, the weights and how images and texts are prepared.
    """

    model: DualEncoder
    tokenizer: ClipTokenizer
    identity: str


def pretrained(where: str, flag: str = "dual_encoder") -> Pretrained:
    """Returns the CLIP in a folder or under hf://user/name[@revision].

    Raises:
      InputError: there is none, it is damaged, or it lacks a tower or its tokenizer.
    """
    checkpoint = open_checkpoint(where, flag)
    text, tokenizer = text_side(checkpoint, flag)
    vision = shape_of(VisionShape, said_of(checkpoint, "vision"), checkpoint.origin)
    size, preprocessing = projection_size_of(checkpoint), checkpoint.preprocessing()
    model = DualEncoder(vision, text, size, preprocessing)
    fill(model.rows(), checkpoint, model.weights, BUFFERS)
    colours = [model.vision.mean.tolist(), model.vision.deviation.tolist()]
    return Pretrained(model, tokenizer, hash_of(checkpoint.hash(), tokenizer.hash, colours))


def text_side(checkpoint: Checkpoint, flag: str, max_tokens: int | None = None) -> tuple[TextShape, ClipTokenizer]:
    """Returns the shape of a CLIP's text tower and its tokenizer, of as many tokens as it has places or fewer.

    Raises:
      InputError: it is no CLIP, or it lacks a tower or its tokenizer.
    """
    _check_kind(checkpoint, flag)
    text = shape_of(TextShape, said_of(checkpoint, "text"), checkpoint.origin)
    places = text.max_position_embeddings
    tokenizer = ClipTokenizer(checkpoint.folder, places if max_tokens is None else min(max_tokens, places))
    _check_tokenizer(tokenizer, text, checkpoint)
    return text, tokenizer


def projection_size_of(checkpoint: Checkpoint) -> int:
    """Returns the width of the projections; raises InputError where config.json has another word for it."""
    size = checkpoint.config.get("projection_dim", 512)
    if type(size) is not int or size < 1:
        raise InputError(
            f"config.json of {checkpoint.origin} describes no CLIP",
            received=f"projection_dim={size!r}",
            expected="int above 0",
        )
    return size


def _check_kind(checkpoint: Checkpoint, flag: str) -> None:
    kind = checkpoint.config.get("model_type")
    towers = [tower for tower in ("vision", "text") if isinstance(checkpoint.config.get(f"{tower}_config"), dict)]
    if kind != "clip" or len(towers) < 2:
        raise InputError(
            "A dual encoder has an image tower and a text tower",
            received=f"--{flag}={checkpoint.origin} with model_type {kind!r} and"
            f" {' and '.join(towers) or 'neither'} in its config.json",
            expected="model_type 'clip' with vision_config and text_config",
        )


def _check_tokenizer(tokenizer: ClipTokenizer, text: TextShape, checkpoint: Checkpoint) -> None:
    """Raises InputError if the text tower would read other tokens than it was trained with."""
    if tokenizer.highest >= text.vocab_size or text.eos_token_id not in (2, tokenizer.end):
        raise InputError(
            f"The tokenizer of {checkpoint.origin} is not that of its text tower",
            received=f"{tokenizer.highest + 1} tokens and {tokenizer.end} for the end of text",
            expected=f"at most {text.vocab_size} tokens and {text.eos_token_id} for the end of text",
        )
    if text.eos_token_id == 2 and tokenizer.end != tokenizer.highest:
        raise InputError(
            f"config.json of {checkpoint.origin} leaves open which token ends a text",
            received=f"eos_token_id=2 and a tokenizer whose end of text is {tokenizer.end} of {tokenizer.highest}",
            expected=f"eos_token_id={tokenizer.end}",
        )
