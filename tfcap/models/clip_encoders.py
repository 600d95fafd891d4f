"""CLIP's image tower as the encoder of a captioner.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020; as a captioner's prefix: Mokady et al. 2021
(ClipCap), https://arxiv.org/abs/2111.09734.
"""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.clip import BUFFERS, VisionShape, VisionTower, said_of
from tfcap.models.dual_encoder import projection_size_of
from tfcap.models.tower_encoder import Promise, TowerEncoder
from tfcap.models.transformer_shapes import ImageShape, shape_of
from tfcap.models.weight_table import fill

Tensor = Any

_TEXT_TOWER = r"text_model\..*|text_projection\.weight|logit_scale"


class ClipVit(TowerEncoder):
    """The image tower of whichever CLIP --encoder_weights names, a folder or hf://user/name[@revision].

    Its features are the projected image embeddings [B, D], not scaled to length 1, which CLIP and GPT-2 captioners take
    as their prefix; of a checkpoint without a projection (CLIPVisionModel) what would have been projected. With
    `regions` they are the patches [B, R, hidden size], row by row, after the last norm and not projected.
    """

    FAMILY = VisionShape.FAMILY

    def shape_in(self, checkpoint: Checkpoint) -> VisionShape:
        return shape_of(VisionShape, _said(checkpoint), checkpoint.origin)

    def tower(self, shape: ImageShape, checkpoint: Checkpoint | None) -> VisionTower:
        if checkpoint is None:
            return VisionTower(shape, None if self.regions else 512, {})
        projects = "visual_projection.weight" in checkpoint.shapes or checkpoint.config["model_type"] == "clip"
        size = projection_size_of(checkpoint) if projects and not self.regions else None
        tower = VisionTower(shape, size, checkpoint.preprocessing())
        prefix = "vision_model." if any(name.startswith("vision_model.") for name in checkpoint.shapes) else ""
        unused = r"|visual_projection\.weight" if self.regions else ""
        fill(tower.rows(prefix), checkpoint, tower.weights, f"{BUFFERS}|{_TEXT_TOWER}{unused}")
        return tower

    def call(self, images: Tensor) -> Tensor:
        return self.vision.patches(images)[:, 1:] if self.regions else self.vision(images)


class ClipVitB32(ClipVit):
    """ViT-B/32 of CLIP: D = 512 projected; 49 regions of 768. With --encoder_weights=none a random start."""

    PROMISE = Promise("ViT-B/32", VisionShape(), ("image_size", "hidden_act", "layer_norm_eps"), "clip_vit")


def _said(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns what config.json says of the image tower; raises InputError if it is of no CLIP."""
    kind = checkpoint.config.get("model_type")
    if kind == "clip" and isinstance(checkpoint.config.get("vision_config"), dict):
        return said_of(checkpoint, "vision")
    if kind == "clip_vision_model":
        return checkpoint.config
    raise InputError(
        f"{checkpoint.origin} is no CLIP with an image tower",
        received=f"model_type {kind!r} in its config.json",
        expected="'clip' with vision_config, or 'clip_vision_model'",
    )
