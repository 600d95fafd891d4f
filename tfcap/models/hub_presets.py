"""Models of KerasHub from a folder or a hub: its own presets, and checkpoints in the form of Hugging Face.

Weights are safetensors or .weights.h5, never a pickle. Source: https://keras.io/keras_hub/api/base_classes/causal_lm/.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import keras_hub  # noqa: F401 - registers its classes, which presets name

from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.models.checkpoints import KAGGLE, Checkpoint, preset_folder, some

_WEIGHTS = ("model.weights.h5", "model_*.weights.h5")  # whole, or in shards
_OF_TEXT = {"paligemma": "gemma"}  # the one kind that KerasHub 0.32 reads in the form of Hugging Face
_INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # as Pillow numbers them


def load_task(task: Any, where: str, model_type: str, precision: str, reads_images: bool) -> Any:
    """Returns the model of KerasHub, with its weights and its preprocessor.

    Args:
      task: its class.
      where: a folder, hf://user/name[@revision] or kaggle://...
      model_type: what config.json calls it in the form of Hugging Face.
      precision: float32 or bfloat16, of its weights and of what it computes.
      reads_images: KerasHub itself reads how images are prepared from a folder in the form of Hugging Face.

    Raises:
      InputError: there is no such preset, it is damaged or another model, or its weights are in another format.
    """
    preset, more = where, {}
    if not where.startswith(KAGGLE):
        folder = preset_folder(where, "checkpoint")
        preset, config = str(folder), _config(folder, where, task.backbone_cls.__name__, model_type)
        if "registered_name" not in config and not reads_images:
            more["images"] = _preparation_of_images(Checkpoint(folder, where))
    try:
        if more:
            more = {"preprocessor": _preprocessor(task.preprocessor_cls, preset, more["images"])}
        return task.from_preset(preset, dtype=precision, **more)
    except MemoryError:
        raise
    except Exception as error:
        if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, of a device whose memory is full
            raise
        # KerasHub, the hubs and the tokenizers raise what they like.
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"KerasHub cannot load {task.__name__} from --checkpoint={where} ({type(error).__name__}: {reason})",
            remedy="Check its files, or the name and the network.",
        ) from error


def _config(folder: Path, where: str, backbone: str, model_type: str) -> dict[str, Any]:
    """Returns what config.json says; raises InputError unless that is the model, with weights that can be read."""
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    if not isinstance(config, dict) or not {"registered_name", "model_type"} & set(config):
        raise InputError(
            f"{where} is no checkpoint",
            received=f"a folder with {some(one.name for one in folder.iterdir())}",
            expected="config.json of Hugging Face or of a preset of KerasHub",
        )
    of_keras = "registered_name" in config
    found = str(config["registered_name"]).rpartition(">")[2] if of_keras else config["model_type"]
    if found != (backbone if of_keras else model_type):
        raise InputError(
            f"{where} holds another model", received=found, expected=f"{backbone} of KerasHub, or {model_type}"
        )
    if not of_keras:
        _check_text(config, where, model_type)
        Checkpoint(folder, where)  # its weights are safetensors, and whole
    elif not [one for pattern in _WEIGHTS for one in folder.glob(pattern)]:
        raise InputError(
            f"{where} has no weights as .weights.h5",
            received=f"a folder with {some(one.name for one in folder.iterdir())}",
            expected="model.weights.h5, as save_to_preset writes it",
            remedy="Other formats are not read, since reading them can run code.",
        )
    return config


def _check_text(config: Mapping[str, Any], where: str, model_type: str) -> None:
    """Raises InputError if KerasHub would build another language model than that of config.json."""
    expected, text = _OF_TEXT.get(model_type), config.get("text_config")
    found = text.get("model_type", expected) if isinstance(text, dict) else expected
    if expected and found != expected:
        raise InputError(
            f"{where} has a language model that KerasHub does not read from a folder in the form of Hugging Face",
            received=f"text_config.model_type={found!r}",
            expected=f"{expected!r}",
            remedy="Name KerasHub's own preset of it.",
        )


def _preparation_of_images(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns how Hugging Face's processor prepares images, in the words of KerasHub's converter.

    The converter that KerasHub 0.32 makes of the same file multiplies by the standard deviation where it should divide,
    and cuts what is not square.
    """
    said = checkpoint.preprocessing()
    try:
        side = int({"image_size": 224, **checkpoint.config["vision_config"]}["image_size"])  # as SigLIP has it
        mean, std, factor = said["image_mean"], said["image_std"], said["rescale_factor"]
        return {
            "image_size": (side, side),
            "scale": [factor / one for one in std],
            "offset": [-one / other for one, other in zip(mean, std, strict=True)],
            "interpolation": _INTERPOLATIONS[said["resample"]],
            "crop_to_aspect_ratio": False,
            "antialias": True,
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{checkpoint.origin} does not say how its images are prepared ({type(error).__name__}: {error})",
            expected="preprocessor_config.json with image_mean, image_std, rescale_factor and resample, and"
            " vision_config in config.json",
        ) from None


def _preprocessor(kind: Any, preset: str, images: Mapping[str, Any]) -> Any:
    return kind(tokenizer=kind.tokenizer_cls.from_preset(preset), image_converter=kind.image_converter_cls(**images))
