"""What a folder of synthetic pairs says of itself in distilled.json: of what they are made, how, and their captions.

Plain Python, so that settings can ask it before TensorFlow is imported.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcap.errors import InputError
from tfcap.files import read_json

DESCRIPTION = "distilled.json"
KINDS = ("images", "features")
_SPLITS = ("train", "validation", "test")
_EXPECTED = "--dataset=distilled:DIR, a folder that tfcap.distill has made"


@dataclasses.dataclass(frozen=True)
class DistilledSet:
    """A folder of synthetic pairs.

    Attributes:
      folder: where it lies.
      method: which distillation made it.
      pairs: how many pairs it has, M.
      seed: of the distillation.
      kind: `images`, where the pairs are pictures and texts, or `features`, where they are vectors of frozen encoders.
      captions: [M], the nearest real caption of each synthetic text.
      data: the settings of the original data set, those of `DataSettings` by name.
      fingerprints: of the original data set, by split, as far as it was used (--limit).
    """

    folder: Path
    method: str
    pairs: int
    seed: int
    kind: str
    captions: tuple[str, ...]
    data: Mapping[str, Any]
    fingerprints: Mapping[str, str]

    def image_paths(self) -> list[Path]:
        """Returns where the M synthetic pictures lie, in the order of the captions."""
        return [self.folder / "images" / f"{row:05d}.png" for row in range(self.pairs)]


def read_distilled(folder: str | Path) -> DistilledSet:
    """Returns what the folder's distilled.json says.

    Raises:
      InputError: no folder is named, it is not there, or its distilled.json is damaged or of something else.
    """
    if not str(folder):
        raise InputError("The data set distilled needs its folder", expected=_EXPECTED)
    path = Path(folder).expanduser() / DESCRIPTION
    if not path.parent.is_dir():
        raise InputError("The distilled set is not a folder", received=path.parent, expected=_EXPECTED)
    if not path.is_file():
        raise InputError(f"The distilled set has no {DESCRIPTION}", received=path.parent, expected=_EXPECTED)
    said = read_json(path)
    wrong = _what_is_wrong(said)
    if wrong:
        raise InputError(f"{path} does not describe a distilled set: {wrong}", expected=_EXPECTED)
    return DistilledSet(
        path.parent,
        said["method"],
        said["pairs"],
        said["seed"],
        said["kind"],
        tuple(said["captions"]),
        said["data"],
        {split: said["fingerprints"][split] for split in _SPLITS},
    )


def _what_is_wrong(said: Any) -> str:
    """Returns in words what a description lacks; nothing where it is whole."""
    if not isinstance(said, dict):
        return "it is no object"
    kinds = {"method": str, "pairs": int, "seed": int, "kind": str, "captions": list, "data": dict}
    for name, kind in {**kinds, "fingerprints": dict}.items():
        if not isinstance(said.get(name), kind) or isinstance(said[name], bool):
            return f"{name} is missing or of another type"
    captions, fingerprints = said["captions"], said["fingerprints"]
    if said["kind"] not in KINDS:
        return f"its kind is {said['kind']!r}, and {' and '.join(KINDS)} are known"
    if said["pairs"] < 1 or len(captions) != said["pairs"]:
        return f"it has {len(captions)} captions for {said['pairs']} pairs"
    if not all(isinstance(caption, str) and caption.strip() for caption in captions):
        return "a caption is empty or no text"
    if not isinstance(said["data"].get("dataset"), str):
        return "it does not name the original data set"
    if not all(isinstance(fingerprints.get(split), str) for split in _SPLITS):
        return "it lacks a fingerprint of the original's train, validation or test"
    return ""
