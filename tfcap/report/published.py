"""The published figures beside those of a part: of runs with the same settings, or where signs and ratios compare."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tfcap.findings import EPOCHS, FULL, choices_of, epoch_seconds, method_of
from tfcap.report.data import COSTS, Found, metric_of, over_seeds
from tfcap.reporting.exported_tables import Cell, Column, Interval, Table
from tfcap.reporting.published import Figure, figures, studies
from tfcap.reporting.quality import CIDER

_LEFT_OUT = "The losses of S4 have nothing here to stand beside, since runs measure no loss on the test images."

# The pixels of CIFAR-10, by the configuration of the data set.
_PIXELS = {
    "original": "the same",
    "class-folders": "those of files that somebody stored anew, perhaps as JPEG, which changes them",
    "": "those of --source, which may have been stored anew",
}


def published_tables(found: Found) -> tuple[Table, Table]:
    """Returns the published figures of which the part has found the same, beside its own, and all others."""
    choices = _choices(found)
    pairs = [(figure, _ours(figure, found, choices)) for figure in figures()]
    words = [Column("study"), Column("setting"), Column("unit")]
    protocol = found.part.protocol
    there = f"The studies trained for {EPOCHS}; these runs are of {protocol}. " if protocol else ""
    return (
        Table(
            "published",
            "Beside the published figures",
            f"{there}Of findings in words, signs and ratios compare, whatever the data; a difference of means may be "
            f"chance.{_of_cifar10([figure for figure, ours in pairs if ours], found, choices)}",
            [*words, Column("published", 2), Column(f"here, {protocol}" if protocol else "here", 2), Column("of")],
            [[*_of_figure(figure), value, method] for figure, ours in pairs for method, value in ours.items()],
        ),
        Table(
            "published_others",
            "Published figures of which these runs hold nothing",
            "; ".join(f"{name}: {text}" for name, text in studies().items()) + f". {_LEFT_OUT}",
            [*words, Column("published", 2)],
            [_of_figure(figure) for figure, ours in pairs if not ours],
        ),
    )


def _of_cifar10(compared: list[Figure], found: Found, choices: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns in what runs differ from those that S5 published, where they are compared with any."""
    if not any(figure.study == "S5" for figure in compared):
        return ""
    of_cells = {cell.get("data_set", {}).get("config", "") for cell in found.part.cells.values()}
    pixels = " and ".join(_PIXELS.get(config, _PIXELS[""]) for config in sorted(of_cells))
    widths = ", ".join(str(width) for width in sorted({one["width"] for one in choices.values() if one.get("width")}))
    return (
        f" S5 was published on the original pixels, with a ResNet-18 of width 64; here the pixels are {pixels}, and "
        f"the width is {widths or 'of another encoder'}; accuracy is of 9,000 of the 10,000 test pictures."
    )


def _of_figure(figure: Figure) -> list[Cell | Interval]:
    return [figure.study, figure.what, figure.unit, figure.published]


def _choices(found: Found) -> dict[str, dict[str, Any]]:
    """Returns the settings of each cell by name, as far as this version reads them."""
    several = {}
    for name, cell in found.part.cells.items():
        choices = choices_of(cell)
        if choices is not None:
            axes, pretrained = cell["axes"], "yes" if choices.get("checkpoint") else "no"
            of_axes = {"selector": axes["selector"], "fraction": float(axes["fraction"])}
            several[name] = {"split": "test", **choices, **of_axes, "pretrained": pretrained}
    return several


def _ours(figure: Figure, found: Found, choices: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Returns what was found of the same, by method."""
    if (figure.difference or figure.share) and found.quality != CIDER:
        return {}
    if figure.difference is not None:
        one, other, fraction = figure.difference
        pairs = [(name, found.baseline.get(name)) for name in found.own if found.axes(name)["selector"] == one]
        there = [(name, base) for name, base in pairs if base and found.axes(base)["selector"] == other]
        rows = {name: (found.own[name], found.own[base]) for name, base in there}
        both = {name: row for name, row in rows.items() if fraction in row[0] and fraction in row[1]}
        return {name: 100 * (ours[fraction].value - base[fraction].value) for name, (ours, base) in both.items()}
    if figure.share is not None:
        selector, fraction = figure.share
        rows = {
            name: (found.own[name], found.own[found.full[name]])
            for name in found.own
            if found.axes(name)["selector"] == selector and name in found.full and fraction in found.own[name]
        }
        return {
            name: 100 * row[fraction].value / whole[1.0].value
            for name, (row, whole) in rows.items()
            if whole[1.0].value
        }
    if figure.metric is not None:
        alike = _alike(figure.of, found, choices)
        values = {
            name: over_seeds([metric_of(one["metrics"], figure.metric) for one in of]) for name, of in alike.items()
        }
        return {name: 100 * value for name, value in values.items() if value is not None}
    if figure.minutes is not None:
        of, beside = _beside(*figure.minutes, found, choices, _minutes)
        return {name: 100 * minutes / beside for name, minutes in of.items()}
    if figure.epochs is not None:
        of, beside = _beside(*figure.epochs, found, choices, epoch_seconds)
        return {name: beside / seconds for name, seconds in of.items()}
    return {}


def _beside(
    of: Mapping[str, Any],
    beside: Mapping[str, Any],
    found: Found,
    choices: Mapping[str, Mapping[str, Any]],
    measure: Callable[[Mapping[str, Any]], float | None],
) -> tuple[dict[str, float], float]:
    """Returns the mean measure of the cells with some settings, by method, and that of the cells with others.

    Nothing and 1 where the others are of several methods, or a measure is not known or 0.
    """
    ours, theirs = (
        {name: over_seeds([measure(cell) for cell in cells]) for name, cells in _alike(one, found, choices).items()}
        for one in (of, beside)
    )
    whole = next(iter(theirs.values()), None)
    if len(theirs) != 1 or not whole:
        return {}, 1.0
    return {name: value for name, value in ours.items() if value is not None}, whole


def _alike(
    of: Mapping[str, Any], found: Found, choices: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[Mapping[str, Any]]]:
    """Returns the cells with these settings on all of the test split, by method."""
    wanted = {"selector": FULL, "split": "test", "limit": 0, **of}
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for name, cell in found.part.cells.items():
        if name in choices and all(_is(choices[name].get(field), word) for field, word in wanted.items()):
            alike.setdefault(method_of(cell["axes"]), []).append(cell)
    return alike


def _is(value: Any, word: Any) -> bool:
    """Whether a setting is that, or is a name that has it as one of its words: `1b` in `meta-llama/Llama-3.2-1B`."""
    if isinstance(word, list):
        return any(_is(value, one) for one in word)
    if not isinstance(word, str):
        return bool(value == word)
    text = str(value).lower()
    return word.lower() == text or word.lower() in re.split(r"[^0-9a-z]+", text)


def _minutes(cell: Mapping[str, Any]) -> float:
    return sum(cell["metrics"].get(name) or 0 for name in COSTS) / 60
