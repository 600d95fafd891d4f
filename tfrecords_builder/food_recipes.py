"""Food Ingredients and Recipes: photographs of some 13,500 dishes, each with the title of its recipe.

Goel, Desai and Tanvi, "Food Ingredients and Recipes Dataset with Images", Kaggle (2021), from epicurious.com.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import tfcap.quiet  # noqa: F401

import tensorflow_datasets as tfds  # isort: skip

from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder.captions_builder import CaptionsBuilder
from tfrecords_builder.features import Example, clean_caption
from tfrecords_builder.licences import Licence
from tfrecords_builder.sources import read_file, read_text

_NAME, _TITLE = "Image_Name", "Title"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_LOST = "#NAME?"  # what a spreadsheet has made of a name that begins like a formula
_DEPTH = 3  # folders below --source; the archive's own layout has two
_FEWEST = 10  # recipes, of which validation and test get one each


class _Row(NamedTuple):
    """A recipe of the CSV file; `number` is the row's as a spreadsheet counts, the header being row 1."""

    number: int
    name: str
    title: str


class FoodRecipes(CaptionsBuilder):
    """Photographs of dishes; the one caption of each is the title of its recipe.

    Left out and counted are recipes whose photograph is not there or whose title is empty. Of those that share a
    photograph the one whose title is first in the order of code points is kept. The rest is split 0.8/0.1/0.1 in the
    order of a hash of `--recipes_seed` and each photograph's name, so the order of the rows changes nothing.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    HOMEPAGE = "https://www.kaggle.com/datasets/pes12017000148/food-ingredients-and-recipe-dataset-with-images"
    CITATION = (
        "@misc{goel2021food, title={Food Ingredients and Recipes Dataset with Images}, author={Goel, Sakshi and Desai,"
        " Amogh and Tanvi}, publisher={Kaggle}, year={2021}}"
    )
    LICENCE = Licence(
        "Not known for certain: elsewhere it is said to be CC BY-SA 3.0, and its page was not at hand. Titles and"
        " photographs come from epicurious.com."
    )
    SOURCE_LAYOUT = (
        f"a folder with a CSV file that has the columns {_NAME} and {_TITLE}, and, beside it or up to {_DEPTH} folders"
        f" below, a folder of pictures named {_NAME}.jpg"
    )
    OPTIONS = ("recipes_seed",)

    @classmethod
    def config_name(cls, data: DataSettings) -> str:
        return f"s{data.recipes_seed}"

    @classmethod
    def config_description(cls, data: DataSettings) -> str:
        return f"Split 0.8/0.1/0.1 by seed {data.recipes_seed}."

    def splits(self, data: DataSettings) -> dict[str, Iterable[Example]]:
        files = _files_under(Path(data.source).expanduser(), self.SOURCE_LAYOUT)
        rows = list(_read_table(_find_table(files, self.SOURCE_LAYOUT)))
        names = {row.name for row in rows} - {_LOST}
        pictures = _find_pictures(files, names)
        if names and not pictures:
            received = f"{min(names)!r} and {len(names) - 1:,} other names without a picture"
            raise InputError("--source has no picture of any recipe", received=received, expected=self.SOURCE_LAYOUT)
        titles = self._titles(rows, pictures)
        # Ids are positions in sorted order, so that the seed changes the split alone.
        ids = {name: position for position, name in enumerate(sorted(titles))}

        def read(listed: Sequence[str]) -> Iterator[Example]:
            for name in listed:
                path = pictures[name]
                yield Example(ids[name], path.name, read_file(path), [titles[name]], [ids[name]])

        members = split_by_hash(titles, data.recipes_seed)
        self.totals = {split: len(listed) for split, listed in members.items()}
        return {split: read(listed) for split, listed in members.items()}

    def _titles(self, rows: Sequence[_Row], pictures: Mapping[str, Path]) -> dict[str, str]:
        """Returns the title of each picture that has one; counts and notes the rows that are left out."""
        titles: dict[str, str] = {}
        for row in sorted(rows, key=lambda row: (row.name, row.title, row.number)):
            if row.name == _LOST or row.name not in pictures:
                self._leave_out(row, "rows_without_picture", "its picture is not there")
            elif not row.title:
                self._leave_out(row, "rows_without_title", "its title is empty")
            elif row.name in titles:
                self._leave_out(row, "rows_of_a_shared_picture", f"its picture is titled {titles[row.name]!r}")
            else:
                titles[row.name] = row.title
        if len(titles) < _FEWEST:
            raise InputError(
                "Too few recipes have a picture and a title",
                received=f"{len(titles)} of {len(rows):,} rows",
                expected=f"at least {_FEWEST}, one of them for validation and one for test",
            )
        return titles

    def _leave_out(self, row: _Row, count: str, reason: str) -> None:
        self.counts[count] += 1
        self._quarantine.note(row.name, f"row {row.number}: {reason}")


def split_by_hash(names: Iterable[str], seed: int) -> dict[str, list[str]]:
    """Returns n names in the order of a hash with the seed: floor(0.8 n) train, floor(0.1 n) validation, the rest test.

    A name that comes or goes moves few others.
    """
    order = sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
    train, validation = len(order) * 8 // 10, len(order) // 10
    held_out = order[train:]
    return {"train": order[:train], "validation": held_out[:validation], "test": held_out[validation:]}


def _files_under(source: Path, layout: str) -> dict[Path, list[str]]:
    """Returns the sorted file names of each folder from `source` on, _DEPTH deep; links count as what they lead to."""
    found: dict[Path, list[str]] = {}
    level, seen = [source], {source.resolve()}  # links may lead to a folder twice
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            try:
                with os.scandir(folder) as entries:
                    inside = sorted((entry.name, entry.is_dir()) for entry in entries)
            except OSError as error:
                raise InputError(
                    f"A folder of --source cannot be read ({error.strerror})", received=folder, expected=layout
                ) from None
            for child in (folder / name for name, is_folder in inside if is_folder):
                if child.resolve() not in seen:
                    seen.add(child.resolve())
                    below.append(child)
            found[folder] = [name for name, is_folder in inside if not is_folder]
        level = below
    return found


def _find_table(files: Mapping[Path, Sequence[str]], layout: str) -> Path:
    """Returns the one CSV file that has the columns."""
    tables = [folder / name for folder, names in files.items() for name in names if name.lower().endswith(".csv")]
    if not tables:
        raise InputError("--source has no CSV file", received=next(iter(files)), expected=layout)
    headers = {path: _header(path) for path in tables}
    fit = [path for path, header in headers.items() if {_NAME, _TITLE} <= set(header)]
    if not fit:
        received = f"{tables[0]} with {', '.join(headers[tables[0]])[:200] or 'no columns'}"
        problem = f"No CSV file of --source has the columns {_NAME} and {_TITLE}"
        raise InputError(problem, received=received, expected=layout)
    if len(fit) > 1:
        problem = f"Several CSV files of --source have the columns {_NAME} and {_TITLE}"
        raise InputError(problem, received=", ".join(map(str, fit[:3])), expected="one")
    return fit[0]


def _header(path: Path) -> list[str]:
    """Returns the names of a CSV file's columns; none where it has no first row."""
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, csv.Error):
        return []


def _read_table(path: Path) -> Iterator[_Row]:
    rows = csv.reader(io.StringIO(read_text(path)), strict=True)  # else an open quote swallows the rest of the file
    try:
        header = [name.strip() for name in next(rows)]
        for number, row in enumerate(rows, start=2):
            if len(row) not in (0, len(header)):
                problem = f"{path} has a row of {len(row)} columns"
                raise InputError(problem, received=f"row {number}", expected=f"{len(header)} columns")
            if row:
                yield _Row(number, _key(row[header.index(_NAME)]), clean_caption(row[header.index(_TITLE)]))
    except csv.Error as error:
        raise InputError(f"{path} is damaged at line {rows.line_num:,} ({error})", expected="a CSV file") from None


def _find_pictures(files: Mapping[Path, Sequence[str]], names: Collection[str]) -> dict[str, Path]:
    """Returns the pictures of the folder that has the most of `names`, by name."""
    best: dict[str, Path] = {}
    for folder, found in files.items():
        # Of two pictures that differ in suffix alone the first counts.
        pictures = {_key(Path(name).stem): folder / name for name in reversed(found) if _is_picture(name)}
        named = {name: pictures[name] for name in names if name in pictures}
        best = named if len(named) > len(best) else best
    return best


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in _SUFFIXES


def _key(name: str) -> str:
    """Returns the form in which names are compared: some systems unpack accents as characters of their own."""
    return unicodedata.normalize("NFC", name.strip())
