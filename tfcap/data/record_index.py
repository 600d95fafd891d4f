"""What a built data set says of a split without a record being read: ids, fingerprint and where each record lies.

NumPy alone, so that masks can be made without TensorFlow.
"""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from tfcap.errors import InputError
from tfcap.files import hash_of, read_json

_HEADER_BYTES, _FOOTER_BYTES = 12, 4  # around each payload: its length (8 bytes) and a checksum; another checksum


class Stretch(NamedTuple):
    """Whole records that lie one after another in a file, from byte `offset` to byte `end`."""

    path: str
    offset: int
    end: int


def payloads(place: Stretch) -> Iterator[bytes]:
    """Yields the serialised records of a stretch; raises InputError if the file is not there or does not hold them."""
    if not os.path.isfile(place.path):
        expected = "a folder that all workers share"
        raise InputError("A TFRecord file is not there", received=place.path, expected=expected)
    with open(place.path, "rb") as file:
        position = file.seek(place.offset)
        while position < place.end:
            length = int.from_bytes(file.read(_HEADER_BYTES)[:8], "little")
            position += _HEADER_BYTES + length + _FOOTER_BYTES
            payload = file.read(length) if position <= place.end else b""
            if len(payload) != length or len(file.read(_FOOTER_BYTES)) != _FOOTER_BYTES:
                raise cut_short(place.path)
            yield payload


def cut_short(path: Path | str) -> InputError:
    """Returns the error of a shard that ends before its records do."""
    return InputError(
        "A TFRecord file is cut short", received=path, remedy="Delete the data set's folder and build it again."
    )


class Examples(Protocol):
    """What is scored and selected: the images of a split, or its image-caption pairs.

    Attributes:
      split: `train`, `validation` or `test`.
      ids: int64 [N].
      images: int64 [N], the position of each one's image among the records.
      fingerprint: hex digest; everything derived from the examples carries it.
    """

    split: str
    ids: np.ndarray
    fingerprint: str

    @property
    def images(self) -> np.ndarray: ...

    def __len__(self) -> int: ...


class RecordIndex:
    """One split of a built data set, in record order.

    Attributes:
      folder: the version folder.
      split: `train`, `validation` or `test`.
      ids: int64 [N], the image ids.
      fingerprint: hex digest of what the split holds; everything derived from it carries this.
      data_set: the configuration and version that were built.
    """

    def __init__(self, folder: Path, split: str, limit: int = 0) -> None:
        manifest = read_json(folder / "tfcap.json")
        if split not in manifest["splits"]:
            raise InputError(f"{folder} has no such split", received=split, expected=" or ".join(manifest["splits"]))
        described = manifest["splits"][split]
        self.folder, self.split = folder, split
        self.data_set = {name: manifest[name] for name in ("config", "version")}
        self._shards = [folder / shard["file"] for shard in described["shards"]]
        parts = _index(folder / "tfcap_index.npz", split)
        keep = slice(0, limit or None)
        self.ids = parts["ids"][keep]
        self._shard, self._offset, self._length = (parts[name][keep] for name in ("shard", "offset", "length"))
        self.fingerprint = (
            hash_of(described["fingerprint"], limit) if 0 < limit < described["records"] else described["fingerprint"]
        )
        if len(self.ids) == 0:
            raise InputError(f"The {split} split of {folder} is empty", expected="at least one image with a caption")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def images(self) -> np.ndarray:
        """int64 [N]: the positions themselves, since each example is an image."""
        return np.arange(len(self.ids))

    @functools.cached_property
    def _files(self) -> list[int]:
        return [os.open(path, os.O_RDONLY) for path in self._shards]

    def raw(self, positions: Sequence[int] | np.ndarray) -> list[bytes]:
        """Returns the serialised tf.train.Example at each position; raises InputError if a shard is cut short."""
        found = []
        for position in positions:
            length = int(self._length[position])
            payload = os.pread(self._files[self._shard[position]], length, int(self._offset[position]))
            if len(payload) != length:
                raise cut_short(self._shards[self._shard[position]])
            found.append(payload)
        return found

    def first_of_shards(self) -> np.ndarray:
        """Returns the position of the first record of each shard, int64."""
        return np.flatnonzero(np.diff(self._shard, prepend=-1))

    def stretch(self, start: int, stop: int) -> Stretch:
        """Returns where the records from `start` to before `stop` lie; they must be of one shard."""
        offset, last = int(self._offset[start]) - _HEADER_BYTES, stop - 1
        end = int(self._offset[last] + self._length[last]) + _FOOTER_BYTES
        return Stretch(str(self._shards[self._shard[start]].resolve()), offset, end)


def _index(path: Path, split: str) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as index:
            return {name: index[f"{split}/{name}"] for name in ("ids", "shard", "offset", "length")}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The index {path} is damaged ({error})", remedy="Delete the data set's folder and build it again."
        ) from None
