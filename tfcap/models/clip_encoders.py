"""CLIP's image tower as the encoder of a captioner.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020; as a captioner's prefix: Mokady et al. 2021
(ClipCap), https://arxiv.org/abs/2111.09734.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tfcap.quiet  # noqa: F401

from tfcap.errors import InputError
from tfcap.files import hash_of
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.clip import BUFFERS, VisionShape, VisionTower, said_of, shape_of
from tfcap.models.dual_encoder import projection_size_of
from tfcap.models.encoders import Encoder
from tfcap.models.weight_table import fill

Tensor = Any

_TEXT_TOWER = r"text_model\..*|text_projection\.weight|logit_scale"


class ClipVit(Encoder):
    """The image tower of whichever CLIP --encoder_weights names, a folder or hf://user/name[@revision].

    Its features are the projected image embeddings [B, D], not scaled to length 1, which CLIP and GPT-2 captioners take
    as their prefix; of a checkpoint without a projection (CLIPVisionModel) what would have been projected. With
    `regions` they are the patches [B, R, hidden size], row by row, after the last norm and not projected.
    """

    def __init__(self, weights: str, image_size: int, regions: bool = False) -> None:
        super().__init__(name="encoder")
        self.regions = regions
        self.vision = self._tower(weights, image_size)
        self.built = True

    def _tower(self, weights: str, image_size: int) -> VisionTower:
        if weights in ("none", "imagenet"):
            raise InputError(
                "The encoder is read from a checkpoint of CLIP",
                received=f"--encoder_weights={weights}",
                expected="a folder in the form of Hugging Face, or hf://user/name",
            )
        checkpoint = open_checkpoint(weights, "encoder_weights")
        shape = shape_of(VisionShape, _said(checkpoint), checkpoint.origin)
        self._check_shape(shape, checkpoint.origin)
        if shape.image_size != image_size:
            raise InputError(
                f"{checkpoint.origin} has positions for images of another size",
                received=f"--image_size={image_size}",
                expected=f"--image_size={shape.image_size}",
            )
        projects = "visual_projection.weight" in checkpoint.shapes or checkpoint.config["model_type"] == "clip"
        size = projection_size_of(checkpoint) if projects and not self.regions else None
        tower = VisionTower(shape, size, checkpoint.optional_json("preprocessor_config.json"))
        prefix = "vision_model." if any(name.startswith("vision_model.") for name in checkpoint.shapes) else ""
        unused = r"|visual_projection\.weight" if self.regions else ""
        fill(tower.rows(prefix), checkpoint, tower.variables_filled(), f"{BUFFERS}|{_TEXT_TOWER}{unused}")
        return tower

    def _check_shape(self, shape: VisionShape, origin: str) -> None:
        """Raises InputError if the encoder's name promises another shape."""

    @property
    def feature_size(self) -> int:
        return self.vision.shape.hidden_size if self.regions else self.vision.feature_size

    def preprocess(self, images: Tensor) -> Tensor:
        return self.vision.preprocess(images)

    def call(self, images: Tensor) -> Tensor:
        return self.vision.patches(images)[:, 1:] if self.regions else self.vision(images)

    def weights_hash(self) -> str:
        """Returns a digest of the weights, and of what else of the checkpoint changes the features."""
        colours = [self.vision.mean.tolist(), self.vision.deviation.tolist()]
        return hash_of(super().weights_hash(), dataclasses.asdict(self.vision.shape), colours)


class ClipVitB32(ClipVit):
    """ViT-B/32 of CLIP: D = 512 projected; 49 regions of 768. With --encoder_weights=none a random start."""

    def _tower(self, weights: str, image_size: int) -> VisionTower:
        if weights != "none":
            return super()._tower(weights, image_size)
        return VisionTower(dataclasses.replace(VisionShape(), image_size=image_size), None if self.regions else 512, {})

    def _check_shape(self, shape: VisionShape, origin: str) -> None:
        own = dataclasses.replace(
            VisionShape(), **{name: getattr(shape, name) for name in ("image_size", "hidden_act", "layer_norm_eps")}
        )
        if shape != own:
            raise InputError(
                f"{origin} is no ViT-B/32",
                received=f"patches of {shape.patch_size}, {shape.num_hidden_layers} layers of {shape.hidden_size}",
                expected="patches of 32, 12 layers of 768",
                remedy="--encoder=clip_vit takes any CLIP.",
            )


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
