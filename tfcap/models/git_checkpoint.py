"""GIT from a checkpoint with the names of Hugging Face: its image tower, which is CLIP's, and its decoder.

Source: Wang et al. 2022, https://arxiv.org/abs/2205.14100.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.clip import VisionShape, VisionTower, said_of
from tfcap.models.git import GIT, GITShape
from tfcap.models.tower_encoder import TowerEncoder
from tfcap.models.transformer_shapes import ImageShape, shape_of
from tfcap.models.weight_table import Row, fill

Tensor = Any

_TOWER = "git.image_encoder.vision_model."
# Numbers of positions that older versions of transformers saved.
BUFFERS = r"git\.(image_encoder\.vision_model\.)?embeddings\.position_ids"


@dataclasses.dataclass(frozen=True)
class GITVisionShape(VisionShape):
    """The image tower of a GIT; what is not said in config.json is that of git-base."""

    FAMILY = "GIT"

    patch_size: int = 16


class GITVit(TowerEncoder):
    """The image tower of the GIT that --encoder_weights names: the class token's vector after the last norm [B, F].

    With `regions` it gives all tokens, the class token first and then the patches row by row, [B, 1 + patches, F]:
    what GIT's decoder sees.
    """

    FAMILY = "GIT"

    def shape_in(self, checkpoint: Checkpoint) -> ImageShape:
        decoder_shape_of(checkpoint.config, checkpoint.origin)
        return shape_of(GITVisionShape, said_of(checkpoint, "vision"), checkpoint.origin)

    def tower(self, shape: ImageShape, checkpoint: Checkpoint | None) -> VisionTower:
        preprocessing = checkpoint.preprocessing() if checkpoint else {}
        tower = VisionTower(shape, None, preprocessing)
        if checkpoint is not None:
            fill(tower.rows(_TOWER), checkpoint, tower.weights, rf"(?!{re.escape(_TOWER)}).*|{BUFFERS}")
        return tower

    def call(self, images: Tensor) -> Tensor:
        return self.vision.patches(images) if self.regions else self.vision(images)


def load_git(checkpoint: Checkpoint) -> GIT:
    """Returns the decoder of a checkpoint; raises InputError if it holds something else."""
    shape = decoder_shape_of(checkpoint.config, checkpoint.origin)
    tower = shape_of(GITVisionShape, said_of(checkpoint, "vision"), checkpoint.origin)
    decoder = GIT(shape, tower.hidden_size, tower.layer_norm_eps)
    fill(decoder.rows(), checkpoint, decoder.weights, rf"{re.escape(_TOWER)}.*|{BUFFERS}")
    return decoder


def rows_of(tower: VisionTower, decoder: GIT) -> list[Row]:
    """Returns the table of both: a checkpoint's tensors, all of them."""
    return [*tower.rows(_TOWER), *decoder.rows()]


def decoder_shape_of(said: Mapping[str, Any], origin: str) -> GITShape:
    """Returns the shape that config.json says; raises InputError if that is no GIT, or one that is not covered."""
    if said.get("num_image_with_embedding") is not None:
        raise InputError(
            f"{origin} is a GIT of videos, which is not covered",
            received=f"num_image_with_embedding={said['num_image_with_embedding']!r} in its config.json",
            expected="a GIT of single images, without num_image_with_embedding",
        )
    shape: GITShape = shape_of(GITShape, said, origin)
    return shape
