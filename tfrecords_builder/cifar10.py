"""CIFAR-10: 60,000 pictures of 32 x 32 pixels, each of one of ten classes.

Krizhevsky, "Learning multiple layers of features from tiny images", technical report, University of Toronto (2009).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow_datasets as tfds  # isort: skip

from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder import cifar10_batches as batches
from tfrecords_builder.archives import Folder, Zips, download
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example
from tfrecords_builder.licences import Licence

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_FOLDERS = ("train", "test")
_FEWEST = {"train": 1, "test": 2}  # pictures of a class: of test one is for validation
_HELD_OUT = 10  # one of so many pictures of each class in test is for validation
_PICKLES = ("cifar-10-python.tar.gz", "cifar-10-batches-py", "data_batch_1")


class _Picture(NamedTuple):
    """A picture by its place in the source: the number of its class, and its own among those of the class."""

    label: int
    place: int
    name: str


class _Source(Protocol):
    """Pictures by their paths, FOLDER/CLASS/NAME."""

    def folders(self, folder: str) -> list[str]: ...

    def names(self, folder: str) -> list[str]: ...

    def read(self, name: str) -> bytes | None: ...


class _Batches:
    """The pictures of the original batches, by the paths that folders of classes would have."""

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._pixels: dict[str, dict[str, np.ndarray]] = {}
        self.digests: dict[str, str] = {}  # SHA-256 of each batch
        for split in _FOLDERS:
            labels, pixels, digests = batches.records_of(read, split)
            self.digests |= digests
            for label, name in enumerate(CLASSES):
                own = pixels[labels == label]
                self._pixels[f"{split}/{name}"] = {f"{place:04d}.png": one for place, one in enumerate(own)}

    def folders(self, folder: str) -> list[str]:
        return list(CLASSES)

    def names(self, folder: str) -> list[str]:
        return list(self._pixels[folder])

    def read(self, name: str) -> bytes:
        folder, _, file = name.rpartition("/")
        return batches.as_png(self._pixels[folder][file])


class Cifar10(CaptionsBuilder):
    """Pictures of 32 x 32 pixels; the one caption of each is the name of its class, and truth/label its number.

    Classes are numbered in the order of the alphabet, from airplane, 0, to truck, 9, as the original does.

    Train is the official one, 50,000 pictures. Of the official 10,000 for test, 1,000 are validation, 100 of each
    class, by which a checkpoint is picked, and 9,000 are test: train stays whole, and nothing is chosen by what is
    reported. A hash of each picture's class and place decides, the same for every source.

    The configuration says what it was built from: `original` has the published pixels, `class-folders` the files of a
    copy as they are. Where those are JPEG, figures on them are not figures on the original.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    HOMEPAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
    CITATION = (
        "@techreport{krizhevsky2009learning, title={Learning multiple layers of features from tiny images},"
        " author={Krizhevsky, Alex}, institution={University of Toronto}, year={2009}}"
    )
    LICENCE = Licence(
        "As known when this was written, and not seen on its page: none is stated there, and the report should be"
        " cited.",
        url=HOMEPAGE,
    )
    SOURCE_LAYOUT = (
        f"{batches.ARCHIVE_NAME}; a folder with it, or with {batches.BATCHES['train'][0]} and the other batches; or a"
        " zip file or a folder with train/CLASS/NAME.jpg and test/CLASS/NAME.jpg (or .png)"
    )

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        """Returns `original`, or `class-folders` for a zip file or a folder that has no batches but train/ or test/.

        Where there is no source, or no more, it is the one that is built under --data_dir, if one is.
        """
        path = Path(data.source).expanduser()
        if not data.source or not path.exists():
            found = Path(data.data_dir).expanduser() / cls.name
            built = {name for name in ("original", "class-folders") if any(found.glob(f"{name}*/[0-9]*"))}
            if len(built) == 1:
                return built.pop()
        if not data.source or _has_batches(path):
            return "original"
        anew = path.suffix.lower() == ".zip" or any((path / name).is_dir() for name in _FOLDERS)
        return "class-folders" if anew else "original"

    @classmethod
    def extra_features(cls) -> Sequence[str]:
        return ("truth/label",)

    @classmethod
    def check_source(cls, data: DataSettings) -> None:
        path = Path(data.source).expanduser()
        if not data.source:
            return  # it is downloaded
        if not path.exists():
            raise InputError("--source is not there", received=data.source, expected=cls.SOURCE_LAYOUT)
        if cls.config_name(data) == "class-folders" or _has_batches(path):
            return
        if path.name in _PICKLES or any((path / name).exists() for name in _PICKLES):
            problem = "--source holds CIFAR-10 in pickles, which are not read because loading one runs code"
            raise InputError(problem, received=data.source, expected=cls.SOURCE_LAYOUT)
        if path.is_dir():
            raise InputError("--source has no batches of CIFAR-10", received=data.source, expected=cls.SOURCE_LAYOUT)

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        source = self._source(data)
        original = self.config_name(data) == "original"
        self.notes["classes"] = list(CLASSES)
        self.notes["pictures"] = "the published pixels, as PNG" if original else "a copy's files, as they are"
        found = {folder: self._pictures(source, folder) for folder in _FOLDERS}
        held_out = _held_out(found["test"])
        ids = {picture.name: number for number, picture in enumerate([*found["train"], *found["test"]])}
        members = {
            "train": found["train"],
            "validation": [picture for picture in found["test"] if picture in held_out],
            "test": [picture for picture in found["test"] if picture not in held_out],
        }
        self.totals = {split: len(pictures) for split, pictures in members.items()}
        return {split: _read(source, pictures, ids) for split, pictures in members.items()}

    def _source(self, data: DataSettings) -> _Source:
        if self.config_name(data) == "original":
            original = _Batches(self._batches(data))
            self.notes["batches_sha256"] = original.digests
            return original
        path = Path(data.source).expanduser()
        return Zips([path], downloaded=False) if path.is_file() else Folder(path)

    def _batches(self, data: DataSettings) -> Callable[[str], bytes]:
        """Returns what reads a batch by its name; downloads the archive where no source is named."""
        if not data.source:
            (path,), self.notes["archives"] = download(self.dl_manager, [batches.ARCHIVE], self.progress)
            self.notes["source"] = batches.ARCHIVE.url
            return batches.in_archive(path)
        path = Path(data.source).expanduser()
        if path.is_file():
            return batches.in_archive(path)
        archive, folder = path / batches.ARCHIVE_NAME, path / batches.FOLDER
        return (
            batches.in_archive(archive) if archive.is_file() else batches.in_folder(folder if folder.is_dir() else path)
        )

    def _pictures(self, source: _Source, folder: str) -> list[_Picture]:
        """Returns the pictures of a folder, the first of each class, then the second of each: a part has all classes.

        Raises:
          InputError: a folder is of no class, or a class has too few pictures.
        """
        _check_classes(source, folder)
        pictures = []
        for label, name in enumerate(CLASSES):
            within = f"{folder}/{name}"
            names = source.names(within)
            files = [file for file in names if PurePosixPath(file).suffix.lower() in _SUFFIXES]
            if len(files) < _FEWEST[folder]:
                raise InputError(
                    f"--source has too few pictures of a class, and {_FEWEST[folder]} are needed in {folder}",
                    received=f"{len(files)} in {within} of {self.data.source}",
                    expected=self.SOURCE_LAYOUT,
                )
            for other in sorted(set(names) - set(files)):
                self.counts["files_that_are_no_pictures"] += 1
                self._quarantine.note(f"{within}/{other}", "no picture by its name")
            pictures += [_Picture(label, place, f"{within}/{file}") for place, file in enumerate(files)]
        return sorted(pictures, key=lambda picture: (picture.place, picture.label))


def _has_batches(folder: Path) -> bool:
    """Returns whether the folder holds the archive, or a batch of train, itself or in the archive's own folder."""
    first = batches.BATCHES["train"][0]
    places = (folder / batches.ARCHIVE_NAME, folder / first, folder / batches.FOLDER / first)
    return any(path.is_file() for path in places)


def _check_classes(source: _Source, folder: str) -> None:
    """Raises InputError if one of the folders is of no class."""
    unknown = sorted(set(source.folders(folder)) - set(CLASSES))
    if unknown:
        problem = f"--source has folders in {folder} of no class of CIFAR-10"
        raise InputError(problem, received=", ".join(unknown[:3]), expected=", ".join(CLASSES))


def _held_out(pictures: Sequence[_Picture]) -> set[_Picture]:
    """Returns a tenth of each class, at least one picture, in the order of a hash."""
    kept: set[_Picture] = set()
    for label, name in enumerate(CLASSES):
        own = [picture for picture in pictures if picture.label == label]
        own.sort(key=lambda picture: hashlib.sha256(f"{name} {picture.place}".encode()).digest())
        kept.update(own[: max(1, len(own) // _HELD_OUT)])
    return kept


def _read(source: _Source, pictures: Sequence[_Picture], ids: Mapping[str, int]) -> Iterator[Example]:
    for picture in pictures:
        number = ids[picture.name]
        yield Example(
            number,
            picture.name,
            source.read(picture.name),
            [CLASSES[picture.label]],
            [number],
            {"truth/label": picture.label},
        )
