"""A captioner in the form of Hugging Face: what config.json says, and the table of its tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.vision_transformer import VisionTransformer
from tfcap.models.weight_table import Row


@dataclasses.dataclass(frozen=True)
class HuggingFace:
    """What a folder in that form holds.

    Attributes:
      config: of config.json.
      rows: of the tensors.
      preprocessing: of preprocessor_config.json; empty where there is no image encoder.
      left_out: the part of the captioner that the form has no place for, in words.
    """

    config: dict[str, Any]
    rows: Sequence[Row]
    preprocessing: dict[str, Any] = dataclasses.field(default_factory=dict)
    left_out: str = ""


def ids_of(marks: Marks) -> dict[str, int]:
    """Returns what config.json says of the ids that begin and end a caption."""
    return {"bos_token_id": marks.begin, "eos_token_id": marks.end}


def preprocessing_of(tower: VisionTransformer, kind: str) -> dict[str, Any]:
    """Returns what preprocessor_config.json says of a tower whose images are squashed to its size."""
    side = {"height": tower.shape.image_size, "width": tower.shape.image_size}
    return {
        "image_processor_type": kind,
        "do_resize": True,
        "resample": 2,  # bilinear, as in training
        "do_center_crop": False,
        "size": side,
        **({"crop_size": side} if kind == "CLIPImageProcessor" else {}),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": tower.mean.tolist(),
        "image_std": tower.deviation.tolist(),
    }


def no_form(captioner: str, encoder: Any, expected: str) -> InputError:
    """Returns the error of a captioner whose encoder has no place in its form."""
    return InputError(
        f"There is no form at Hugging Face for {captioner} behind this encoder",
        received=type(encoder).__name__,
        expected=expected,
    )
