"""What lies behind the names of pretrained parts: a folder may be rewritten, and a name on a hub may move."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcap.errors import InputError
from tfcap.files import file_hash, hash_of
from tfcap.models.checkpoints import KAGGLE, folder_of, opened

FLAGS = ("checkpoint", "tokenizer", "encoder_weights")  # of an experiment
_ALL = (*FLAGS, "text_weights")
_NO_FILES = ("none", "imagenet")  # what else --encoder_weights may say
_READ = ("*.json", "*.txt", "*.model", "assets/**/*", "1_Pooling/config.json", "*.safetensors", "*.weights.h5")
_PIECE, _PIECES = 4096, 16  # bytes, and how many of them of a tensor

# A tensor in a file: what it is called and is, its first byte and the one after its last.
Place = tuple[str, int, int]


def contents_behind(named: Mapping[str, Any], find: Callable[[str, str], Path] = folder_of) -> dict[str, str]:
    """Returns a digest of what lies behind each flag that names files, by flag.

    A name on Kaggle has none: one that ends in a version stays what it is, and no other is held to it.

    Args:
      named: what the flags say, and any others.
      find: from what a flag says, and its name, to the folder.

    Raises:
      InputError: there is no such place, or weights in it are damaged.
    """
    found = {}
    for flag in _ALL:
        where = named.get(flag)
        if where and where not in _NO_FILES and not where.startswith(KAGGLE):
            path = Path(where).expanduser()
            is_file = path.is_file() or path.suffix == ".h5"
            found[flag] = weights_hash(path) if is_file else _folder_hash(find(where, flag))
    return found


def check_same(known: Mapping[str, str], now: Mapping[str, str], since: str, remedy: str) -> None:
    """Raises InputError where something else lies behind a name than did; what is not known is not compared.

    Args:
      since: which moment `known` is of, in words.
    """
    for flag, digest in now.items():
        if known.get(flag, digest) != digest:
            raise InputError(
                f"What --{flag} names has other content than {since}",
                received=digest[:12],
                expected=known[flag][:12],
                remedy=remedy,
            )


def weights_hash(path: Path) -> str:
    """Returns a digest of a file of weights: of each tensor the name, type and shape, and up to 64 KiB of its bytes.

    Training moves nearly every number, so a sample over all of each tensor notices new weights, in any run that goes
    on, without the second reading of 12 GB that a digest of every byte would be; a few numbers that were changed by
    hand in a large tensor may escape it.

    Raises:
      InputError: the file is damaged, or is neither safetensors nor HDF5.
    """
    digest = hashlib.sha256()
    places = _in_safetensors(path) if path.suffix == ".safetensors" else _in_hdf5(path)
    with open(path, "rb", buffering=0) as file:
        for name, begin, end in sorted(places):
            digest.update(name.encode())
            for start, length in _pieces(begin, end):
                file.seek(start)
                digest.update(file.read(length))
    return digest.hexdigest()


def _folder_hash(folder: Path) -> str:
    """Returns a digest of all that is read of a folder in the form of Hugging Face, or of a preset of KerasHub."""
    files = {path for kind in _READ for path in folder.glob(kind) if path.is_file() and not path.name.startswith(".")}
    weights = {path for path in files if path.suffix in (".safetensors", ".h5")}
    return hash_of(
        {
            path.relative_to(folder).as_posix(): weights_hash(path) if path in weights else file_hash(path)
            for path in files
        }
    )


def _pieces(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the first byte and the length of what is read: all, or pieces from the first to the last."""
    if end - begin <= _PIECE * _PIECES:
        yield begin, end - begin
        return
    for index in range(_PIECES):
        yield begin + index * (end - _PIECE - begin) // (_PIECES - 1), _PIECE


def _in_safetensors(path: Path) -> list[Place]:
    opened(path)  # whose header is whole, and describes as many bytes as there are
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    places: list[Place] = []
    for name, one in header.items():
        begin, end = (8 + length + offset for offset in one["data_offsets"])
        places.append((f"{name} {one['dtype']} {one['shape']}", begin, end))
    return places


def _in_hdf5(path: Path) -> list[Place]:
    import h5py  # Keras brings it

    places: list[Place] = []

    def note(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            described, first = f"{name} {found.dtype} {found.shape}", found.id.get_offset()
            if first is None:  # in chunks, or compressed: read whole
                places.append((described + hashlib.sha256(np.asarray(found[()]).tobytes()).hexdigest(), 0, 0))
            else:
                places.append((described, first, first + found.id.get_storage_size()))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(note)
    except OSError as error:
        raise InputError(f"{path} is damaged or is no HDF5 file ({error})", remedy="Download it again.") from None
    return places
