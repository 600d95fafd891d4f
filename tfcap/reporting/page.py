"""A report as one HTML page that needs nothing else, and its charts and tables as files beside it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from tfcap.reporting.charts import Chart
from tfcap.reporting.exported_tables import Table, mark_of, sort_key
from tfcap.reporting.lettering import printable
from tfcap.reporting.palette import Style, variables
from tfcap.reporting.quality import Quality

_PAGE = "index.html"
FORMS = {"csv": "CSV", "tex": "LaTeX", "md": "Markdown"}


@dataclasses.dataclass(frozen=True)
class Said:
    """What one method says of a picture, and how good that is, as per_image.json has it."""

    method: str
    fraction: float
    text: str
    score: float


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture as a data URI ("" where it is gone), its human captions or its class, and what is said of it."""

    image: int
    source: str
    references: Sequence[str]
    said: Sequence[Said]


@dataclasses.dataclass(frozen=True)
class Samples:
    """Pictures with captions or classes, by the quality that scores them; the note says what is missing."""

    note: str
    pictures: Sequence[Picture]
    quality: Quality


@dataclasses.dataclass(frozen=True)
class Section:
    """One subject of a part of the report.

    Attributes:
      name: of its anchor, unique in its part.
      title: of the section.
      words: paragraphs.
      facts: a table of two columns without a title, such as what the machine was.
      charts: drawn where the section stands.
      tables: likewise.
      folded: tables that are seen when they are asked for.
      samples: likewise.
      commands: to be copied.
    """

    name: str
    title: str
    words: Sequence[str] = ()
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    folded: Sequence[Table] = ()
    samples: Samples | None = None
    commands: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class PagePart:
    """A part of the report: its methods by name with their styles, and its sections.

    Attributes:
      words: what it is of.
      first: the methods that are shown before anything is chosen.
      in_short: what it finds, a sentence each.
      warnings: what a reader has to know before believing it.
    """

    name: str
    words: Sequence[str]
    methods: Mapping[str, Style]
    first: Sequence[str]
    sections: Sequence[Section]
    in_short: Sequence[str] = ()
    warnings: Sequence[str] = ()

    @property
    def slug(self) -> str:
        """Its name as the name of a folder."""
        return re.sub(r"[^\w.-]+", "_", self.name).strip("._") or "part"


def write_page(
    folder: Path, title: str, words: Sequence[str], parts: Sequence[PagePart], taken: Sequence[str] = ()
) -> None:
    """Writes index.html into a folder, and beside it the figures (SVG, PNG) and tables (CSV, LaTeX, Markdown).

    Args:
      taken: names of other files of the folder.
    """
    slugs = _slugs(parts, [_PAGE, *taken])
    for part, slug in zip(parts, slugs, strict=True):
        for section in part.sections:
            for chart in section.charts:
                for name, content in chart.files().items():
                    _write(folder / slug / "figures" / name, content)
            for table in (*section.tables, *section.folded):
                for ending, text in table.texts().items():
                    _write(folder / slug / "tables" / f"{table.name}.{ending}", text.encode(errors="replace"))
    _write(folder / _PAGE, _html(title, words, parts, slugs).encode(errors="replace"))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _slugs(parts: Sequence[PagePart], taken: Sequence[str]) -> list[str]:
    """Returns a folder's name for each part, each another, also where capitals are not told from small letters."""
    known, found = {name.casefold() for name in taken}, []
    for part in parts:
        slug, number = part.slug, 1
        while slug.casefold() in known:
            number += 1
            slug = f"{part.slug}-{number}"
        known.add(slug.casefold())
        found.append(slug)
    return found


def _html(title: str, words: Sequence[str], parts: Sequence[PagePart], slugs: Sequence[str]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfcap.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"printable": printable, "sort_key": sort_key, "mark_of": mark_of}
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    script = _source("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sources: dict[str, int] = {}
    of_parts = {slug: _data(part, sources) for part, slug in zip(parts, slugs, strict=True)}
    return environment.get_template("report.html").render(
        title=title,
        words=words,
        parts=list(zip(parts, slugs, strict=True)),
        data={"parts": of_parts, "pictures": list(sources)},
        inline=lambda chart, slug: [Markup(svg) for svg in chart.inline(f"{slug}:")],  # noqa: S704  (made by charts.py)
        forms=FORMS,
        light=Markup(variables(dark=False)),  # noqa: S704  (constants)
        dark=Markup(variables(dark=True)),  # noqa: S704
        style=Markup(_source("report.css")),  # noqa: S704  (files of this package)
        script=Markup(script),  # noqa: S704
        digest=digest,
    )


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _data(part: PagePart, sources: dict[str, int]) -> dict[str, Any]:
    """Returns what the page's script reads: the tables in every form, and the samples.

    Args:
      sources: the place of each picture among all of the page's, to which those of the part are added.
    """
    tables = {table.name: table.texts() for section in part.sections for table in (*section.tables, *section.folded)}
    samples = [section.samples for section in part.sections if section.samples]
    return {"tables": tables, "samples": _plain(samples[0], list(part.methods), sources) if samples else None}


def _plain(samples: Samples, methods: list[str], sources: dict[str, int]) -> dict[str, Any]:
    """Returns the samples as plain values: each caption and each picture once, methods by their place."""
    texts: dict[str, int] = {}
    pictures = []
    for picture in samples.pictures:
        said = [
            [methods.index(one.method), one.fraction, texts.setdefault(one.text, len(texts)), round(100 * one.score, 1)]
            for one in picture.said
        ]
        source = sources.setdefault(picture.source, len(sources)) if picture.source else None
        pictures.append({"id": picture.image, "src": source, "human": picture.references, "said": said})
    quality = samples.quality
    words = {"text": quality.text, "texts": quality.texts, "score": quality.name, "verdicts": quality.verdicts}
    return {"methods": methods, "texts": list(texts), "pictures": pictures, "words": {**words, "head": quality.head}}
