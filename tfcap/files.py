"""Writing files and folders so that a reader sees the old one or the new one, never a half of either.

The only place of the product that renames.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfcap.errors import InputError


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it is synced and renamed to `path`, on failure removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".partial{path.suffix}", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _fsync(temporary)
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; on success its files are synced and it becomes `path`.

    An existing `path` is replaced: it is renamed away first and deleted last, so a kill between the
    two renames leaves no folder rather than a mixture.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        for folder, _, names in os.walk(temporary):
            for name in names:
                _fsync(Path(folder) / name)
            _fsync(Path(folder))
        replaced = None
        if path.exists():
            replaced = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".replaced.partial", dir=path.parent))
            path.rename(replaced / path.name)
        temporary.rename(path)
        _fsync(path.parent)
        if replaced is not None:
            shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def scratch_folder(folder: str | os.PathLike[str], name: str) -> Iterator[Path]:
    """Yields a new folder in `folder` that is deleted at the end, and by `remove_partials` after a kill."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".partial", dir=folder))
    try:
        temporary.chmod(0o755)  # workers may be another user
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def refusal_explained(received: str) -> Iterator[None]:
    """Turns what the file system refuses, at a place that the user named, into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"The place to write to is refused ({error.strerror})", received=received, expected="one to write to"
        ) from None


@contextlib.contextmanager
def locked(lock: str | os.PathLike[str], wait: bool = True) -> Iterator[None]:
    """Holds an exclusive lock on the file `lock`; the system frees it even when the process is killed.

    Raises:
      BlockingIOError: another process holds it, and this one does not wait.
    """
    Path(lock).parent.mkdir(parents=True, exist_ok=True)
    with open(lock, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


@contextlib.contextmanager
def alone_in(out: str | os.PathLike[str], kind: str) -> Iterator[None]:
    """Keeps other processes from a folder that --out names.

    Raises:
      InputError: another one is at work in this `kind` of folder, or nothing can be written there.
    """
    with refusal_explained(f"--out={out}"):
        try:
            with locked(Path(out) / ".lock", wait=False):
                yield
        except BlockingIOError:
            raise InputError(f"Another process is at work on this {kind}", received=f"--out={out}") from None


def remove_partials(folder: str | os.PathLike[str]) -> None:
    """Deletes what killed `atomic_file` and `atomic_folder` calls left directly in `folder`."""
    folder = Path(folder)
    if not folder.is_dir():
        return
    for path in folder.glob(".*.partial*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def rename(path: Path, name: str) -> None:
    """Gives what is at the path another name in its folder; does nothing where there is nothing."""
    if path.exists():
        path.replace(path.with_name(name))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes `text` to `path` as UTF-8, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes `value` to `path` as indented JSON, atomically. NaN is refused: it is not JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns the JSON value in `path`; raises InputError if the file is absent or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("A file is missing", received=path, expected="a JSON file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error})", remedy="Delete it and run again.") from None


def hash_of(*values: Any) -> str:
    """Returns the SHA-256 (hex) of JSON-serialisable values; equal values give equal hashes on every machine."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: str | os.PathLike[str]) -> str:
    """Returns the SHA-256 (hex) of a file's bytes, reading 1 MiB at a time."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
