"""ViT: an image as a sequence of patches.

Source: Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929. The weights come from a checkpoint with the names of
Hugging Face, and a test holds all of it against PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.tower_encoder import Promise, TowerEncoder
from tfcap.models.transformer_shapes import ImageShape, shape_of
from tfcap.models.vision_transformer import VisionTransformer, block_rows
from tfcap.models.weight_table import CONVOLUTION, Row, fill, norm, of_one, row

Tensor = Any

_CLASS_TOKEN = "embeddings.cls_token"  # noqa: S105
_BLOCK = {
    **{part: f"attention.attention.{part}" for part in ("query", "key", "value")},
    "output": "attention.output.dense",
    "layer_norm_1": "layernorm_before",
    "layer_norm_2": "layernorm_after",
    "dense_1": "intermediate.dense",
    "dense_2": "output.dense",
}
_OF_ONE_IMAGE = of_one(lambda w: w[0], lambda w: w[None])


class VitTower(VisionTransformer):
    """Images float32 [B, S, S, 3] to the class token's vector after the last norm [B, D]; `patches` gives all tokens.

    It has no dropout, whatever config.json says, and no pooler.
    """

    def __init__(self, shape: ImageShape, preprocessing: Mapping[str, Any], dtype: Any = None) -> None:
        """Makes a tower with random weights; the arguments are those of the vision transformer."""
        super().__init__(shape, preprocessing, dtype, patch_bias=True, first_norm=False)

    def rows(self, prefix: str = "") -> list[Row]:
        """Returns the table of its weights, all of whose names begin with the prefix."""
        embedding, name = self.embedding, f"{prefix}embeddings."
        return [
            row(f"{prefix}{_CLASS_TOKEN}", embedding.class_token.embeddings, _OF_ONE_IMAGE),
            row(f"{name}patch_embeddings.projection.weight", embedding.patches.kernel, CONVOLUTION),
            row(f"{name}patch_embeddings.projection.bias", embedding.patches.bias),
            row(f"{name}position_embeddings", embedding.positions.position_embeddings, _OF_ONE_IMAGE),
            *(
                one
                for index, block in enumerate(self.blocks)
                for one in block_rows(block, f"{prefix}encoder.layer.{index}.", _BLOCK)
            ),
            *norm(f"{prefix}layernorm", self.last_norm),
        ]


def prefix_in(checkpoint: Checkpoint) -> str:
    """Returns what the names of a ViT's tensors begin with: nothing, `vit.`, or `encoder.` before a decoder."""
    found = [name.removesuffix(_CLASS_TOKEN) for name in checkpoint.shapes if name.endswith(_CLASS_TOKEN)]
    return found[0] if found else ""


def buffers(prefix: str) -> str:
    """Returns the pattern of a ViT's tensors that no feature depends on: the pooler and the token of a mask."""
    return rf"{re.escape(prefix)}(pooler\.dense\.(weight|bias)|embeddings\.mask_token)"


# Of a classifier, of a decoder of masked patches, of a decoder of text.
_HEADS = r"classifier\.(weight|bias)|decoder\..*|enc_to_dec_proj\.(weight|bias)"


class Vit(TowerEncoder):
    """The ViT that --encoder_weights names, alone, with a classifier, or as the encoder of a VisionEncoderDecoder.

    Its features are the class token's vector after the last norm [B, D]. With `regions` they are all tokens after the
    last norm, the class token first and then the patches row by row, [B, 1 + R, D]: what the cross-attention of a
    VisionEncoderDecoder sees.
    """

    def shape_in(self, checkpoint: Checkpoint) -> ImageShape:
        config = checkpoint.config
        encoder: Any = config.get("encoder") if config.get("model_type") == "vision-encoder-decoder" else config
        kind = encoder.get("model_type") if isinstance(encoder, dict) else None
        if kind != "vit":
            raise InputError(
                f"{checkpoint.origin} is no ViT",
                received=f"model_type {kind!r} in its config.json",
                expected="'vit', alone or of the encoder of a 'vision-encoder-decoder'",
            )
        return shape_of(ImageShape, encoder, checkpoint.origin)

    def tower(self, shape: ImageShape, checkpoint: Checkpoint | None) -> VitTower:
        if checkpoint is None:
            return VitTower(shape, {})
        tower, prefix = VitTower(shape, checkpoint.preprocessing()), prefix_in(checkpoint)
        fill(tower.rows(prefix), checkpoint, tower.weights, f"{buffers(prefix)}|{_HEADS}")
        return tower

    def call(self, images: Tensor) -> Tensor:
        return self.vision.patches(images) if self.regions else self.vision(images)


class VitB16(Vit):
    """ViT-B/16: D = 768; 197 tokens of images of 224. With --encoder_weights=none a random start, at any image size."""

    PROMISE = Promise("ViT-B/16 of images of 224", ImageShape(), ("layer_norm_eps",), "vit")
