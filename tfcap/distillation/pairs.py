"""A set of image-text pairs, distilled or chosen, and the folder it is kept in."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from tfcap.distilled_set import DESCRIPTION, read_distilled
from tfcap.errors import InputError
from tfcap.files import read_json, write_json

TENSORS = "pairs.safetensors"
# What a description says of students, beside what `tfcap.distilled_set` reads.
OF_STUDENT = ("problem", "options", "encoder", "image_size", "trains", "text_encoder", "text_identity")


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """M pairs as a student sees them.

    Attributes:
      images: float32 [M, D] of features, or [M, S, S, 3] of pixels in 0 to 255.
      texts: float32 [M, E], embeddings.
      rates: the rates of image and of text parameters that the pairs were distilled with; None where there are none.
    """

    images: np.ndarray
    texts: np.ndarray
    rates: tuple[float, float] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def tensors(self) -> dict[str, np.ndarray]:
        """Returns what is saved, by name."""
        arrays = {"images": self.images, "texts": self.texts}
        if self.rates:
            arrays["rates"] = np.array(self.rates, np.float32)
        return {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}

    @classmethod
    def of_tensors(cls, tensors: dict[str, np.ndarray]) -> Pairs:
        """Returns the pairs that `tensors` gave."""
        rates = tensors.get("rates")
        return cls(tensors["images"], tensors["texts"], None if rates is None else (float(rates[0]), float(rates[1])))


def write(folder: Path, pairs: Pairs, about: dict[str, Any]) -> None:
    """Writes the tensors and, after them, what is said of them, into a folder that is there."""
    (folder / TENSORS).write_bytes(save(pairs.tensors()))
    write_json(folder / DESCRIPTION, about)


def read(folder: Path) -> tuple[Pairs, dict[str, Any]]:
    """Returns the pairs in a folder and what is said of them.

    Raises:
      InputError: there are none, or they are damaged.
    """
    read_distilled(folder)  # raises where it says too little
    about = read_json(folder / DESCRIPTION)
    absent = [name for name in OF_STUDENT if name not in about]
    if absent:
        raise InputError(f"{folder / DESCRIPTION} does not say its {absent[0]}", remedy="Distil it again.")
    try:
        pairs = Pairs.of_tensors(load_file(folder / TENSORS))
    except Exception as error:  # noqa: BLE001 - safetensors raises its own class, which it does not export
        raise InputError(f"The set {folder} is damaged ({str(error)[:120]})", remedy="Distil it again.") from None
    if len(pairs.images) != len(pairs) or len(pairs) != about["pairs"]:
        raise InputError(
            f"The set {folder} is damaged",
            received=f"{len(pairs.images)} images and {len(pairs)} texts",
            expected=f"{about['pairs']} pairs",
        )
    return pairs, about
