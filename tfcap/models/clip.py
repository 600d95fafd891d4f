"""CLIP: an image tower and a text tower whose outputs lie in one space.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020. The towers are KerasHub's layers; the weights come from a
checkpoint with the names of Hugging Face, and a test holds all of it against PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
import numpy as np
from keras import ops

from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.weight_table import CONVOLUTION, Row, bias_of_heads, into_heads, linear, norm, out_of_heads, row

Tensor = Any

# Buffers that older versions of transformers saved.
BUFFERS = r"((vision|text)_model\.)?embeddings\.position_ids"
ACTIVATIONS = ("quick_gelu", "gelu")
# OpenAI's own, for checkpoints without preprocessor_config.json: of pixels in [0, 1].
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclasses.dataclass(frozen=True)
class VisionShape:
    """The image tower of a config.json, under its names; what is not said there is ViT-B/32."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 32
    num_channels: int = 3
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


@dataclasses.dataclass(frozen=True)
class TextShape:
    """The text tower of a config.json, under its names; what is not said there is that of ViT-B/32."""

    hidden_size: int = 512
    intermediate_size: int = 2048
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    vocab_size: int = 49408
    max_position_embeddings: int = 77
    eos_token_id: int = 49407
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


def shape_of(kind: type, said: Mapping[str, Any], origin: str) -> Any:
    """Returns the VisionShape or TextShape that config.json says; raises InputError if there is no such tower."""
    fields = dataclasses.fields(kind)
    shape = kind(**{field.name: said[field.name] for field in fields if said.get(field.name) is not None})
    for field in fields:
        value, known = getattr(shape, field.name), type(field.default)
        above_zero = isinstance(value, (int, float)) and value > 0
        right = type(value) is known and (known is str or above_zero)
        if not right or (field.name == "hidden_act" and value not in ACTIVATIONS):
            raise InputError(
                f"config.json of {origin} describes no CLIP",
                received=f"{field.name}={value!r}",
                expected=" or ".join(ACTIVATIONS) if known is str else f"{known.__name__} above 0",
            )
    divided = {"hidden_size": "num_attention_heads"} | ({"image_size": "patch_size"} if kind is VisionShape else {})
    for whole, part in divided.items():
        if getattr(shape, whole) % getattr(shape, part):
            raise InputError(
                f"config.json of {origin} describes no CLIP",
                received=f"{whole}={getattr(shape, whole)} and {part}={getattr(shape, part)}",
                expected=f"{whole} that {part} divides",
            )
    return shape


def said_of(checkpoint: Checkpoint, tower: str) -> dict[str, Any]:
    """Returns what config.json says of `vision` or `text`; older ones say it twice, and the second time counts."""
    config = checkpoint.config
    parts = [config.get(f"{tower}_config"), config.get(f"{tower}_config_dict")]
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


class VisionTower(keras.Model):
    """Images float32 [B, S, S, 3] to vectors [B, D]: projected where there is a projection, else of the hidden size."""

    def __init__(
        self, shape: VisionShape, projection_size: int | None, preprocessing: Mapping[str, Any], dtype: Any = None
    ) -> None:
        """Makes a tower with random weights.

        Args:
          projection_size: D; None for a tower without a projection.
          preprocessing: what preprocessor_config.json says; of it `image_mean` and `image_std` are taken.
          dtype: the policy; the global one if None.
        """
        super().__init__(name="vision")
        self.shape = shape
        self.mean = np.array(preprocessing.get("image_mean") or MEAN, np.float32)
        self.deviation = np.array(preprocessing.get("image_std") or DEVIATION, np.float32)
        if self.mean.shape != (3,) or self.deviation.shape != (3,) or not (self.deviation > 0).all():
            raise InputError(
                "preprocessor_config.json has no mean and deviation of colours",
                received=f"image_mean={self.mean.tolist()} image_std={self.deviation.tolist()}",
                expected="three numbers each",
            )
        self.tower = keras_hub.models.CLIPVisionEncoder(
            patch_size=shape.patch_size,
            hidden_dim=shape.hidden_size,
            num_layers=shape.num_hidden_layers,
            num_heads=shape.num_attention_heads,
            intermediate_dim=shape.intermediate_size,
            intermediate_activation=shape.hidden_act,
            image_shape=(shape.image_size, shape.image_size, 3),
            data_format="channels_last",
            dtype=dtype,
            name="vision_tower",
        )
        _set_epsilon(self.tower, shape.layer_norm_eps, self.tower.pre_layer_norm)
        self.positions = self.tower.embedding.position_ids  # a constant that KerasHub holds as a weight
        self.positions.assign(np.arange(self.positions.shape[1])[None])
        self.projection = (
            _projection(shape.hidden_size, projection_size, dtype, "visual_projection") if projection_size else None
        )
        self.built = True

    @property
    def feature_size(self) -> int:
        """D, the width of a vector."""
        return self.projection.units if self.projection else self.shape.hidden_size

    def preprocess(self, images: Tensor) -> Tensor:
        """Returns float32 [B, S, S, 3]: pixels in [0, 1] less the mean, by the deviation, of images uint8."""
        return (ops.cast(images, "float32") / 255.0 - self.mean) / self.deviation

    def patches(self, images: Tensor) -> Tensor:
        """Returns the class token and then the patches, row by row, after the last norm: [B, 1 + R, hidden size]."""
        return self.tower({"images": images})

    def call(self, images: Tensor) -> Tensor:
        pooled = self.patches(images)[:, 0]
        return self.projection(pooled) if self.projection else pooled

    def rows(self, prefix: str = "vision_model.") -> list[Row]:
        """Returns the table of its weights; all names but that of the projection begin with the prefix."""
        tower, embedding = self.tower, self.tower.embedding
        return [
            row(f"{prefix}embeddings.class_embedding", embedding.class_embedding),
            row(f"{prefix}embeddings.patch_embedding.weight", embedding.patch_embedding.kernel, CONVOLUTION),
            row(f"{prefix}embeddings.position_embedding.weight", embedding.position_embedding.embeddings),
            *norm(f"{prefix}pre_layrnorm", tower.pre_layer_norm),  # spelt so in every checkpoint
            *_layer_rows(tower.encoder_layers, prefix),
            *norm(f"{prefix}post_layernorm", tower.layer_norm),
            *(linear("visual_projection", self.projection) if self.projection else []),
        ]

    def variables_filled(self) -> list[Any]:
        """Returns the variables that a checkpoint fills: all but the numbers of the positions."""
        return [variable for variable in self.weights if variable is not self.positions]


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
        _set_epsilon(self.tower, shape.layer_norm_eps)
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
            *_layer_rows(self.tower.encoder_layers, prefix),
            *norm(f"{prefix}final_layer_norm", self.tower.layer_norm),
            *linear("text_projection", self.projection),
        ]


def _projection(width: int, size: int, dtype: Any, name: str) -> keras.layers.Dense:
    layer = keras.layers.Dense(size, use_bias=False, dtype=dtype, name=name)
    layer.build((None, width))
    return layer


def _set_epsilon(tower: Any, epsilon: float, *more: Any) -> None:
    """Sets the epsilon of every norm; KerasHub's are constants, and that of the text tower's last is not CLIP's."""
    blocks = [layer for block in tower.encoder_layers for layer in (block.layer_norm_1, block.layer_norm_2)]
    for layer in (*blocks, tower.layer_norm, *more):
        layer.epsilon = epsilon


def _layer_rows(blocks: list[Any], prefix: str) -> list[Row]:
    """Returns the rows of a tower's transformer layers."""
    rows = []
    for index, block in enumerate(blocks):
        name, attention = f"{prefix}encoder.layers.{index}.", block.attention
        heads = block.num_heads
        for part in ("query", "key", "value"):
            layer, short = getattr(attention, f"{part}_dense"), f"{name}self_attn.{part[0]}_proj"
            rows += [row(f"{short}.weight", layer.kernel, into_heads(heads))]
            rows += [row(f"{short}.bias", layer.bias, bias_of_heads(heads))]
        out = attention.output_dense
        rows += [row(f"{name}self_attn.out_proj.weight", out.kernel, out_of_heads(heads))]
        rows += [row(f"{name}self_attn.out_proj.bias", out.bias)]
        rows += [*norm(f"{name}layer_norm1", block.layer_norm_1), *norm(f"{name}layer_norm2", block.layer_norm_2)]
        rows += [*linear(f"{name}mlp.fc1", block.dense_1), *linear(f"{name}mlp.fc2", block.dense_2)]
    return rows
