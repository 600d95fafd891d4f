"""What every data set of images with captions has in common: checking, writing, indexing, and doing it once.

A data set is a subclass that yields `features.Example`s. TFDS writes the TFRecords into a folder
`incomplete.*` and renames it when all is written; the index and the manifest are put there before,
so a reader finds a whole data set or none, whenever the build is killed.
"""

from __future__ import annotations

import abc
import collections
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow_datasets as tfds  # isort: skip
from tensorflow_datasets.core import shuffle as tfds_shuffle

from tfcap.errors import InputError
from tfcap.files import write_json
from tfcap.progress import progress_bar
from tfcap.settings import DataSettings
from tfrecords_builder import images, integrity
from tfrecords_builder.features import Example, clean_caption, tfds_features
from tfrecords_builder.licences import UNKNOWN, Licence
from tfrecords_builder.quarantine import Quarantine
from tfrecords_builder.sources import absolute, in_order

_BUCKET_BYTES = 128 << 20
_KeyedRecord = tuple[int, dict[str, Any]]


class _LocalInfo(tfds.core.DatasetInfo):
    """A DatasetInfo that knows only what is on this machine."""

    def initialize_from_bucket(self) -> None:
        """Does nothing, where TFDS would look for it in its cloud bucket."""


class CaptionsBuilder(tfds.core.GeneratorBasedBuilder, abc.ABC):
    """Base of the data sets. A subclass sets VERSION and RELEASE_NOTES, and defines `config_name` and `splits`.

    Attributes:
      data: the settings it was made from.
      progress: whether to show progress bars.
      totals: split to number of images, as far as `splits` knows; for the progress bar and for stopping early.
      counts: what was left out or changed, and how often; goes into the manifest.
      notes: further entries of the manifest.
    """

    SOURCE_LAYOUT: ClassVar[str] = ""  # what --source must hold, in words; "" for a data set that needs no source
    OPTIONS: ClassVar[tuple[str, ...]] = ()  # fields of DataSettings that shape it, beside the size of the images
    CITATION: ClassVar[str] = ""
    HOMEPAGE: ClassVar[str] = ""
    LICENCE: ClassVar[Licence] = UNKNOWN
    LANGUAGE: ClassVar[str] = "en"  # of the captions
    url_infos = None  # TFDS would look for a checksums.txt, with a package (importlib_resources) it does not require

    def __init_subclass__(cls, **keywords: Any) -> None:
        # Unregistered: `tfds.load` then reads the files and needs no code; TFDS has a `coco_captions` of its own.
        super().__init_subclass__(skip_registration=True, **keywords)

    def __init__(self, data: DataSettings, progress: bool = True) -> None:
        self.data = data
        self.totals: dict[str, int] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self.notes: dict[str, Any] = {}
        self.progress = progress
        self._started = time.monotonic()
        self._fingerprints: dict[str, integrity.Fingerprint] = {}
        self._filename_of: dict[int, str] = {}
        self._read = 0
        self._quarantine = Quarantine()
        config = tfds.core.BuilderConfig(name=self.full_config_name(data), description=self.config_description(data))
        super().__init__(data_dir=data.data_dir, config=config)

    # What a subclass defines.

    @classmethod
    @abc.abstractmethod
    def config_name(cls, data: DataSettings) -> str:
        """Returns a folder name that is another whenever the settings lead to other content."""

    @abc.abstractmethod
    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        """Returns the examples of each split, read lazily and in a fixed order; sets `totals` and `counts`."""

    @classmethod
    def extra_features(cls) -> Sequence[str]:
        """Returns the record keys of the examples' `extras`, such as `truth/noisy`."""
        return ()

    @classmethod
    def config_description(cls, data: DataSettings) -> str:
        """Returns a sentence on this configuration."""
        return ""

    @classmethod
    def check_source(cls, data: DataSettings) -> None:
        """Raises InputError if `--source` cannot be what the data set is built from; called before building."""
        if not cls.SOURCE_LAYOUT:
            return
        if not data.source:
            problem = f"{cls.name} is not built yet and needs its source"
            raise InputError(problem, expected=f"--source, {cls.SOURCE_LAYOUT}")
        if not Path(data.source).expanduser().is_dir():
            raise InputError("--source is not a folder", received=data.source, expected=cls.SOURCE_LAYOUT)

    @classmethod
    def origin(cls, data: DataSettings) -> dict[str, str]:
        """Returns flag name to absolute path of what the data set is read from; "" where it was not given."""
        return {"source": absolute(data.source) if cls.SOURCE_LAYOUT else ""}

    # Where it lies.

    @classmethod
    def full_config_name(cls, data: DataSettings) -> str:
        """Returns the configuration's name, with the size of resized images."""
        resized = f"-r{data.resize_shorter_side}" if data.resize_shorter_side else ""
        return cls.config_name(data) + resized

    @classmethod
    def folder(cls, data: DataSettings) -> Path:
        """Returns the version folder, whether it exists or not."""
        return Path(data.data_dir).expanduser() / cls.name / cls.full_config_name(data) / str(cls.VERSION)

    # What TFDS asks.

    def _info(self) -> tfds.core.DatasetInfo:
        return _LocalInfo(
            builder=self,
            description=type(self).__doc__ or "",
            features=tfds_features(self.extra_features()),
            citation=self.CITATION or None,
            license=self.LICENCE.words,
            homepage=self.HOMEPAGE or None,
            disable_shuffling=True,  # records stay in the order in which they are generated
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[_KeyedRecord]]:
        self.dl_manager = dl_manager
        examples = self.splits(self.data)
        self._announced = set(examples)
        return {split: self._generate_examples(split, examples[split]) for split in examples}

    def _generate_examples(self, split: str, examples: Iterable[Example]) -> Iterator[_KeyedRecord]:
        name, version = self.full_config_name(self.data), str(self.VERSION)
        fingerprint = self._fingerprints[split] = integrity.Fingerprint(self.name, name, version, split)
        bar = progress_bar(self.totals.get(split), f"building {split}", "image", over=examples, shown=self.progress)
        written = 0
        for example, image in in_order(self._prepare, bar):
            self._read += 1
            record = self._checked_record(example, image)
            if record is None:
                self._stop_if_hopeless()
                continue
            yield spill_key(len(fingerprint.ids), written), record
            fingerprint.add(example.image_id, record["image"], record["captions/text"])
            written += len(record["image"])
        self._check_split(split, len(fingerprint.ids))

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        self._quarantine.stop_if_too_bad(self._read, self._read)
        self._write_manifest(Path(self.data_dir))  # still the incomplete folder: TFDS renames it after this

    def _log_download_bytes(self) -> None:
        """Says nothing: only command-line modules print."""

    _log_download_done = _log_download_bytes

    # Checks.

    def _prepare(self, example: Example) -> tuple[Example, images.StoredImage | images.BadImage]:
        try:
            return example, images.prepare(example.image, self.data.resize_shorter_side)
        except images.BadImage as error:
            return example, error

    def _checked_record(self, example: Example, image: images.StoredImage | images.BadImage) -> dict[str, Any] | None:
        """Returns the record, or None after noting in the quarantine why there is none."""
        if isinstance(image, images.BadImage):
            self._reject(example, str(image))
            return None
        texts = [clean_caption(text) for text in example.captions]
        pairs = [(text, number) for text, number in zip(texts, example.caption_ids, strict=True) if text]
        empty = len(texts) - len(pairs)
        if not pairs:
            self._reject(example, "all captions are empty")
            return None
        if empty:
            self.counts["empty_captions"] += empty
            self._quarantine.note(example.filename, f"{empty} of {len(texts)} captions are empty")
        if example.image_id in self._filename_of:
            raise InputError(
                f"Image ids must be unique in a data set, and {example.image_id} occurs twice",
                received=f"{self._filename_of[example.image_id]} and {example.filename}",
            )
        self._filename_of[example.image_id] = example.filename
        self.counts["reencoded"] += image.reencoded
        return {
            "image": image.encoded,
            "image/id": example.image_id,
            "image/filename": example.filename,
            "image/height": image.height,
            "image/width": image.width,
            "captions/text": [text for text, _ in pairs],
            "captions/id": [number for _, number in pairs],
            **example.extras,
        }

    def _reject(self, example: Example, reason: str) -> None:
        self.counts["bad_images"] += 1
        self._quarantine.reject(example.filename, reason)

    def _stop_if_hopeless(self) -> None:
        """Raises InputError as soon as it is certain that too many images of all splits together are bad."""
        if self._announced <= set(self.totals):
            self._quarantine.stop_if_too_bad(max(self._read, sum(self.totals.values())), self._read)

    def _check_split(self, split: str, records: int) -> None:
        if records == 0:
            self._quarantine.stop_if_too_bad(self._read, self._read)
            raise InputError(f"The {split} split of {self.name} is empty", expected="at least one image with a caption")
        if records < self.data.shards:
            problem = f"The {split} split has fewer images than --shards"
            raise InputError(problem, received=self.data.shards, expected=f"at most {records}")

    # What is written beside the TFRecords.

    def _write_manifest(self, folder: Path) -> None:
        arrays: dict[str, np.ndarray] = {}
        splits: dict[str, Any] = {}
        for split, fingerprint in self._fingerprints.items():
            info = self.info.splits[split]
            shards = [folder / os.path.basename(path) for path in info.filepaths]
            index, splits[split] = integrity.describe_split(shards, info.shard_lengths, fingerprint)
            arrays.update({f"{split}/{name}": values for name, values in index.items()})
        np.savez(folder / integrity.INDEX, **arrays)  # type: ignore[arg-type]
        self._quarantine.write(folder)
        options = ("dataset", "resize_shorter_side", "shards", *self.OPTIONS)
        manifest = {
            "dataset": self.name,
            "config": self.full_config_name(self.data),
            "version": str(self.VERSION),
            "options": {name: getattr(self.data, name) for name in options},
            **self.origin(self.data),
            **self.notes,
            "splits": splits,
            "counts": {name: count for name, count in sorted(self.counts.items()) if count},
            "seconds": round(time.monotonic() - self._started, 3),
        }
        write_json(folder / integrity.MANIFEST, manifest)


def spill_key(position: int, bytes_before: int) -> int:
    """Returns an increasing key that has TFDS sort a split in pieces of _BUCKET_BYTES instead of in one.

    TFDS keeps records with `disable_shuffling` in order by sorting them by key, in memory, a bucket at
    a time; the bucket is the first part of a 128-bit key, so small keys would all fall in one bucket.
    """
    buckets = tfds_shuffle.BUCKETS_NUMBER
    bucket = min(bytes_before // _BUCKET_BYTES, buckets - 1)
    return bucket * (2**tfds_shuffle.HKEY_SIZE // buckets) + 2**100 + position
