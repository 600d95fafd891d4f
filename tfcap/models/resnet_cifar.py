"""ResNet-18 for pictures of 32 pixels, from a random start.

Source: He et al. 2016, https://arxiv.org/abs/1512.03385, table 1, with the stem that CIFAR-10 takes in their section
4.2: one convolution of 3 x 3 that keeps the size, and no pool. Study S5 has it as teacher and as student.
"""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.errors import InputError
from tfcap.models.batch_norm import BatchNorm
from tfcap.models.encoders import Encoder
from tfcap.settings import ModelSettings

Tensor = Any

_GROUPS = 8
_STAGES = ((1, 1), (2, 2), (4, 2), (8, 2))  # how many times as wide as the first, and the strides of its first block
_BLOCKS = 2


class ResNet18Cifar(Encoder):
    """The mean over the places of the last map, which are the features of the last layer but one: D = 8 * width.

    11.2 million weights at the published width of 64. With `norm` "batch" the statistics of a batch normalise in
    training; "group" normalises each picture by itself, in eight groups of channels.
    """

    SMALLEST_SIDE = 8

    def __init__(
        self, weights: str, image_size: int, regions: bool = False, *, norm: str = "batch", width: int = 64
    ) -> None:
        super().__init__(name="encoder")
        self.regions = regions
        self.check_image_size(image_size)
        if weights != "none":
            raise InputError(
                "resnet18_cifar has no pretrained weights", received=f"--encoder_weights={weights}", expected="none"
            )
        if norm == "group" and width % _GROUPS:
            raise InputError(
                "Group normalisation needs as many channels in each group",
                received=f"--width={width}",
                expected=f"a multiple of {_GROUPS}, or --norm=batch",
            )
        self._norm, self.width = norm, 8 * width
        inputs = keras.Input((image_size, image_size, 3))
        x = self._convolved(inputs, width, 3, 1, "stem")
        x = keras.layers.Activation("relu", name="stem_relu")(x)
        for stage, (times, strides) in enumerate(_STAGES):
            for block in range(_BLOCKS):
                x = self._block(x, width * times, strides if block == 0 else 1, f"stage{stage}_block{block}")
        self.backbone = keras.Model(inputs, x, name="resnet18_cifar")
        self.built = True

    @classmethod
    def options(cls, model: ModelSettings) -> dict[str, Any]:
        return {"norm": model.norm, "width": model.width}

    def _convolved(self, x: Tensor, width: int, size: int, strides: int, name: str) -> Tensor:
        """Returns the map after a convolution, zeros around it, and the norm."""
        if strides == 2 and size == 3:  # one row above and below; Keras' "same" would have one below alone
            x, padding = keras.layers.ZeroPadding2D(1, name=f"{name}_padding")(x), "valid"
        else:
            padding = "same"
        x = keras.layers.Conv2D(
            width, size, strides, padding, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
        )(x)
        if self._norm == "batch":
            return BatchNorm(name=f"{name}_norm")(x)
        return keras.layers.GroupNormalization(_GROUPS, epsilon=1e-5, name=f"{name}_norm")(x)

    def _block(self, x: Tensor, width: int, strides: int, name: str) -> Tensor:
        """Returns the map after two convolutions, beside a shortcut, which is a projection where the shape changes."""
        y = self._convolved(x, width, 3, strides, f"{name}_first")
        y = keras.layers.Activation("relu", name=f"{name}_relu1")(y)
        y = self._convolved(y, width, 3, 1, f"{name}_second")
        if strides != 1 or x.shape[-1] != width:
            x = self._convolved(x, width, 1, strides, f"{name}_shortcut")
        return keras.layers.Activation("relu", name=f"{name}_relu2")(keras.layers.Add(name=f"{name}_add")([x, y]))

    def preprocess(self, images: Tensor) -> Tensor:
        return ops.cast(images, "float32") / 127.5 - 1.0

    def call(self, images: Tensor, training: bool = False) -> Tensor:
        found = self.backbone(images, training=training)
        if self.regions:
            return ops.reshape(found, (-1, found.shape[1] * found.shape[2], self.width))
        return ops.mean(found, axis=(1, 2))
