"""The image tower of a checkpoint as the encoder of a captioner: what all such encoders have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

import tfcap.quiet  # noqa: F401

from tfcap.errors import InputError
from tfcap.files import hash_of
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.encoders import Encoder
from tfcap.models.transformer_shapes import ImageShape
from tfcap.models.vision_transformer import VisionTransformer

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Promise:
    """What the name of an encoder says about its shape.

    Attributes:
      name: of the shape.
      shape: what the checkpoint must have, and what is made from a random start.
      free: words of config.json in which a checkpoint may differ from it.
      instead: the encoder that takes any shape of the family.
    """

    name: str
    shape: ImageShape
    free: tuple[str, ...]
    instead: str

    def check(self, shape: ImageShape, origin: str) -> None:
        """Raises InputError if the shape is another."""
        own = dataclasses.replace(self.shape, **{name: getattr(shape, name) for name in self.free})
        if shape != own:
            raise InputError(
                f"{origin} is no {self.name}",
                received=_in_words(shape),
                expected=_in_words(own),
                remedy=f"--encoder={self.instead} takes any {shape.FAMILY}.",
            )


class TowerEncoder(Encoder):
    """A vision transformer of whichever checkpoint --encoder_weights names, a folder or hf://user/name[@revision].

    It takes images of the one size that it has positions for.
    """

    FAMILY = ImageShape.FAMILY
    PROMISE: Promise | None = None

    def __init__(self, weights: str, image_size: int, regions: bool = False) -> None:
        super().__init__(name="encoder")
        self.regions = regions
        if weights == "none" and self.PROMISE is not None:
            self.vision = self._random(self.PROMISE, image_size)
        else:
            self.vision = self._read(weights, image_size)
        self.built = True

    def shape_in(self, checkpoint: Checkpoint) -> ImageShape:
        """Returns the shape that config.json says; raises InputError if it is of another family."""
        raise NotImplementedError

    def tower(self, shape: ImageShape, checkpoint: Checkpoint | None) -> VisionTransformer:
        """Returns the tower with the checkpoint's weights, or with random ones."""
        raise NotImplementedError

    def _random(self, promise: Promise, image_size: int) -> VisionTransformer:
        side = promise.shape.patch_size
        if image_size % side:
            raise InputError(
                f"{promise.name} cuts images into patches of {side} pixels",
                received=f"--image_size={image_size}",
                expected=f"a multiple of {side}",
            )
        return self.tower(dataclasses.replace(promise.shape, image_size=image_size), None)

    def _read(self, weights: str, image_size: int) -> VisionTransformer:
        if weights in ("none", "imagenet"):
            raise InputError(
                f"The encoder is read from a checkpoint of {self.FAMILY}",
                received=f"--encoder_weights={weights}",
                expected="a folder in the form of Hugging Face, or hf://user/name",
            )
        checkpoint = open_checkpoint(weights, "encoder_weights")
        shape = self.shape_in(checkpoint)
        if self.PROMISE is not None:
            self.PROMISE.check(shape, checkpoint.origin)
        if shape.image_size != image_size:
            raise InputError(
                f"{checkpoint.origin} has positions for images of another size",
                received=f"--image_size={image_size}",
                expected=f"--image_size={shape.image_size}",
            )
        return self.tower(shape, checkpoint)

    @property
    def feature_size(self) -> int:
        return self.vision.shape.hidden_size if self.regions else self.vision.feature_size

    def preprocess(self, images: Tensor) -> Tensor:
        return self.vision.preprocess(images)

    def weights_hash(self) -> str:
        """Returns a digest of the weights, and of what else of the checkpoint changes the features."""
        colours = [self.vision.mean.tolist(), self.vision.deviation.tolist()]
        return hash_of(super().weights_hash(), dataclasses.asdict(self.vision.shape), colours)


def _in_words(shape: ImageShape) -> str:
    return (
        f"patches of {shape.patch_size}, {shape.num_hidden_layers} layers of {shape.hidden_size} and"
        f" {shape.intermediate_size} in {shape.num_attention_heads} heads, images of {shape.image_size}"
    )
