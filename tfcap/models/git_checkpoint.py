"""GIT from a checkpoint with the names of Hugging Face: its image tower, which is CLIP's, and its decoder.

Source: Wang et al. 2022, https://arxiv.org/abs/2205.14100.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

from tfcap.errors import InputError
from tfcap.files import hash_of
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.clip import VisionShape, VisionTower, said_of, shape_of
from tfcap.models.encoders import Encoder
from tfcap.models.git import GIT, GITShape
from tfcap.models.weight_table import Row, fill

Tensor = Any

_TOWER = "git.image_encoder.vision_model."
# Numbers of positions that older versions of transformers saved.
BUFFERS = r"git\.(image_encoder\.vision_model\.)?embeddings\.position_ids"
# What else a config.json may say, and how this model does it.
_ONLY = {
    "model_type": "git",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}

# The image towers of microsoft/git-base and git-large, which differ in nothing else: 177 and 394 million weights.
BASE = VisionShape(patch_size=16)
LARGE = VisionShape(1024, 4096, 24, 16, patch_size=14)


class GITEncoder(Encoder):
    """GIT's image tower: the class token and then the patches, row by row, after the last norm: [B, 1 + patches, F]."""

    def __init__(self, tower: VisionTower) -> None:
        super().__init__(name="encoder")
        self.regions = True
        self.vision = tower
        self.built = True

    @property
    def feature_size(self) -> int:
        return self.vision.shape.hidden_size

    def preprocess(self, images: Tensor) -> Tensor:
        return self.vision.preprocess(images)

    def call(self, images: Tensor) -> Tensor:
        return self.vision.patches(images)

    def weights_hash(self) -> str:
        """Returns a digest of the weights, and of what else of the checkpoint changes the features."""
        return hash_of(super().weights_hash(), *self.vision.besides_weights())


def load_git(checkpoint: Checkpoint) -> tuple[GITEncoder, GIT]:
    """Returns the image encoder and the decoder of a checkpoint; raises InputError if it holds something else."""
    shape = decoder_shape_of(checkpoint.config, checkpoint.origin)
    said = {"patch_size": BASE.patch_size, **said_of(checkpoint, "vision")}
    tower_shape = shape_of(VisionShape, said, checkpoint.origin, "GIT")
    tower = VisionTower(tower_shape, None, checkpoint.optional_json("preprocessor_config.json"))
    decoder = GIT(shape, tower_shape.hidden_size, tower_shape.layer_norm_eps)
    fill(rows_of(tower, decoder), checkpoint, [*tower.variables_filled(), *decoder.weights], BUFFERS)
    return GITEncoder(tower), decoder


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
    wrong = [f"{name}={said[name]!r}" for name, only in _ONLY.items() if said.get(name, only) != only]
    if wrong:
        raise InputError(
            f"config.json of {origin} describes no GIT, or one that is not covered",
            received=", ".join(wrong),
            expected=", ".join(f"{name}={only!r}" for name, only in _ONLY.items()),
        )
    shape: GITShape = shape_of(GITShape, said, origin, "GIT")
    if max(shape.bos_token_id, shape.eos_token_id) >= shape.vocab_size:
        raise InputError(
            f"config.json of {origin} describes no GIT",
            received=f"bos_token_id={shape.bos_token_id}, eos_token_id={shape.eos_token_id}",
            expected=f"ids below vocab_size={shape.vocab_size}",
        )
    return shape
