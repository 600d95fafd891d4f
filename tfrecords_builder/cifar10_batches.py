"""The original files of CIFAR-10: six batches of 10,000 records, alone or in the archive that they are published in.

A record is one byte of label, then 1,024 bytes of red, of green and of blue, row by row.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tfcap.errors import InputError
from tfcap.files import file_hash
from tfrecords_builder.archives import Archive

# The address and digest are those of TensorFlow Datasets.
ARCHIVE = Archive(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)
ARCHIVE_NAME, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
BATCHES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
RECORDS = 10_000  # of a batch
_CLASSES, _SIDE = 10, 32
_BYTES = 1 + 3 * _SIDE * _SIDE


def in_archive(path: Path) -> Callable[[str], bytes]:
    """Returns what reads a batch by its name out of the published archive, which is not unpacked.

    Raises:
      InputError: it is another file, or a part of it.
    """
    found = file_hash(path)
    if found != ARCHIVE.sha256:
        raise InputError(
            f"{path} is not the published archive, or not all of it: its SHA-256 is another",
            received=found,
            expected=ARCHIVE.sha256,
            remedy=f"Download {ARCHIVE.url} again.",
        )

    def read(name: str) -> bytes:
        try:
            with tarfile.open(path, "r:gz") as archive:
                member = archive.extractfile(f"{FOLDER}/{name}")
                return member.read() if member else b""
        except (KeyError, OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise InputError(f"{path} is damaged ({error})", expected=f"{FOLDER}/{name}") from None

    return read


def in_folder(folder: Path) -> Callable[[str], bytes]:
    """Returns what reads a batch by its name out of a folder."""

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"A batch of CIFAR-10 cannot be read ({error.strerror})", received=folder / name, expected=name
            ) from None

    return read


def records_of(read: Callable[[str], bytes], split: str) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Returns the labels uint8 [N] and the pixels uint8 [N, 32, 32, 3] of a split's batches, in their order.

    The third are the batches' SHA-256 (hex) by name.

    Raises:
      InputError: a batch is of another size, or its labels are not of ten classes; over the split, of each as many.
    """
    data = {name: read(name) for name in BATCHES[split]}
    records = np.concatenate([_checked(whole, name) for name, whole in data.items()])
    labels, pixels = records[:, 0], records[:, 1:].reshape(-1, 3, _SIDE, _SIDE)
    counts = np.bincount(labels, minlength=_CLASSES)
    if len(counts) > _CLASSES or len(set(counts.tolist())) > 1:
        raise InputError(
            f"The batches of {split} are not those of CIFAR-10, which has as many pictures of each of ten classes",
            received=", ".join(map(str, counts.tolist()[:12])),
            expected=f"{len(records) // _CLASSES} of each",
        )
    digests = {name: hashlib.sha256(whole).hexdigest() for name, whole in data.items()}
    return labels, np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)), digests


def _checked(data: bytes, name: str) -> np.ndarray:
    """Returns the records of a batch, uint8 [10,000, 3,073]."""
    if len(data) != RECORDS * _BYTES:
        raise InputError(
            f"{name} is cut short, or no batch of CIFAR-10",
            received=f"{len(data):,} bytes",
            expected=f"{RECORDS * _BYTES:,}",
        )
    return np.frombuffer(data, np.uint8).reshape(RECORDS, _BYTES)


def as_png(pixels: np.ndarray) -> bytes:
    """Returns uint8 [32, 32, 3] as the bytes of a PNG, which loses nothing."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
