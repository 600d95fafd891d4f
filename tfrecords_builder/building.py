"""Building a data set once: found if it is there and whole, built by one process at a time if not."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import tfcap.quiet  # noqa: F401

import tensorflow_datasets as tfds  # isort: skip
from absl import logging
from tqdm import tqdm

from tfcap.errors import InputError
from tfcap.files import locked, read_json
from tfcap.registry import DATASETS
from tfcap.settings import DataSettings
from tfrecords_builder import cards, integrity
from tfrecords_builder.archives import remove_partial_downloads
from tfrecords_builder.captions_builder import CaptionsBuilder

_FULL_DISK = ("No space left on device", "Disk quota exceeded", "is the disk full?")


def locate(data: DataSettings) -> Path | None:
    """See `tfrecords_builder.locate`."""
    builder: type[CaptionsBuilder] = DATASETS[data.dataset]
    folder = builder.folder(data)
    if not folder.exists():
        return None
    integrity.check_origin(integrity.check(folder), builder.origin(data), folder)
    return folder


def build(data: DataSettings, progress: bool = True) -> Path:
    """See `tfrecords_builder.build`."""
    found = locate(data)
    if found is not None:
        return _described(found, data)
    builder: type[CaptionsBuilder] = DATASETS[data.dataset]
    builder.check_source(data)
    folder = builder.folder(data)
    with locked(_lock(data)):
        if locate(data) is None:  # another process may have built it while this one waited
            _build(builder, data, progress)
    integrity.check(folder)
    return _described(folder, data)


def _build(builder: type[CaptionsBuilder], data: DataSettings, progress: bool) -> None:
    """Builds the data set; to be called under the lock."""
    folder, data_dir = builder.folder(data), Path(data.data_dir).expanduser()
    integrity.remove_incomplete(folder.parent)
    config = tfds.download.DownloadConfig(num_shards=data.shards or None, try_download_gcs=False)
    downloads = data_dir / "downloads"
    remove_partial_downloads(downloads / builder.name)
    try:
        with _tfds_quiet(), _full_disk_explained(data_dir):
            builder(data, progress).download_and_prepare(download_config=config)
    finally:
        remove_partial_downloads(downloads / builder.name)
        # TFDS makes the first two even where nothing is downloaded; the others are empty after a failure.
        for unused in (downloads / "extracted", downloads, folder.parent, folder.parent.parent):
            with contextlib.suppress(OSError):
                unused.rmdir()


def _described(folder: Path, data: DataSettings) -> Path:
    """Returns the folder of a built data set, with its cards where they were missing and can be written."""
    try:
        if cards.missing(folder):
            with locked(_lock(data), wait=False):
                cards.write_missing(folder, read_json(folder / integrity.MANIFEST), DATASETS[data.dataset])
    except OSError:
        pass  # a folder for reading only stays as it is, and so does one that another process is at work on
    except Exception as error:  # noqa: BLE001 - the data are whole, whatever hinders a card
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        tqdm.write(f"warning: the cards of {folder} were not written ({words})", file=sys.stderr)
    return folder


def _lock(data: DataSettings) -> Path:
    return Path(data.data_dir).expanduser() / f".{DATASETS[data.dataset].name}.lock"


@contextlib.contextmanager
def _tfds_quiet() -> Iterator[None]:
    """Silences TFDS's bars and its log below errors."""
    level = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)


@contextlib.contextmanager
def _full_disk_explained(data_dir: Path) -> Iterator[None]:
    """Turns any of the errors that Python and TensorFlow raise on a full disk into an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if any(words in str(error) for words in _FULL_DISK):
            raise InputError(
                "The disk is full", received=f"--data_dir={data_dir}", remedy="Make room; nothing was left behind."
            ) from error
        raise
