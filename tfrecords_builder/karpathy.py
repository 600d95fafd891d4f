"""Karpathy's splits of COCO, Flickr8k and Flickr30k: JSON files that say each image's split and captions.

Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating Image Descriptions", CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tfcap.errors import InputError
from tfcap.files import read_json

_SPLITS = {"train": "train", "restval": "train", "val": "validation", "test": "test"}
_T = TypeVar("_T")


def read_karpathy(path: Path, make: Callable[[Mapping[str, Any]], _T], usual: str, fields: str) -> dict[str, list[_T]]:
    """Returns what `make` gives of each image of the file, by split and in the order of the file.

    Args:
      make: gets an entry such as {filename, split, sentences: [{raw, sentid}], ...}.
      usual: the file's usual name, for errors.
      fields: what an entry must have, for errors.

    Raises:
      InputError: the file is no JSON, an entry lacks a field, or its split is none of train, restval, val and test.
    """
    splits: dict[str, list[_T]] = {"train": [], "validation": [], "test": []}
    try:
        for image in read_json(path)["images"]:
            splits[_SPLITS[image["split"]]].append(make(image))
    except (KeyError, TypeError) as error:
        problem = f"{path} is not Karpathy's {usual} ({type(error).__name__}: {error})"
        raise InputError(problem, expected=f"images with {fields}") from None
    return splits
