"""What makes a built data set whole: its fingerprint, its index, its manifest, and one builder at a time.

`tfcap_index.npz` says where each record lies, so that a reader opens any of them without the others.
`tfcap.json`, the manifest, says what was built from what, and with which files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfcap.errors import InputError
from tfcap.files import file_hash, read_json, write_json

MANIFEST = "tfcap.json"
INDEX = "tfcap_index.npz"
VERIFIED = "tfcap_verified.json"

_HEADER = struct.Struct("<QI")  # a record is: length, checksum of the length, payload, checksum of the payload
_FOOTER_BYTES = 4


class Fingerprint:
    """A SHA-256 over what a split holds, in order; how it is serialised and sharded does not enter."""

    def __init__(self, dataset: str, config: str, version: str, split: str) -> None:
        self.ids: list[int] = []
        self.captions = 0
        self._digest = hashlib.sha256()
        self._add([dataset, config, version, split])

    def _add(self, value: Any) -> None:
        self._digest.update(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def add(self, image_id: int, image: bytes, captions: Sequence[str]) -> None:
        """Adds one record: its id, its stored image and its captions."""
        self.ids.append(image_id)
        self.captions += len(captions)
        self._add([image_id, hashlib.sha256(image).hexdigest(), list(captions)])

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def scan_shard(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns the file offset and the length of each record's payload, both int64 [n], and syncs the file to disk.

    Raises:
      OSError: if the file ends inside a record, as a full disk can leave it.
    """
    offsets, lengths = [], []
    size = path.stat().st_size
    with open(path, "rb") as file:
        position = 0
        while position < size:
            file.seek(position)
            header = file.read(_HEADER.size)
            length = _HEADER.unpack(header)[0] if len(header) == _HEADER.size else size
            offsets.append(position + _HEADER.size)
            lengths.append(length)
            position += _HEADER.size + length + _FOOTER_BYTES
        if position != size:
            raise OSError(f"{path} ends inside a record; is the disk full?")
        os.fsync(file.fileno())
    return np.array(offsets, dtype=np.int64), np.array(lengths, dtype=np.int64)


def describe_split(
    shards: Sequence[Path], lengths: Sequence[int], fingerprint: Fingerprint
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Returns a split's index arrays and its part of the manifest.

    Args:
      shards: the TFRecord files, in order.
      lengths: how many records TFDS says each holds.
      fingerprint: of the records, in the order they were written.

    Raises:
      OSError: if the files hold other numbers of records than were written.
    """
    scans = [scan_shard(path) for path in shards]
    found = [len(offsets) for offsets, _ in scans]
    if found != list(lengths) or sum(found) != len(fingerprint.ids):
        problem = f"{shards[0].parent} holds {found} records a shard and {list(lengths)} were written"
        raise OSError(f"{problem}; is the disk full?")
    index: dict[str, np.ndarray] = {
        "ids": np.array(fingerprint.ids, dtype=np.int64),
        "shard": np.repeat(np.arange(len(shards), dtype=np.int32), found),
        "offset": np.concatenate([offsets for offsets, _ in scans]),
        "length": np.concatenate([payloads for _, payloads in scans]),
    }
    described: dict[str, Any] = {
        "records": sum(found),
        "captions": fingerprint.captions,
        "fingerprint": fingerprint.hexdigest(),
        "shards": [
            {"file": path.name, "bytes": path.stat().st_size, "sha256": file_hash(path), "records": records}
            for path, records in zip(shards, found, strict=True)
        ],
    }
    return index, described


def check(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a built data set after checking that all its files are there and as they were built.

    Contents are hashed once for each size and date of a file, and that is noted in the folder where it can be
    written: a cut at a record's boundary or a flipped bit raises nothing when TFRecords are read.

    Raises:
      InputError: naming the first file that is not.
    """
    remedy = f"Delete {folder} and build again."
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} is damaged: it has no {MANIFEST}", remedy=remedy)
    manifest = read_json(folder / MANIFEST)
    if not (folder / INDEX).is_file():
        raise InputError(f"{folder} is damaged: it has no {INDEX}", remedy=remedy)
    verified = read_json(folder / VERIFIED) if (folder / VERIFIED).is_file() else {}
    dates = {}
    for shard in (shard for split in manifest["splits"].values() for shard in split["shards"]):
        path = folder / shard["file"]
        if not path.is_file():
            raise InputError(f"{folder} is damaged: the shard {shard['file']} is missing", remedy=remedy)
        found = path.stat()
        if found.st_size != shard["bytes"]:
            problem = f"{folder} is damaged: the shard {shard['file']} has another size"
            raise InputError(problem, received=f"{found.st_size:,} bytes", expected=shard["bytes"], remedy=remedy)
        dates[shard["file"]] = found.st_mtime_ns
        if verified.get(shard["file"]) != found.st_mtime_ns and file_hash(path) != shard["sha256"]:
            raise InputError(f"{folder} is damaged: the shard {shard['file']} has other contents", remedy=remedy)
    if dates != verified:
        with contextlib.suppress(OSError):  # a read-only folder is hashed each time
            write_json(folder / VERIFIED, dates)
    return manifest


def check_origin(manifest: Mapping[str, Any], origin: Mapping[str, str], folder: Path) -> None:
    """Raises InputError if the data set in `folder` was built from another source than `origin` names.

    Args:
      origin: flag name to absolute path; an empty path was not given and agrees with any.
    """
    for flag, path in origin.items():
        built_from = manifest.get(flag, "")
        if path and path != built_from:
            raise InputError(
                f"{folder} was built from another --{flag}",
                received=path,
                expected=built_from or "none",
                remedy=f"Use another --data_dir, or delete {folder} to build it again.",
            )


def remove_incomplete(config_folder: Path) -> None:
    """Deletes what killed builds left beside the versions in `config_folder`; to be called under the lock."""
    for path in config_folder.glob("incomplete.*_*"):
        shutil.rmtree(path, ignore_errors=True)
