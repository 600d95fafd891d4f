"""Image encoders: pixels to a feature vector, or one a region, with the preprocessing that the weights expect."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
from keras import ops

from tfcap.errors import InputError
from tfcap.settings import ModelSettings

Tensor = Any


class Encoder(keras.Model):
    """Turns preprocessed images float32 [B, S, S, 3] into features [B, D], or [B, R, D] with `regions`."""

    SMALLEST_SIDE = 1  # pixels
    regions: bool

    @classmethod
    def check_image_size(cls, image_size: int) -> None:
        """Raises InputError where pictures are too small for the encoder."""
        if image_size < cls.SMALLEST_SIDE:
            raise InputError(
                f"{cls.__name__} needs larger pictures",
                received=f"--image_size={image_size}",
                expected=f"at least {cls.SMALLEST_SIDE}",
            )

    @classmethod
    def options(cls, model: ModelSettings) -> dict[str, Any]:
        """Returns what of the settings this encoder is made with beside its weights and the size of the pictures."""
        return {}

    def preprocess(self, images: Tensor) -> Tensor:
        """Returns what the backbone expects of images uint8 [B, S, S, 3]."""
        raise NotImplementedError

    @property
    def feature_size(self) -> int:
        """D, the width of a feature vector."""
        return int(self.backbone.output_shape[-1])

    def weights_hash(self) -> str:
        """Returns a digest of the encoder's class, every weight, and what it computes in where that is not float32."""
        computes = "" if self.compute_dtype == "float32" else f" {self.compute_dtype}"
        digest = hashlib.sha256((type(self).__name__ + " regions" * self.regions + computes).encode())
        for variable in self.weights:
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
        return digest.hexdigest()


def as_regions(features: Tensor) -> Tensor:
    """Returns features [B, R, D]; the vector of a whole image [B, D] is that of one region."""
    return features if len(features.shape) == 3 else features[:, None]


def as_one_vector(features: Tensor) -> Tensor:
    """Returns features [B, D]; of regions [B, R, D] their mean."""
    return ops.mean(features, axis=1) if len(features.shape) == 3 else features


class _Pretrained(Encoder):
    """An architecture of keras.applications, mean-pooled or with the places of its last map as regions.

    Its batch normalisation always runs in inference mode: statistics of a batch would make an example's
    gradient depend on its neighbours. From a random start it is replaced by group normalisation.
    """

    SMALLEST_SIDE = 32  # of what keras.applications builds

    def __init__(self, weights: str, image_size: int, regions: bool = False) -> None:
        super().__init__(name="encoder")
        self.regions = regions
        self.check_image_size(image_size)
        self.backbone = self._load(weights, (image_size, image_size, 3))
        width = self.backbone.output_shape[-1]
        self.pool = keras.layers.Reshape((-1, width)) if regions else keras.layers.GlobalAveragePooling2D()
        self.built = True

    def _architecture(self) -> Any:
        raise NotImplementedError

    def _load(self, weights: str, shape: tuple[int, int, int]) -> keras.Model:
        architecture = self._architecture()
        if weights == "none":
            return keras.models.clone_model(
                architecture(include_top=False, weights=None, input_shape=shape), clone_function=_with_group_norm
            )
        if weights == "imagenet":
            return self._imagenet(shape)
        path = Path(weights).expanduser()
        if not path.is_file():
            raise InputError(
                "The encoder's weights are missing",
                received=f"--encoder_weights={weights}",
                expected="imagenet, none or a .weights.h5 file",
            )
        if path.suffix != ".h5":
            raise InputError(
                "Encoder weights have an unknown format", received=path, expected="a .h5 or .weights.h5 file"
            )
        backbone = architecture(include_top=False, weights=None, input_shape=shape)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # Keras warns of layers that it leaves as they are
                backbone.load_weights(path)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            raise InputError(
                f"{path} does not hold the weights of {architecture.__name__} without its top ({str(error)[:200]})"
            ) from None
        return backbone

    def _imagenet(self, shape: tuple[int, int, int]) -> keras.Model:
        try:
            return self._architecture()(include_top=False, weights="imagenet", input_shape=shape)
        except Exception as error:  # noqa: BLE001 - keras.utils.get_file raises bare Exception when a download fails
            folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
            raise InputError(
                f"The ImageNet weights of {self._architecture().__name__} are not cached and cannot be downloaded",
                received=str(error)[:160],
                expected=f"the file that keras.applications keeps in {folder}",
                remedy="Give a file with --encoder_weights=FILE.h5, or train from scratch with --encoder_weights=none.",
            ) from None

    def call(self, images: Tensor) -> Tensor:
        return self.pool(self.backbone(images, training=False))


class _GroupNormalization(keras.layers.GroupNormalization):
    """Takes the arguments of the batch normalisation that it stands in for."""

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        return super().call(inputs)


def _with_group_norm(layer: keras.layers.Layer) -> keras.layers.Layer:
    if not isinstance(layer, keras.layers.BatchNormalization):
        return layer.__class__.from_config(layer.get_config())
    return _GroupNormalization(groups=8, name=layer.name)


class ResNet50(_Pretrained):
    """ResNet-50 (He et al. 2016, https://arxiv.org/abs/1512.03385), D = 2048."""

    def _architecture(self) -> Any:
        return keras.applications.ResNet50

    def preprocess(self, images: Tensor) -> Tensor:
        return _less_imagenet_means(images)


class VGG19(_Pretrained):
    """VGG-19 (Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556), D = 512, 49 regions at 224 pixels.

    It has no normalisation, from a random start either.
    """

    def _architecture(self) -> Any:
        return keras.applications.VGG19

    def preprocess(self, images: Tensor) -> Tensor:
        return _less_imagenet_means(images)


def _less_imagenet_means(images: Tensor) -> Tensor:
    """Returns blue, green and red, in this order, less the means of ImageNet, as Caffe's models take them."""
    pixels = ops.cast(images, "float32")[..., ::-1]
    return pixels - ops.convert_to_tensor([103.939, 116.779, 123.68], "float32")


class MobileNetV2(_Pretrained):
    """MobileNetV2 1.0 (Sandler et al. 2018, https://arxiv.org/abs/1801.04381), D = 1280."""

    def _architecture(self) -> Any:
        return keras.applications.MobileNetV2

    def preprocess(self, images: Tensor) -> Tensor:
        return ops.cast(images, "float32") / 127.5 - 1.0


class SmallResNet(Encoder):
    """A residual network of 0.5 M parameters for small pictures, from scratch, with group normalisation.

    Without regions its last map is flattened, not pooled, so that the decoder can tell left from right.
    """

    WIDTHS = (48, 96, 128)

    def __init__(self, weights: str, image_size: int, regions: bool = False) -> None:
        super().__init__(name="encoder")
        self.regions = regions
        if weights != "none":
            raise InputError(
                "small_resnet has no pretrained weights", received=f"--encoder_weights={weights}", expected="none"
            )
        inputs = keras.Input((image_size, image_size, 3))
        # Patches, as a vision transformer takes them: nothing is computed at full size.
        x = _convolution(self.WIDTHS[0], 4, 4, "stem")(inputs)
        for index, width in enumerate(self.WIDTHS[1:]):
            x = _residual_block(x, width, f"block{index}")
        x = keras.layers.Activation("relu", name="last_relu")(keras.layers.GroupNormalization(8, name="last_norm")(x))
        flat = keras.layers.Reshape((-1, self.WIDTHS[-1])) if regions else keras.layers.Flatten()
        self.backbone = keras.Model(inputs, flat(x), name="small_resnet")
        self.built = True

    def preprocess(self, images: Tensor) -> Tensor:
        return ops.cast(images, "float32") / 127.5 - 1.0

    def call(self, images: Tensor) -> Tensor:
        return self.backbone(images)


def _convolution(width: int, size: int, strides: int, name: str) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(width, size, strides, "same", use_bias=False, kernel_initializer="he_normal", name=name)


def _residual_block(x: Tensor, width: int, name: str) -> Tensor:
    """Halves the map's side: norm, ReLU, convolution twice, beside a strided projection (pre-activation form)."""
    y = keras.layers.Activation("relu", name=f"{name}_relu1")(
        keras.layers.GroupNormalization(8, name=f"{name}_norm1")(x)
    )
    shortcut = _convolution(width, 1, 2, f"{name}_shortcut")(y)
    y = _convolution(width, 3, 2, f"{name}_conv1")(y)
    y = keras.layers.Activation("relu", name=f"{name}_relu2")(
        keras.layers.GroupNormalization(8, name=f"{name}_norm2")(y)
    )
    y = _convolution(width, 3, 1, f"{name}_conv2")(y)
    return keras.layers.Add(name=f"{name}_add")([shortcut, y])
