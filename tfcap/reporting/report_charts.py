"""The charts of a report on methods: quality, cost and training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tfcap.reporting.charts import Chart, Panel, series_name
from tfcap.reporting.palette import Style
from tfcap.reporting.pictures import MUTED
from tfcap.reporting.quality import Quality

_SMALL = (230.0, 190.0)
_MARKS = 8  # along a curve


@dataclasses.dataclass(frozen=True)
class Line:
    """What was found of one method.

    Attributes:
      quality: estimates with value, low and high by fraction; fraction 1 is all the data, where that was run.
      minutes: the mean cost by fraction, scoring included; of all the data only where the method itself keeps them.
      curves: by fraction, then by name (`val_CIDEr`, `loss`), the mean over seeds in each epoch, NaN where none was.
      place: among the methods, by which a page finds it in its charts.
      look: among the methods of the whole page, which gives it its style.
      is_reference: it is random, which the others are compared with.
      is_shown: a page shows it before anything is chosen, and the files do.
      baseline: the method random that is otherwise the same, if there is one.
    """

    quality: Mapping[float, Any]
    minutes: Mapping[float, float]
    curves: Mapping[float, Mapping[str, np.ndarray]]
    place: int
    look: int
    is_reference: bool
    is_shown: bool
    baseline: str | None = None

    @property
    def style(self) -> Style:
        """How it is drawn."""
        return Style(self.look, self.is_reference)


def _series(lines: Mapping[str, Line]) -> dict[str, Any]:
    """Returns what a chart says of its series."""
    return {
        "key": {name: line.style for name, line in lines.items()},
        "hidden": [line.place for line in lines.values() if not line.is_shown],
    }


def quality_charts(lines: Mapping[str, Line], quality: Quality) -> list[Chart]:
    """Returns quality against fraction: all methods in one panel, then each beside random, if that is one of them."""
    words = f"{quality.title} against the percentage of the training data kept, a line for each of: " + ", ".join(lines)

    def all_of_them(axes: Axes) -> None:
        for line in lines.values():
            _draw_quality(axes, line, series_name(line.place))
        _label(axes, "kept, % of train", quality.head)
        axes.xaxis.set_major_locator(MaxNLocator(6))

    def beside(line: Line) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            if line.baseline is not None and lines[line.baseline] is not line:
                fractions, values = _of(lines[line.baseline].quality)
                axes.plot(100 * fractions, values, color=MUTED, linewidth=1.3, linestyle=(0, (4, 2)))
            _draw_quality(axes, line)
            axes.set_xlim(0, 104)
            axes.set_ylim(0, highest * 1.05)
            axes.set_xticks([0, 25, 50, 75, 100])
            axes.grid(axis="y")

        return draw

    highest = max(
        100 * _or(estimate.high, estimate.value) for line in lines.values() for estimate in line.quality.values()
    )
    references = dict.fromkeys(line.baseline for line in lines.values() if line.baseline)
    whose = next(iter(references), "") if len(references) == 1 else "random, otherwise the same"
    against = f" The grey dashes are {whose}." if references else ""
    charts = [
        Chart(
            "quality",
            "Quality against fraction",
            f"Mean {quality.words} over seeds and test images; bands are 95 % intervals for new seeds and images.",
            [Panel("", words, all_of_them)],
            **_series(lines),
        )
    ]
    several = {name: line for name, line in lines.items() if len(line.quality) > 1}
    if len(several) > 1:
        panels = [
            Panel(name, f"{name}: {quality.words} against fraction. {_said(line)}", beside(line))
            for name, line in several.items()
        ]
        up = f"{quality.title} (up)"
        note = f"{up} against the percentage kept (across), all on one scale, with 95 % intervals.{against}"
        charts.append(Chart("quality_each", "Each method by itself", note, panels, _SMALL))
    return charts


def cost_chart(lines: Mapping[str, Line], quality: Quality) -> Chart:
    """Returns quality against the minutes of scoring and training."""

    def draw(axes: Axes) -> None:
        for line in lines.values():
            fractions = sorted(line.minutes)
            minutes = [line.minutes[fraction] for fraction in fractions]
            estimates = [line.quality[fraction] for fraction in fractions]
            values = np.array([100 * estimate.value for estimate in estimates])
            ends = np.array([[100 * estimate.low, 100 * estimate.high] for estimate in estimates]).T
            style, gid = line.style, series_name(line.place)
            axes.plot(minutes, values, **_of_line(style), gid=gid)
            axes.vlines(minutes, *ends, color=style.colour, linewidth=1, alpha=0.5, gid=gid)
        _label(axes, "minutes: features, scoring and training", quality.head)
        axes.set_xlim(left=0)

    return Chart(
        "cost",
        "Quality against total cost",
        "A point is a fraction, from the smallest on. Scoring is charged in full to each cell, as if no other shared "
        "it; a method whose line lies to the right of and below another's costs more than it saves.",
        [Panel("", f"{quality.title} against the minutes that scoring and training took", draw)],
        **_series(lines),
    )


def curve_charts(lines: Mapping[str, Line], quality: Quality) -> list[Chart]:
    """Returns the validation score and the training loss by epoch, a panel for each fraction that has them."""
    found = []
    validated = (f"val_{quality.name}", f"Validation {quality.words}", 100)
    for name, title, factor in (validated, ("loss", "Training loss", 1)):
        fractions = sorted({at for line in lines.values() for at, curves in line.curves.items() if name in curves})
        panels = [_curves(lines, fraction, name, title, factor) for fraction in fractions]
        note = "The mean over seeds, by epoch."
        if panels:
            found.append(Chart(f"curves_{name}", title, note, panels, (300.0, 230.0), **_series(lines)))
    return found


def _curves(lines: Mapping[str, Line], fraction: float, name: str, title: str, factor: float) -> Panel:
    def draw(axes: Axes) -> None:
        for line in lines.values():
            values = line.curves.get(fraction, {}).get(name)
            if values is not None:
                epochs = np.flatnonzero(~np.isnan(values))
                marks = {**_of_line(line.style), "markersize": 3.5, "markevery": max(1, len(epochs) // _MARKS)}
                axes.plot(epochs + 1, factor * values[epochs], **marks, gid=series_name(line.place))
        _label(axes, "epoch", "")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))

    return Panel(f"{100 * fraction:g} % kept", f"{title} by epoch with {100 * fraction:g} % kept", draw)


def _draw_quality(axes: Axes, line: Line, gid: str | None = None) -> None:
    fractions, values = _of(line.quality)
    ends = np.array(
        [[100 * _or(e.low, e.value), 100 * _or(e.high, e.value)] for _, e in sorted(line.quality.items())]
    ).T
    if len(fractions) == 1:
        axes.vlines(100 * fractions, *ends, color=line.style.colour, linewidth=1, alpha=0.5, gid=gid)
    axes.fill_between(100 * fractions, *ends, color=line.style.colour, alpha=0.16, linewidth=0, gid=gid)
    axes.plot(100 * fractions, values, **_of_line(line.style), gid=gid)


def _of(quality: Mapping[float, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the fractions in order and the values x 100 there."""
    fractions = sorted(quality)
    return np.array(fractions), np.array([100 * quality[fraction].value for fraction in fractions])


def _or(value: float, other: float) -> float:
    return value if np.isfinite(value) else other


def _of_line(style: Style) -> dict[str, Any]:
    look = {"color": style.colour, "marker": style.marker, "linestyle": style.dashes}
    return {**look, "markersize": 5, "linewidth": 1.8}


def _label(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(axis="y")


def _said(line: Line) -> str:
    parts = (f"{100 * value.value:.1f} at {100 * fraction:g} %" for fraction, value in sorted(line.quality.items()))
    return ", ".join(parts)
