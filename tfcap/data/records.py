"""Reading a built data set: any record by position, without reading the others.

A TFRecord file has no index of its own; the builder writes one, so that a mask is applied before a
byte of an unwanted record is read, an epoch is a true permutation without a shuffle buffer, and a
resumed epoch starts in its middle at no cost.
"""

from __future__ import annotations

import functools
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow as tf  # isort: skip

from tfcap.errors import InputError
from tfcap.files import hash_of, read_json

_PARSE_BLOCK = 512  # records parsed at a time when only their captions are wanted


class Records:
    """One split of a built data set, in record order.

    Attributes:
      folder: the version folder.
      split: `train`, `validation` or `test`.
      ids: int64 [N], the image ids.
      fingerprint: hex digest of what the split holds; everything derived from it carries this.
    """

    def __init__(self, folder: Path, split: str, limit: int = 0) -> None:
        manifest = read_json(folder / "tfcap.json")
        if split not in manifest["splits"]:
            raise InputError(f"{folder} has no such split", received=split, expected=" or ".join(manifest["splits"]))
        described = manifest["splits"][split]
        self.folder, self.split = folder, split
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
                raise InputError(
                    "A TFRecord file is cut short",
                    received=self._shards[self._shard[position]],
                    remedy="Delete the data set's folder and build it again.",
                )
            found.append(payload)
        return found

    def picture(self, position: int) -> np.ndarray:
        """Returns the stored image, uint8 [H, W, 3]."""
        parsed = tf.io.parse_single_example(self.raw([position])[0], {"image": tf.io.FixedLenFeature([], tf.string)})
        return tf.io.decode_image(parsed["image"], channels=3, expand_animations=False).numpy()

    def _parsed(self, features: dict[str, object]) -> list[dict[str, tf.Tensor]]:
        blocks = [range(start, min(start + _PARSE_BLOCK, len(self))) for start in range(0, len(self), _PARSE_BLOCK)]
        return [tf.io.parse_example(tf.constant(self.raw(block), dtype=tf.string), features) for block in blocks]

    @functools.cached_property
    def captions(self) -> list[list[str]]:
        """The captions of each image, in record order."""
        spec = {"captions/text": tf.io.RaggedFeature(tf.string)}
        ragged = [block["captions/text"].to_list() for block in self._parsed(spec)]
        return [[text.decode() for text in texts] for block in ragged for texts in block]

    def truth(self, name: str) -> np.ndarray | None:
        """Returns the known truth `name` (such as "noisy") as int64 [N], or None where the data set records none."""
        spec = {f"truth/{name}": tf.io.FixedLenFeature([], tf.int64, default_value=-1)}
        values = np.concatenate([block[f"truth/{name}"].numpy() for block in self._parsed(spec)])
        return None if (values == -1).all() else values


def _index(path: Path, split: str) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as index:
            return {name: index[f"{split}/{name}"] for name in ("ids", "shard", "offset", "length")}
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"The index {path} is damaged ({error})", remedy="Delete the data set's folder and build it again."
        ) from None
