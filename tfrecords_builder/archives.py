"""Downloading archives and reading files out of them, without unpacking them on the disk."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import tfcap.quiet  # noqa: F401

import tensorflow_datasets as tfds  # isort: skip

from tfcap.errors import InputError
from tfcap.files import file_hash, read_json
from tfrecords_builder.sources import read_file

_TIMEOUT = 20  # seconds until a server that does not answer counts as out of reach


@dataclasses.dataclass(frozen=True)
class Archive:
    """An archive on the web. `sha256` is None where its publisher names none: what arrived is then recorded."""

    url: str
    sha256: str | None = None


class Folder:
    """A folder of the user's, read like an archive: by paths relative to it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes | None:
        """Returns a file's bytes, or None where it cannot be read."""
        return read_file(self._path / name)

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files directly in `folder`, sorted; [] where there is no such folder."""
        path = self._path / folder
        return sorted(entry.name for entry in os.scandir(path) if entry.is_file()) if path.is_dir() else []

    def folders(self, folder: str) -> list[str]:
        """Returns the names of the folders directly in `folder`, sorted; [] where there is no such folder."""
        path = self._path / folder
        return sorted(entry.name for entry in os.scandir(path) if entry.is_dir()) if path.is_dir() else []


class Zips:
    """Several zip files, read as if they were unpacked into one folder; usable from several threads.

    One that is no zip archive is an error, and if it was `downloaded` it is deleted.
    """

    def __init__(self, paths: Sequence[Path], downloaded: bool = True) -> None:
        self._lock = threading.Lock()
        self._zips: dict[str, zipfile.ZipFile] = {}
        for path in paths:
            try:
                opened = zipfile.ZipFile(path)
            except zipfile.BadZipFile as error:
                if not downloaded:
                    problem = f"--source is no zip file, or a damaged one ({error})"
                    raise InputError(problem, received=path, expected="a whole zip file") from None
                _forget(path)
                problem = "A downloaded file is not a zip archive"
                raise InputError(problem, received=path, remedy="It was deleted; run again.") from None
            self._zips.update(dict.fromkeys(opened.namelist(), opened))

    def read(self, name: str) -> bytes | None:
        """Returns a file's bytes, or None where there is no such file or its checksum in the archive is wrong."""
        if name not in self._zips:
            return None
        try:
            with self._lock:
                return self._zips[name].read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError):
            return None

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files directly in `folder`, sorted."""
        return sorted(name for name in self._within(folder) if name and "/" not in name)

    def folders(self, folder: str) -> list[str]:
        """Returns the names of the folders directly in `folder`, sorted."""
        return sorted({name.partition("/")[0] for name in self._within(folder) if "/" in name})

    def _within(self, folder: str) -> Iterator[str]:
        """Yields the paths of all that lies in `folder`, relative to it."""
        prefix = f"{folder}/"
        return (name.removeprefix(prefix) for name in self._zips if name.startswith(prefix))


def download(
    manager: tfds.download.DownloadManager, archives: Sequence[Archive], progress: bool
) -> tuple[list[Path], list[dict[str, object]]]:
    """Returns the archives' paths, and what arrived in words for the manifest; finished downloads are reused.

    Raises:
      InputError: in one line, if an archive cannot be had or has another checksum than expected.
    """
    for archive in archives:  # asked first, because TFDS retries a dead server for minutes
        if not _is_downloaded(Path(manager.download_dir), archive.url):
            _check_reachable(archive.url)
    tfds.display_progress_bar(progress)
    try:
        paths = [Path(path) for path in manager.download([archive.url for archive in archives])]
    except Exception as error:  # noqa: BLE001 - requests, urllib3 and TFDS each have their own errors
        first_line = str(error).strip().splitlines()[0]
        raise InputError("The download failed", received=first_line, remedy="Run again, or give --source.") from error
    finally:
        tfds.disable_progress_bar()
    arrived = []
    for archive, path in zip(archives, paths, strict=True):
        found = file_hash(path)
        if archive.sha256 is not None and found != archive.sha256:
            _forget(path)
            raise InputError(
                f"{archive.url} has another SHA-256 than expected; the download was deleted",
                received=found,
                expected=archive.sha256,
            )
        arrived.append({"url": archive.url, "bytes": path.stat().st_size, "sha256": found, "expected": archive.sha256})
    return paths, arrived


def _is_downloaded(folder: Path, url: str) -> bool:
    """Says whether TFDS has the whole of `url`; beside each file it keeps a NAME.INFO with the urls it came from."""
    infos = (path for path in folder.rglob("*.INFO") if path.with_suffix("").is_file())
    return any(url in read_json(path).get("urls", []) for path in infos)


def remove_partial_downloads(folder: Path) -> None:
    """Deletes what killed or failed downloads left anywhere in `folder`."""
    for path in list(folder.rglob("*.tmp.*")):
        shutil.rmtree(path, ignore_errors=True)


def _check_reachable(url: str) -> None:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_TIMEOUT):
            pass
    except urllib.error.HTTPError as error:
        if error.code not in (405, 501):  # a server that knows no HEAD may still know GET
            problem = f"{url} cannot be downloaded"
            raise InputError(problem, received=f"HTTP {error.code}", remedy="Give --source.") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise InputError(f"{url} cannot be reached ({reason})", remedy="Connect, or give --source.") from None


def _forget(path: Path) -> None:
    """Deletes a download and TFDS's note about it."""
    path.unlink(missing_ok=True)
    path.with_name(path.name + ".INFO").unlink(missing_ok=True)
