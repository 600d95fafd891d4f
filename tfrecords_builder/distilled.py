"""A distilled set: synthetic pictures with real captions to train on, and the original's own pictures to test on.

Dataset distillation: Wang et al. 2018, arXiv:1811.10959; of image-text pairs, Wu et al. 2024, "Vision-Language Dataset
Distillation", TMLR. `tfcap.distill` makes the folder, and `tfcap.distilled_set` says what it holds.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow as tf  # isort: skip
import tensorflow_datasets as tfds

import tfrecords_builder
from tfcap.distilled_set import DistilledSet, read_distilled
from tfcap.errors import InputError
from tfcap.files import hash_of, read_json
from tfcap.settings import DataSettings
from tfrecords_builder import images, integrity
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example, parse_spec
from tfrecords_builder.licences import Licence
from tfrecords_builder.sources import absolute, read_file

_HELD_OUT = ("validation", "test")


class Distilled(CaptionsBuilder):
    """Synthetic pictures made by dataset distillation, each with the real caption nearest to its synthetic text.

    They are the train split. Validation and test are copies of those of the data set that was distilled, with its
    image and caption ids, so that figures are comparable with those of the whole data set and of its parts.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    LICENCE = Licence(
        "That of the data set it was distilled from, whose captions and pictures it holds in part; the synthetic"
        " pictures are derived from it too.",
        identifier="other",
        name="as-of-the-original-data-set",
    )
    SOURCE_LAYOUT = "a folder that tfcap.distill has made, with distilled.json and images/00000.png, 00001.png, ..."

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        """Returns the original's name and the method, with a digest of all that the folder holds."""
        found = _with_pictures(data)
        name = f"{found.data['dataset']}-{found.method}-m{found.pairs}-s{found.seed}"
        return f"{re.sub(r'[^a-zA-Z0-9_.-]+', '_', name)}-{_digest(found)[:8]}"

    @classmethod
    def origin(cls, data: DataSettings) -> dict[str, str]:
        return {}  # the configuration's name says more than the folder's

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        found = _with_pictures(data)
        original = _original(found, data, self.progress)
        manifest, limit = read_json(original / integrity.MANIFEST), _limit(found)
        self.notes["source"] = absolute(data.source)
        self.notes["original"] = {name: manifest[name] for name in ("dataset", "config", "version")}
        held_out = {split: manifest["splits"][split]["records"] for split in _HELD_OUT}
        self.totals = {split: min(count, limit or count) for split, count in held_out.items()} | {"train": found.pairs}
        copied = {split: _copied(original, manifest, split, limit) for split in _HELD_OUT}
        return {"train": _synthetic(found, original, manifest), **copied}


def _with_pictures(data: DataSettings) -> DistilledSet:
    """Returns the distilled set that --source names; raises InputError if it has no pictures."""
    found = read_distilled(data.source)
    if found.kind != "images":
        raise InputError(
            "The distilled set holds vectors of frozen encoders and no pictures, so that no captioner can see it",
            received=found.folder,
            expected="one whose kind is images",
            remedy="Train on it with python -m tfcap.distill evaluate.",
        )
    return found


def _digest(found: DistilledSet) -> str:
    """Returns a digest of the folder's description and pictures; raises InputError if a picture is missing."""
    paths = [found.folder / "distilled.json", *found.image_paths()]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise InputError(
            f"A picture of the distilled set is missing, of {found.pairs:,}",
            received=missing,
            expected=Distilled.SOURCE_LAYOUT,
        )
    stats = [(str(path.resolve()), path.stat()) for path in paths]
    return _digest_of(tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats))


@functools.lru_cache(maxsize=8)
def _digest_of(files: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, size, _ in files:
        digest.update(size.to_bytes(8, "little") + Path(path).read_bytes())
    return digest.hexdigest()


def _limit(found: DistilledSet) -> int:
    """Returns how many images of each split of the original were used; 0 for all."""
    limit = found.data.get("limit", 0)
    return limit if isinstance(limit, int) else 0


def _original(found: DistilledSet, data: DataSettings, progress: bool) -> Path:
    """Returns the folder of the original data set: under --data_dir, or where it was distilled, or built now.

    Raises:
      InputError: it cannot be had, or holds something else than what was distilled.
    """
    asked = _settings_of_original(found)
    places = [dataclasses.replace(asked, data_dir=place) for place in dict.fromkeys((data.data_dir, asked.data_dir))]
    folders = [folder for place in places if (folder := tfrecords_builder.locate(place)) is not None]
    if not folders:
        try:
            folders = [tfrecords_builder.build(places[0], progress)]
        except InputError as error:
            raise InputError(
                f"The data set that was distilled is not there and cannot be built ({error})",
                received=f"--data_dir={data.data_dir}",
                expected=f"{asked.dataset}, built there",
                remedy="Build it with python -m tfrecords_builder.",
            ) from None
    differing = {folder: _differing(found, folder) for folder in folders}
    same = next((folder for folder in folders if not differing[folder]), None)
    if same is None:
        split, theirs = differing[folders[0]][0]
        raise InputError(
            "The data set in place is not the one that was distilled",
            received=f"{folders[0]}, whose {split} split has the fingerprint {theirs[:12]}",
            expected=found.fingerprints[split][:12],
            remedy="Name the --data_dir that has it.",
        )
    return same


def _settings_of_original(found: DistilledSet) -> DataSettings:
    if found.data["dataset"] == Distilled.name:
        problem = "The distilled set was distilled from a distilled set"
        raise InputError(problem, received=found.folder, expected="one that was distilled from real pictures")
    try:
        return DataSettings(**found.data)
    except (TypeError, InputError) as error:
        problem = f"{found.folder / 'distilled.json'} has settings of data that this version does not know ({error})"
        raise InputError(problem, remedy="Distil again with this version.") from None


def _differing(found: DistilledSet, original: Path) -> list[tuple[str, str]]:
    """Returns the splits that are not what was distilled, each with the fingerprint that it has."""
    splits, limit = read_json(original / integrity.MANIFEST)["splits"], _limit(found)
    used = {
        split: hash_of(described["fingerprint"], limit)
        if 0 < limit < described["records"]
        else described["fingerprint"]
        for split, described in splits.items()
    }
    return [(split, used[split]) for split, expected in found.fingerprints.items() if used[split] != expected]


def _synthetic(found: DistilledSet, original: Path, manifest: Mapping[str, Any]) -> Iterator[Example]:
    """Yields the synthetic pictures, with image and caption ids after all that validation and test have.

    Raises:
      InputError: a picture is damaged; the others would be another set.
    """
    with np.load(original / integrity.INDEX, allow_pickle=False) as index:
        first = 1 + max(int(index[f"{split}/ids"].max()) for split in manifest["splits"])
    spec = {"captions/id": tf.io.RaggedFeature(tf.int64)}
    held_out = (payload for split in _HELD_OUT for payload in _payloads(original, manifest, split, 0))
    first_caption = 1 + max(int(tf.reduce_max(_parsed(payload, spec)["captions/id"])) for payload in held_out)
    for row, path in enumerate(found.image_paths()):
        encoded = read_file(path)
        try:
            images.prepare(encoded)
        except images.BadImage as error:
            problem = f"A picture of the distilled set cannot be used ({error})"
            raise InputError(problem, received=path, remedy="Distil again.") from None
        name = path.relative_to(found.folder).as_posix()
        yield Example(first + row, name, encoded, [found.captions[row]], [first_caption + row])


def _copied(original: Path, manifest: Mapping[str, Any], split: str, limit: int) -> Iterator[Example]:
    """Yields the records of a split as they are, but for what the original knows of them beyond their captions."""
    spec = parse_spec()
    for payload in _payloads(original, manifest, split, limit):
        record = _parsed(payload, spec)
        yield Example(
            int(record["image/id"]),
            record["image/filename"].numpy().decode(),
            record["image"].numpy(),
            [text.decode() for text in record["captions/text"].numpy()],
            record["captions/id"].numpy().tolist(),
        )


def _payloads(original: Path, manifest: Mapping[str, Any], split: str, limit: int) -> Iterable[tf.Tensor]:
    shards = [str(original / shard["file"]) for shard in manifest["splits"][split]["shards"]]
    return tf.data.TFRecordDataset(shards).take(limit or -1)


def _parsed(payload: tf.Tensor, spec: Mapping[str, object]) -> dict[str, tf.Tensor]:
    return tf.io.parse_single_example(payload, spec)
