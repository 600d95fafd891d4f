"""NF-ResNets as image encoders: residual networks without normalisation.

Source: Brock, De and Smith 2021, https://arxiv.org/abs/2101.08692; the image side of Wu et al. 2024,
https://arxiv.org/abs/2308.07545. The arithmetic of nf_resnet50 is timm's, and a test holds its block against PyTorch.
Gradient norms have no rule for its convolutions, and take --gradient_norm_fallback=instantiate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
from keras import ops

from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.encoders import Encoder
from tfcap.models.nf_blocks import ALPHA, OF_RELU, NFBlock, StandardisedConvolution, padded
from tfcap.models.weight_table import Row, fill

Tensor = Any

_LOWEST = -6e4  # below whatever is pooled, in half precision too
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


@dataclasses.dataclass(frozen=True)
class NFShape:
    """Sizes of an NF-ResNet.

    Attributes:
      stem: channels, size of the window and factor of the first convolution, which halves the image.
      pools: whether the highest of 3 x 3 places follow it, half as many again.
      widths, depths: of each stage the channels and the blocks; the first block of each halves, but after a pool not
        that of the first stage.
      squeezed: how many times fewer channels the middle of a block has.
      means: of which the shortcut that halves is made, else of all places.
    """

    stem: tuple[int, int, float]
    pools: bool
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    squeezed: int
    means: bool


NF_RESNET_50 = NFShape((64, 7, OF_RELU), True, (256, 512, 1024, 2048), (3, 4, 6, 3), 4, means=True)
SMALL = NFShape((32, 3, 1.0), False, (64, 128, 256), (1, 2, 1), 2, means=False)


class NFResNet(keras.Model):
    """Images float32 [B, S, S, 3] to the last map [B, H, W, D], after a ReLU."""

    def __init__(self, shape: NFShape) -> None:
        """Makes one with random weights, by which signals have the expected variance from the first block to the last.

        Every gain is 1, that of the last convolution of a block too, which others begin with 0.
        """
        super().__init__(name="nf_resnet")
        self.shape, self.width = shape, shape.widths[-1]
        channels, size, gamma = shape.stem
        policy = self.dtype_policy
        self.first = StandardisedConvolution(channels, size, 2, gamma, dtype=policy, name="stem")
        self.first.build((None, None, None, 3))
        self.blocks, self.names = [], []
        for name, (inputs, width, strides, variance) in _plan(shape):
            block = NFBlock(
                inputs,
                width,
                width // shape.squeezed,
                strides,
                variance,
                shape.means,
                dtype=policy,
                name=name.replace(".", "_"),
            )
            block.build((None, None, None, inputs))
            self.blocks.append(block)
            self.names.append(name)
        self.built = True

    def stem(self, images: Tensor) -> Tensor:
        """Returns what the first block is given of images float32 [B, S, S, 3]."""
        x = self.first(images)
        return ops.max_pool(padded(x, 3, _LOWEST), 3, 2, "valid", "channels_last") if self.shape.pools else x

    def call(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for block in self.blocks:
            x = block(x)
        return ops.relu(x)

    def rows(self) -> list[Row]:
        """Returns the table of its weights under timm's names."""
        blocks = zip(self.blocks, self.names, strict=True)
        return [*self.first.rows("stem.conv"), *(one for block, name in blocks for one in block.rows(name))]


def _plan(shape: NFShape) -> Iterator[tuple[str, tuple[int, int, int, float]]]:
    """Yields each block's name, and its channels before and after it, its strides and the variance that it is given."""
    inputs, variance = shape.stem[0], 1.0
    for stage, (width, depth) in enumerate(zip(shape.widths, shape.depths, strict=True)):
        for index in range(depth):
            halves = index == 0 and not (stage == 0 and shape.pools)
            yield f"stages.{stage}.{index}", (inputs, width, 2 if halves else 1, variance)
            inputs, variance = width, (1.0 if index == 0 else variance) + ALPHA**2


class _NFEncoder(Encoder):
    """The last map of an NF-ResNet, mean-pooled, or with `regions` its places row by row."""

    SHAPE: NFShape

    def __init__(self, weights: str, image_size: int, regions: bool = False) -> None:
        super().__init__(name="encoder")
        self.regions = regions
        self.check_image_size(image_size)
        checkpoint = self._checkpoint(weights)
        self.backbone = NFResNet(self.SHAPE)
        if checkpoint is not None:
            fill(self.backbone.rows(), checkpoint, self.backbone.weights, r"head\.fc\.(weight|bias)")
        self.built = True

    def _checkpoint(self, weights: str) -> Checkpoint | None:
        """Returns where the weights come from; None for a random start."""
        raise NotImplementedError

    def preprocess(self, images: Tensor) -> Tensor:
        mean, deviation = (np.array(one, np.float32) for one in (_MEAN, _DEVIATION))
        return (ops.cast(images, "float32") / 255.0 - mean) / deviation

    @property
    def feature_size(self) -> int:
        return self.backbone.width

    def call(self, images: Tensor) -> Tensor:
        found = self.backbone(images)
        if self.regions:
            return ops.reshape(found, (-1, found.shape[1] * found.shape[2], self.backbone.width))
        return ops.mean(found, axis=(1, 2))


class NFResNet50(_NFEncoder):
    """NF-ResNet-50, D = 2048: from a folder or hf://user/name[@revision] in the form of timm, or from a random start.

    That form is `model.safetensors`, with the classifier or without it, beside a config.json that says
    `"architecture": "nf_resnet50"`, as hf://timm/nf_resnet50.ra2_in1k should have it.
    """

    SHAPE = NF_RESNET_50

    def _checkpoint(self, weights: str) -> Checkpoint | None:
        if weights == "none":
            return None
        checkpoint = open_checkpoint(weights, "encoder_weights")
        kind, more = checkpoint.config.get("architecture"), checkpoint.config.get("pretrained_cfg")
        said = more if isinstance(more, dict) else {}
        usual = {"mean": list(_MEAN), "std": list(_DEVIATION)}
        colours = {name: said.get(name, value) for name, value in usual.items()}
        if kind != "nf_resnet50" or colours != usual:
            raise InputError(
                f"{checkpoint.origin} is no nf_resnet50 of timm, or not for pixels as ImageNet's are normalised",
                received=f"architecture {kind!r} and {colours} in its config.json",
                expected=f"architecture 'nf_resnet50' and {usual}",
            )
        return checkpoint


class SmallNFResNet(_NFEncoder):
    """An NF-ResNet of 0.5 million weights for pictures of 16 to 64 pixels, from a random start: D = 256."""

    SHAPE = SMALL

    def _checkpoint(self, weights: str) -> Checkpoint | None:
        if weights != "none":
            raise InputError(
                "nf_resnet_small has no pretrained weights", received=f"--encoder_weights={weights}", expected="none"
            )
        return None
