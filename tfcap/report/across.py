"""Studies on the same test images beside each other: does the model matter more than how much it was trained on?

Their figures stand side by side, each with its own interval. Nothing is tested across studies, and no study's selectors
are compared with another's random.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcap.evaluation.crossed import Estimate
from tfcap.evaluation.quality import quality_of
from tfcap.findings import BASELINE, FULL, choices_of, quality_among
from tfcap.grid import word_of
from tfcap.report.cells import AS_IT_IS, Part
from tfcap.report.data import Found
from tfcap.report.findings import in_words, percent
from tfcap.report.tables import interval_of
from tfcap.reporting.charts_across import intervals_chart
from tfcap.reporting.exported_tables import Cell, Column, Interval, Table
from tfcap.reporting.page import PagePart, Section
from tfcap.reporting.quality import Quality
from tfcap.reporting.report_charts import Line, quality_charts

# What decides which the test images are.
_OF_DATA = ("dataset", "coco_split", "scenes_size", "scenes_seed", "recipes_seed", "limit")
# Beside the captioner or classifier, what the figures depend on and a reader has to know where it differs.
_OTHERS = (
    *("train", "checkpoint", "shape", "mapper", "attention", "max_tokens", "image_size", "augment", "level"),
    *("norm", "width", "knowledge_distillation", "epochs", "batch_size", "learning_rate", "dropout"),
    *("label_smoothing", "beams", "length_penalty"),
)


_UNITS = {"CIDEr": "CIDEr", "accuracy": "percentage points"}


@dataclasses.dataclass(frozen=True)
class _Row:
    """A model of a study: its quality by fraction, of random parts and of all the data, and its settings."""

    model: str
    study: str
    quality: Mapping[float, Estimate]
    choices: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What tells it from the others in a chart."""
        return f"{self.model} ({self.study})"


def across(parts: Sequence[Part]) -> list[PagePart]:
    """Returns a part of the page for each set of test images that several studies share, and for each protocol."""
    found = []
    for group in _sharing(parts):
        for protocol in dict.fromkeys(part.protocol for part in group if part.protocol) or [""]:
            several = [part for part in group if part.protocol in ("", protocol)]
            rows = [row for part in several for row in _rows(part)]
            if len({row.study for row in rows}) > 1:
                found.append(_page_part(rows, protocol, quality_among(several[0].cells)))
    return found


def _sharing(parts: Sequence[Part]) -> list[list[Part]]:
    """Returns the parts that share their test images: by the data's settings, and by fingerprint where both know it."""
    grouped: dict[tuple[Any, ...], list[Part]] = defaultdict(list)
    for part in parts:
        key = _test_images(part)
        if key is not None:
            grouped[key].append(part)
    groups = []
    for several in grouped.values():
        fingerprints = dict.fromkeys(part.fingerprint for part in several if part.fingerprint)
        if len(fingerprints) < 2:
            groups.append(several)
        else:
            groups += [[part for part in several if part.fingerprint == one] for one in fingerprints]
    return groups


def _test_images(part: Part) -> tuple[Any, ...] | None:
    """Returns what tells a part's test images from others; None where its cells do not say, or have several."""
    keys = set()
    for cell in part.cells.values():
        choices = choices_of(cell)
        if choices is None:
            return None
        of_data = (choices.get(name) for name in _OF_DATA)
        config = cell.get("data_set", {}).get("config")
        keys.add(
            (*of_data, config, choices.get("split", "test"), len(cell["per_image"][quality_of(cell["per_image"])]))
        )
    return keys.pop() if len(keys) == 1 else None


def _rows(part: Part) -> list[_Row]:
    """Returns a row for each model of a part that was trained on all the data or a random part, or is as it is."""
    found = Found(part)
    qualities: dict[tuple[tuple[str, str], ...], dict[float, Estimate]] = defaultdict(dict)
    choices: dict[tuple[tuple[str, str], ...], Mapping[str, Any]] = {}
    for method in found.own:
        if found.axes(method)["selector"] in (FULL, BASELINE, AS_IT_IS):
            key = (*found.beside_selection(method), *_taught(found.axes(method)))
            qualities[key] |= found.own[method]
            cell = part.cells[next(iter(found.cells_of[method].values()))[0]]
            choices[key] = choices_of(cell) or {}
    rows = []
    for key, quality in qualities.items():
        names = (choices[key].get("model"), choices[key].get("encoder"))
        others = [word_of(name, word) for name, word in key if name not in ("model", "encoder")]
        model = " ".join([" + ".join(str(name) for name in names if name), *others])
        rows.append(_Row(model, part.study, dict(sorted(quality.items())), choices[key]))
    return rows


def _taught(axes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the axes of what a student learns from its teacher, which makes it another one; nothing of others."""
    if axes.get("knowledge_distillation", "false") == "false":
        return []
    return [(name, word) for name, word in axes.items() if name.startswith(("knowledge_", "kd_"))]


def _page_part(rows: Sequence[_Row], protocol: str, quality: Quality) -> PagePart:
    rows = sorted(rows, key=lambda row: -max(row.quality.items())[1].value)
    lines = {
        row.label: Line(row.quality, {}, {}, place, place, is_reference=False, is_shown=True)
        for place, row in enumerate(rows)
    }
    charts = [intervals_chart({row.label: row.quality for row in rows}, quality)]
    charts += quality_charts(lines, quality)[:1] if any(len(row.quality) > 1 for row in rows) else []
    charts = [dataclasses.replace(chart, label=protocol) for chart in charts]
    data = rows[0].choices["dataset"]
    studies, models = dict.fromkeys(row.study for row in rows), f"{quality.model}s".title()
    return PagePart(
        f"{models} on the same test images of {data}" + (f", {protocol}" if protocol else ""),
        [f"Studies: {', '.join(studies)}. Each keeps its own seeds and intervals; nothing is tested across them."],
        {name: line.style for name, line in lines.items()},
        list(lines),
        [Section("across", f"{models} side by side", charts=charts, tables=[_table(rows, protocol, quality)])],
        list(_in_short(rows, quality)),
        list(_warnings(rows, quality.model)),
    )


def _table(rows: Sequence[_Row], protocol: str, quality: Quality) -> Table:
    fractions = sorted({fraction for row in rows for fraction in row.quality})
    differing = _differing(rows)
    cells: list[list[Cell | Interval]] = []
    for row in rows:
        others = ", ".join(f"{name}={_shown(row.choices[name])}" for name in differing if _has(row, name))
        values = [interval_of(row.quality[one]) if one in row.quality else None for one in fractions]
        cells.append([row.model, row.study, *values, others])
    return Table(
        f"{quality.model}s",
        f"{quality.title} of each {quality.model}, with random parts of the data and with all of them",
        "Mean over seeds and all test images, and half of its 95 % interval for new seeds and images; * one seed. The "
        f"last column has the settings in which the rows differ beside the {quality.model}.",
        [
            *(Column(f"{quality.model}, {protocol}" if protocol else quality.model), Column("study")),
            *(Column(percent(fraction)) for fraction in fractions),
            Column("with"),
        ],
        cells,
    )


def _differing(rows: Sequence[_Row]) -> list[str]:
    """Returns the settings beside the model in which rows differ that have them."""
    return [name for name in _OTHERS if len({repr(row.choices[name]) for row in rows if _has(row, name)}) > 1]


def _has(row: _Row, name: str) -> bool:
    return row.choices.get(name) not in (None, "")


def _shown(value: Any) -> str:
    return Path(value).name if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _in_short(rows: Sequence[_Row], quality: Quality) -> Iterator[str]:
    whole = [row for row in rows if 1.0 in row.quality]
    if len(whole) > 1:
        first, last = whole[0], whole[-1]
        apart = 100 * (first.quality[1.0].value - last.quality[1.0].value)
        yield (
            f"With all the data the means lie {apart:.1f} {_UNITS[quality.name]} apart: from {last.label} with "
            f"{in_words(last.quality[1.0], quality)} to {first.label} with {in_words(first.quality[1.0], quality)}."
        )
    for row in whole:
        parts = [
            f"{100 * (one.value - row.quality[1.0].value):+.1f} at {percent(fraction)}"
            for fraction, one in row.quality.items()
            if fraction < 1
        ]
        if parts:
            yield f"{row.label}: a random part of the data instead of all changes the mean by {', '.join(parts)}."


def _warnings(rows: Sequence[_Row], model: str) -> Iterator[str]:
    differing = _differing(rows)
    if differing:
        yield f"The rows differ in {', '.join(differing)} too, so their differences are not of the {model} alone."
