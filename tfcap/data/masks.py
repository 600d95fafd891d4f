"""Masks: which examples of a split are kept, in the order of selection, tied to the data they were made for."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcap.data.record_index import Examples
from tfcap.errors import InputError
from tfcap.files import atomic_file, read_json, write_json


@dataclasses.dataclass(frozen=True)
class Mask:
    """A subset of one split.

    Attributes:
      ids: int64 [k], in the order of selection.
      mask: bool [N], in the examples' order.
      about: selector, fraction, seed, fingerprint and score file.
    """

    ids: np.ndarray
    mask: np.ndarray
    about: Mapping[str, Any]

    @classmethod
    def of(cls, ids: np.ndarray, examples: Examples, **about: Any) -> Mask:
        """Returns the mask of `ids` over `examples`."""
        return cls(ids.astype(np.int64), np.isin(examples.ids, ids), {**about, "fingerprint": examples.fingerprint})

    def save(self, folder: Path, name: str) -> None:
        """Writes `name`.npz and then `name`.json, each atomically; a reader needs both."""
        with atomic_file(folder / f"{name}.npz") as path:
            np.savez(path, ids=self.ids, mask=self.mask)
        write_json(folder / f"{name}.json", dict(self.about))

    @classmethod
    def read(cls, folder: Path, name: str) -> Mask:
        """Returns the mask `name`, whatever data it was made for; raises InputError if it is damaged."""
        about = read_json(folder / f"{name}.json")
        path = folder / f"{name}.npz"
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                return cls(arrays["ids"], arrays["mask"], about)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"The mask {path} is damaged ({error})", remedy="Delete it and run again.") from None

    @classmethod
    def load(cls, folder: Path, name: str, examples: Examples) -> Mask:
        """Returns the mask `name`; raises InputError if it is damaged or was made for other data."""
        found = cls.read(folder, name)
        if found.about["fingerprint"] != examples.fingerprint or len(found.mask) != len(examples):
            raise InputError(
                f"The mask {folder / f'{name}.npz'} was made for other data",
                received=f"fingerprint {examples.fingerprint[:12]}",
                expected=f"fingerprint {found.about['fingerprint'][:12]}",
                remedy="Select again on this data set.",
            )
        return found

    @property
    def positions(self) -> np.ndarray:
        """int64 [k]: the kept positions, in the examples' order."""
        return np.flatnonzero(self.mask)
