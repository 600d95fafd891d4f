"""A split whose examples are its image-caption pairs: `--level=pair` scores and keeps captions one by one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from tfcap.errors import InputError
from tfcap.files import hash_of

if TYPE_CHECKING:
    from tfcap.data.records import Records


class Pairs:
    """The pairs of a split: image after image in record order, each image's captions in their order.

    Attributes:
      records: of the images.
      split: of the records.
      ids: int64 [P], the caption ids.
      fingerprint: of the pairs; never that of the records.
    """

    def __init__(self, records: Records) -> None:
        self.records, self.split = records, records.split
        self.ids = np.array([number for numbers in records.caption_ids for number in numbers], np.int64)
        self.fingerprint = hash_of(records.fingerprint, "pairs")
        found, counts = np.unique(self.ids, return_counts=True)
        if len(found) < len(self.ids):
            raise InputError(
                "Pairs are told apart by their captions' ids",
                received=f"the id {found[counts > 1][0]} on {counts.max()} captions",
                expected="an id of its own for each caption",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def images(self) -> np.ndarray:
        """int64 [P]: the position of each pair's image among the records."""
        return np.repeat(np.arange(len(self.records)), [len(numbers) for numbers in self.records.caption_ids])

    @property
    def texts(self) -> list[str]:
        """The caption of each pair."""
        return [text for texts in self.records.captions for text in texts]
