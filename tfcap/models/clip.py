"""CLIP: an image tower and a text tower whose outputs lie in one space.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020. The text tower is KerasHub's; the weights come from a
checkpoint with the names of Hugging Face, and a test holds all of it against PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
from keras import ops

from tfcap.models.checkpoints import Checkpoint
from tfcap.models.transformer_shapes import ImageShape
from tfcap.models.vision_transformer import VisionTransformer, block_rows
from tfcap.models.weight_table import CONVOLUTION, Row, linear, norm, of_one, row

Tensor = Any

# Buffers that older versions of transformers saved.
BUFFERS = r"((vision|text)_model\.)?embeddings\.position_ids"
_BLOCK = {
    **{part: f"self_attn.{part[0]}_proj" for part in ("query", "key", "value")},
    "output": "self_attn.out_proj",
    "layer_norm_1": "layer_norm1",
    "layer_norm_2": "layer_norm2",
    "dense_1": "mlp.fc1",
    "dense_2": "mlp.fc2",
}
_OF_ONE_ROW = of_one(lambda w: w[None], lambda w: w[0])


@dataclasses.dataclass(frozen=True)
class VisionShape(ImageShape):
    """The image tower of a config.json; what is not said there is ViT-B/32."""

    FAMILY = "CLIP"

    patch_size: int = 32
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


@dataclasses.dataclass(frozen=True)
class TextShape:
    """The text tower of a config.json, under its names; what is not said there is that of ViT-B/32."""

    FAMILY = "CLIP"

    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    vocab_size: int = 49408
    max_position_embeddings: int = 77
    eos_token_id: int = 49407
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


def said_of(checkpoint: Checkpoint, tower: str) -> dict[str, Any]:
    """Returns what config.json says of `vision` or `text`; older ones say it twice, and the second time counts."""
    config = checkpoint.config
    parts = [config.get(f"{tower}_config"), config.get(f"{tower}_config_dict")]
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


class VisionTower(VisionTransformer):
    """Images float32 [B, S, S, 3] to vectors [B, D]: projected where there is a projection, else of the hidden size."""

    MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

    def __init__(
        self, shape: ImageShape, projection_size: int | None, preprocessing: Mapping[str, Any], dtype: Any = None
    ) -> None:
        """Makes a tower with random weights.

        Args:
          projection_size: D; None for a tower without a projection.
          preprocessing, dtype: as of the vision transformer.
        """
        super().__init__(shape, preprocessing, dtype, patch_bias=False, first_norm=True)
        self.projection = (
            _projection(shape.hidden_size, projection_size, dtype, "visual_projection") if projection_size else None
        )

    @property
    def feature_size(self) -> int:
        """D, the width of a vector."""
        return self.projection.units if self.projection else super().feature_size

    def call(self, images: Tensor) -> Tensor:
        pooled = super().call(images)
        return self.projection(pooled) if self.projection else pooled

    def rows(self, prefix: str = "vision_model.") -> list[Row]:
        """Returns the table of its weights; all names but that of the projection begin with the prefix."""
        embedding = self.embedding
        return [
            row(f"{prefix}embeddings.class_embedding", embedding.class_token.embeddings, _OF_ONE_ROW),
            row(f"{prefix}embeddings.patch_embedding.weight", embedding.patches.kernel, CONVOLUTION),
            row(f"{prefix}embeddings.position_embedding.weight", embedding.positions.position_embeddings),
            *norm(f"{prefix}pre_layrnorm", self.first_norm),  # spelt so in every checkpoint
            *_rows_of_blocks(self.blocks, prefix),
            *norm(f"{prefix}post_layernorm", self.last_norm),
            *(linear("visual_projection", self.projection) if self.projection else []),
        ]


class TextTower(keras.Model):
    """Tokens int32 [B, T], T at most 77, to vectors [B, D]: what stands at the first end of text, projected."""

    def __init__(self, shape: TextShape, projection_size: int, dtype: Any = None) -> None:
        super().__init__(name="text")
        self.shape = shape
        self.tower = keras_hub.models.CLIPTextEncoder(
            vocabulary_size=shape.vocab_size,
            embedding_dim=shape.hidden_size,
            hidden_dim=shape.hidden_size,
            num_layers=shape.num_hidden_layers,
            num_heads=shape.num_attention_heads,
            intermediate_dim=shape.intermediate_size,
            intermediate_activation=shape.hidden_act,
            max_sequence_length=shape.max_position_embeddings,
            dtype=dtype,
            name="text_tower",
        )
        # KerasHub's epsilons are constants, and that of the last norm is not CLIP's.
        norms = [layer for block in self.tower.encoder_layers for layer in (block.layer_norm_1, block.layer_norm_2)]
        for layer in (*norms, self.tower.layer_norm):
            layer.epsilon = shape.layer_norm_eps
        self.projection = _projection(shape.hidden_size, projection_size, dtype, "text_projection")
        self.built = True

    def call(self, tokens: Tensor) -> Tensor:
        # Configurations from before transformers 4.31 say 2 and mean the highest id of all, as in the paper.
        ends = tokens if self.shape.eos_token_id == 2 else ops.cast(tokens == self.shape.eos_token_id, "int32")
        place = ops.argmax(ends, axis=-1)[:, None, None]
        return self.projection(ops.take_along_axis(self.tower({"token_ids": tokens}), place, axis=1)[:, 0])

    def rows(self, prefix: str = "text_model.") -> list[Row]:
        """Returns the table of its weights."""
        embedding = self.tower.embedding
        return [
            row(f"{prefix}embeddings.token_embedding.weight", embedding.token_embedding.embeddings),
            row(f"{prefix}embeddings.position_embedding.weight", embedding.position_embedding.position_embeddings),
            *_rows_of_blocks(self.tower.encoder_layers, prefix),
            *norm(f"{prefix}final_layer_norm", self.tower.layer_norm),
            *linear("text_projection", self.projection),
        ]


def _projection(width: int, size: int, dtype: Any, name: str) -> keras.layers.Dense:
    layer = keras.layers.Dense(size, use_bias=False, dtype=dtype, name=name)
    layer.build((None, width))
    return layer


def _rows_of_blocks(blocks: Sequence[Any], prefix: str) -> list[Row]:
    names = [f"{prefix}encoder.layers.{index}." for index in range(len(blocks))]
    return [one for name, block in zip(names, blocks, strict=True) for one in block_rows(block, name, _BLOCK)]
