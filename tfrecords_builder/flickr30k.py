"""Flickr30k: 31,783 photographs with five captions each.

Young, Lai, Hodosh and Hockenmaier, "From image descriptions to visual denotations: New similarity metrics for semantic
inference over event descriptions", TACL 2 (2014).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import tensorflow_datasets as tfds  # isort: skip

from tfcap.errors import InputError
from tfcap.files import file_hash
from tfcap.settings import DataSettings
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example
from tfrecords_builder.flickr import Captioned, image_folder, numbered, read_captioned, token_pair
from tfrecords_builder.karpathy import read_karpathy
from tfrecords_builder.licences import Licence
from tfrecords_builder.quarantine import MAX_BAD_FRACTION
from tfrecords_builder.sources import absolute, random_splits, read_lines

_IMAGE_FOLDERS = ("flickr30k-images", "flickr30k_images", "images")
_KARPATHY = "dataset_flickr30k.json"
_TOKENS = "results_20130124.token"
_CSV = "results.csv"
_HEADER = ["image_name", "comment_number", "comment"]


class Flickr30k(CaptionsBuilder):
    """Photographs of people and animals in action, with five captions each by different people.

    Karpathy's split, the one of most published numbers, gives 29,000 images to train, 1,014 to validation and 1,000 to
    test. A source without it is split 0.8/0.1/0.1 by seed 0. Lines of the caption file that have no caption, as one of
    results.csv has none, are counted and left out.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    HOMEPAGE = "https://shannon.cs.illinois.edu/DenotationGraph/"
    CITATION = (
        "@article{young2014image, title={From image descriptions to visual denotations: New similarity metrics for"
        " semantic inference over event descriptions}, author={Young, Peter and Lai, Alice and Hodosh, Micah and"
        " Hockenmaier, Julia}, journal={TACL}, volume={2}, year={2014}}"
    )
    LICENCE = Licence(
        "As known when this was written, and not seen on its page: given out by the University of Illinois, whose are"
        " the captions, for research and education that is not commercial; the photographs belong to those who put them"
        " on Flickr, whose terms of use hold.",
        identifier="other",
        name="flickr30k-research-use",
        url=HOMEPAGE,
    )
    SOURCE_LAYOUT = (
        f"a folder with the photographs in {_IMAGE_FOLDERS[0]}/, {_IMAGE_FOLDERS[1]}/ or {_IMAGE_FOLDERS[2]}/, and"
        f" {_KARPATHY} (also as --karpathy_json), or {_TOKENS} or {_CSV} (a random split)"
    )

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        """Returns `karpathy`, or `random` for a source that has no file of Karpathy's."""
        return "random-s0" if data.source and _karpathy_json(data) is None else "karpathy"

    @classmethod
    def check_source(cls, data: DataSettings) -> None:
        super().check_source(data)
        path = _karpathy_json(data)
        if path is not None and not path.is_file():
            raise InputError("--karpathy_json is not a file", received=data.karpathy_json, expected=_KARPATHY)

    @classmethod
    def origin(cls, data: DataSettings) -> dict[str, str]:
        path = _karpathy_json(data)
        return {**super().origin(data), **({"karpathy_json": absolute(str(path))} if path else {})}

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        source = Path(data.source).expanduser()
        folder = image_folder(source, _IMAGE_FOLDERS, self.SOURCE_LAYOUT)
        path = _karpathy_json(data)
        if path is None:
            captioned = numbered(self._captions(source))
            names = random_splits(sorted(captioned))
        else:
            captioned, names = self._karpathy(path)
        self.totals = {split: len(members) for split, members in names.items()}
        return {split: read_captioned(folder, members, captioned) for split, members in names.items()}

    def _karpathy(self, path: Path) -> tuple[dict[str, Captioned], dict[str, list[str]]]:
        """Returns each image's captions and each split's sorted names; an image's id is its place among all of them."""
        self.notes["karpathy_json_sha256"] = file_hash(path)
        found = read_karpathy(path, _sentences, _KARPATHY, "filename, split and sentences with raw and sentid")
        listed = {name: pairs for members in found.values() for name, pairs in members}
        if len(listed) < sum(map(len, found.values())):
            raise InputError(f"{path} names an image twice", expected="each image once, in one split")
        captioned = {
            name: Captioned(number, [text for text, _ in listed[name]], [sentid for _, sentid in listed[name]])
            for number, name in enumerate(sorted(listed))
            if listed[name]
        }
        self.counts["images_without_caption"] += len(listed) - len(captioned)
        return captioned, {
            split: sorted(name for name, _ in members if name in captioned) for split, members in found.items()
        }

    def _captions(self, source: Path) -> dict[str, list[str]]:
        """Returns each file name's captions, in the order of the caption file; counts the lines that have none."""
        if (source / _TOKENS).is_file():
            path, form = source / _TOKENS, "NAME.jpg#0<tab>CAPTION"
            lines = read_lines(path)
            pairs = [token_pair(line) for line in lines]
        elif (source / _CSV).is_file():
            path, form = source / _CSV, "| ".join(_HEADER)
            header, *lines = read_lines(path) or [""]
            if [name.strip() for name in header.split("|")] != _HEADER:
                raise InputError(f"{path} has another header", received=repr(header[:80]), expected=form)
            pairs = [_row_pair(line) for line in lines]
        else:
            raise InputError("--source has no captions", received=source, expected=self.SOURCE_LAYOUT)
        bad = [line for line, pair in zip(lines, pairs, strict=True) if pair is None]
        if len(bad) > max(1, MAX_BAD_FRACTION * len(lines)):
            problem = f"{path} has {len(bad):,} lines without a caption, of {len(lines):,}"
            raise InputError(problem, received=repr(bad[0][:80]), expected=form)
        for line in bad:
            self.counts["lines_without_caption"] += 1
            self._quarantine.note(line.partition("|")[0].partition("#")[0][:80], f"no caption in the line {line!r}")
        captions: dict[str, list[str]] = defaultdict(list)
        for name, text in filter(None, pairs):
            captions[name].append(text)
        return captions


def _karpathy_json(data: DataSettings) -> Path | None:
    """Returns Karpathy's file: the one that is named, whether it is there or not, else the source's, if it has one."""
    if data.karpathy_json:
        return Path(data.karpathy_json).expanduser()
    path = Path(data.source).expanduser() / _KARPATHY
    return path if data.source and path.is_file() else None


def _sentences(image: Mapping[str, Any]) -> tuple[str, list[tuple[str, int]]]:
    """Returns the file name of an image of Karpathy's, and its captions with their ids."""
    return image["filename"], [(sentence["raw"], sentence["sentid"]) for sentence in image["sentences"]]


def _row_pair(line: str) -> tuple[str, str] | None:
    """Returns (file name, caption) of a line such as `NAME.jpg| 0| CAPTION`; None if it is none."""
    cells = [cell.strip() for cell in line.split("|", 2)]
    return (cells[0], cells[2]) if len(cells) == 3 and cells[0] and cells[2] else None
