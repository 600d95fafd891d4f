"""Flickr8k: 8,000 photographs with five captions each.

Hodosh, Young and Hockenmaier, "Framing Image Description as a Ranking Task: Data, Models and
Evaluation Metrics", JAIR 47 (2013).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import tfcap.quiet  # noqa: F401

import tensorflow_datasets as tfds  # isort: skip

from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example
from tfrecords_builder.licences import Licence
from tfrecords_builder.sources import random_splits, read_file, read_lines

_IMAGE_FOLDERS = ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset")
_SPLIT_LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "validation": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
_TOKENS = "Flickr8k.token.txt"
_CSV = "captions.txt"


class Captioned(NamedTuple):
    """What is said of a photograph that is not read yet."""

    image_id: int
    captions: Sequence[str]
    caption_ids: Sequence[int]


class Flickr8k(CaptionsBuilder):
    """Photographs of people and animals in action, with five captions each by different people.

    The official lists give 6,000 images to train, 1,000 to validation and 1,000 to test, in the order of
    the lists; 91 images are in none and are left out. A source without lists is split 0.8/0.1/0.1 by seed 0.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    HOMEPAGE = "https://hockenmaier.cs.illinois.edu/8k-pictures.html"
    CITATION = (
        "@article{hodosh2013framing, title={Framing Image Description as a Ranking Task: Data, Models and Evaluation"
        " Metrics}, author={Hodosh, Micah and Young, Peter and Hockenmaier, Julia}, journal={JAIR}, volume={47},"
        " year={2013}}"
    )
    LICENCE = Licence(
        "The data set is given out for research and education that is not commercial, and not to be passed on; the"
        " photographs belong to those who put them on Flickr.",
        identifier="other",
        name="flickr8k-research-use",
        url=HOMEPAGE,
    )
    SOURCE_LAYOUT = (
        f"a folder with the photographs in {_IMAGE_FOLDERS[0]}/ or {_IMAGE_FOLDERS[2]}/, the captions in {_TOKENS}"
        f" or {_CSV}, and the split lists {', '.join(_SPLIT_LISTS.values())} (without them: a random split)"
    )

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        """Returns `official`, or `random` for a source that has no split lists."""
        return "random-s0" if data.source and not _present_lists(Path(data.source).expanduser()) else "official"

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        source = Path(data.source).expanduser()
        folder = image_folder(source, _IMAGE_FOLDERS, self.SOURCE_LAYOUT)
        captions = self._captions(source)
        captioned = numbered(captions)
        names = self._split_names(source, captions)
        self.totals = {split: len(members) for split, members in names.items()}
        return {split: read_captioned(folder, members, captioned) for split, members in names.items()}

    def _captions(self, source: Path) -> dict[str, list[str]]:
        """Returns each file name's captions, in the order of the caption file."""
        if (source / _TOKENS).is_file():
            pairs = _read_tokens(source / _TOKENS)
        elif (source / _CSV).is_file():
            pairs = _read_csv(source / _CSV)
        else:
            raise InputError("--source has no captions", received=source, expected=self.SOURCE_LAYOUT)
        captions: dict[str, list[str]] = defaultdict(list)
        for filename, text in pairs:
            captions[filename].append(text)
        return captions

    def _split_names(self, source: Path, captions: dict[str, list[str]]) -> dict[str, list[str]]:
        present = _present_lists(source)
        if not present:
            return random_splits(sorted(captions))
        if len(present) < len(_SPLIT_LISTS):
            missing = sorted(set(_SPLIT_LISTS.values()) - set(present))
            problem = "--source has some split lists and lacks others"
            raise InputError(problem, received=", ".join(present), expected="also " + ", ".join(missing))
        listed = {split: [line.strip() for line in read_lines(source / name)] for split, name in _SPLIT_LISTS.items()}
        known = {split: [name for name in names if name in captions] for split, names in listed.items()}
        self.counts["images_without_caption"] = sum(len(listed[split]) - len(known[split]) for split in listed)
        self.counts["images_in_no_split"] = len(set(captions).difference(*known.values()))
        return known


def image_folder(source: Path, names: Sequence[str], layout: str) -> Path:
    """Returns the first folder of `names` that the source has; raises InputError, naming the layout, if it has none."""
    for name in names:
        if (source / name).is_dir():
            return source / name
    raise InputError("--source has no folder of photographs", received=source, expected=layout)


def numbered(captions: Mapping[str, Sequence[str]]) -> dict[str, Captioned]:
    """Returns the captions of each file name with ids.

    Ids are positions in sorted order, so that neither the split nor the order of the lines changes them.
    """
    found: dict[str, Captioned] = {}
    count = 0
    for image_id, name in enumerate(sorted(captions)):
        texts = captions[name]
        found[name] = Captioned(image_id, texts, range(count, count + len(texts)))
        count += len(texts)
    return found


def read_captioned(folder: Path, names: Iterable[str], captioned: Mapping[str, Captioned]) -> Iterator[Example]:
    """Yields the examples of `names`, whose photographs lie in `folder`."""
    for name in names:
        image_id, texts, caption_ids = captioned[name]
        yield Example(image_id, name, read_file(folder / name), texts, caption_ids)


def token_pair(line: str) -> tuple[str, str] | None:
    """Returns (file name, caption) of a line such as `NAME.jpg#0<tab>CAPTION`; None for one without a tab."""
    key, tab, text = line.partition("\t")
    return (key.rpartition("#")[0] or key, text) if tab else None


def _present_lists(source: Path) -> list[str]:
    return [name for name in _SPLIT_LISTS.values() if (source / name).is_file()]


def _read_tokens(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (file name, caption) from lines such as `NAME.jpg#0<tab>CAPTION`."""
    for line in read_lines(path):
        pair = token_pair(line)
        if pair is None:
            raise InputError(f"{path} has a line without a tab", received=repr(line), expected="NAME.jpg#0<tab>CAPTION")
        yield pair


def _read_csv(path: Path) -> Iterator[tuple[str, str]]:
    """Yields (file name, caption) from a CSV file with the header `image,caption`."""
    rows = csv.reader(read_lines(path))
    if [name.strip() for name in next(rows, [])] != ["image", "caption"]:
        raise InputError(f"{path} has another header", expected="image,caption")
    for row in rows:
        if len(row) != 2:
            raise InputError(f"{path} has a row of {len(row)} columns", received=repr(row), expected="image,caption")
        yield row[0], row[1]
