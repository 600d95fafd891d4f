"""The charts of a report on studies: quality, cost, scores, agreement and training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from tfcap.reporting.charts import Chart, Panel, series_name
from tfcap.reporting.palette import Style
from tfcap.reporting.pictures import INK, MUTED

_SMALL = (230.0, 190.0)
_BINS = 40
_GREEN_TO_BLUE = LinearSegmentedColormap.from_list("agreement", ["#f4f9f1", "#7cc4bd", "#1c6ea4", "#0a2a5c"])


@dataclasses.dataclass(frozen=True)
class Line:
    """What was found of one method.

    Attributes:
      quality: estimates with value, low and high of CIDEr by fraction; fraction 1 is all the data, where that was run.
      minutes: the mean cost by fraction, scoring included; of all the data only where the method itself keeps them.
      curves: by fraction, then by name (`val_CIDEr`, `loss`), the mean over seeds in each epoch, NaN where none was.
      place: among the methods, which gives it its style.
      is_reference: it is random, which the others are compared with.
      is_shown: a page shows it before anything is chosen, and the files do.
    """

    quality: Mapping[float, Any]
    minutes: Mapping[float, float]
    curves: Mapping[float, Mapping[str, np.ndarray]]
    place: int
    is_reference: bool
    is_shown: bool

    @property
    def style(self) -> Style:
        """How it is drawn."""
        return Style(self.place, self.is_reference)


def _series(lines: Mapping[str, Line]) -> dict[str, Any]:
    """Returns what a chart says of its series."""
    return {
        "key": {name: line.style for name, line in lines.items()},
        "hidden": [line.place for line in lines.values() if not line.is_shown],
    }


def quality_charts(lines: Mapping[str, Line]) -> list[Chart]:
    """Returns CIDEr against the fraction: all methods in one panel, then each beside random, if that is one of them."""
    reference = next((name for name, line in lines.items() if line.is_reference), None)
    words = "CIDEr x 100 against the percentage of the training data kept, a line for each of: " + ", ".join(lines)

    def all_of_them(axes: Axes) -> None:
        for line in lines.values():
            _draw_quality(axes, line, series_name(line.place))
        _label(axes, "kept, % of train", "CIDEr x 100")
        axes.xaxis.set_major_locator(MaxNLocator(6))

    def beside(line: Line) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            if reference is not None and lines[reference] is not line:
                fractions, values = _of(lines[reference].quality)
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
    against = f" The grey dashes are {reference}." if reference else ""
    charts = [
        Chart(
            "quality",
            "Quality against fraction",
            "Mean CIDEr x 100 over seeds and test images; bands are 95 % intervals for new seeds and images.",
            [Panel("", words, all_of_them)],
            **_series(lines),
        )
    ]
    several = {name: line for name, line in lines.items() if len(line.quality) > 1}
    if len(several) > 1:
        panels = [
            Panel(name, f"{name}: CIDEr x 100 against fraction. {_said(line)}", beside(line))
            for name, line in several.items()
        ]
        note = f"CIDEr x 100 (up) against the percentage kept (across), all on one scale, with 95 % intervals.{against}"
        charts.append(Chart("quality_each", "Each method by itself", note, panels, _SMALL))
    return charts


def cost_chart(lines: Mapping[str, Line]) -> Chart:
    """Returns CIDEr against the minutes of scoring and training."""

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
        _label(axes, "minutes: features, scoring and training", "CIDEr x 100")
        axes.set_xlim(left=0)

    return Chart(
        "cost",
        "Quality against total cost",
        "A point is a fraction. Scoring is charged in full to each cell, as if no other shared it; a method whose line "
        "lies to the right of and below another's costs more than it saves.",
        [Panel("", "CIDEr x 100 against the minutes that scoring and training took", draw)],
        **_series(lines),
    )


def score_chart(scores: Mapping[str, Sequence[np.ndarray]], units: Mapping[str, str]) -> Chart:
    """Returns the distribution of each score: filled for the first of its scoring passes, a line for each other."""

    def panel(name: str) -> Panel:
        def draw(axes: Axes) -> None:
            passes = [values[np.isfinite(values)] for values in scores[name]]
            edges = np.histogram_bin_edges(np.concatenate(passes), _BINS)
            for place, values in enumerate(passes):
                shares = 100 * np.histogram(values, edges)[0] / max(1, len(values))
                if place == 0:
                    axes.stairs(shares, edges, fill=True, color=Style(0).colour, alpha=0.35)
                axes.stairs(shares, edges, color=Style(0).colour, linewidth=1.3 if place == 0 else 0.8)
            axes.set_xlabel(units[name])
            axes.set_ylabel("% of examples")

        whole = np.concatenate([values[np.isfinite(values)] for values in scores[name]])
        low, middle, high = np.percentile(whole, [5, 50, 95])
        words = f"{name}, {units[name]}: 5 % lie below {low:.3g}, half below {middle:.3g}, 95 % below {high:.3g}"
        return Panel(name, words, draw)

    return Chart(
        "scores",
        "Score distributions",
        "The part of the examples in each of 40 steps; the area is the first scoring pass, a line each other one.",
        [panel(name) for name in scores],
        (250.0, 210.0),
    )


def agreement_chart(tables: Mapping[float, np.ndarray], names: Sequence[str]) -> Chart:
    """Returns heat maps of the Jaccard index of what methods keep at the same fraction, [M, M] each."""

    def panel(fraction: float, table: np.ndarray) -> Panel:
        def draw(axes: Axes) -> None:
            others = table[~np.eye(len(table), dtype=bool)]
            top = max(0.05, float(np.nanmax(others))) if np.isfinite(others).any() else 1.0
            axes.pcolormesh(np.ma.masked_invalid(table), cmap=_GREEN_TO_BLUE, vmin=0, vmax=top)
            for row, values in enumerate(table):
                for column, value in enumerate(values):
                    if row == column or not np.isfinite(value):
                        continue
                    colour = "#fefefe" if value > 0.5 * top else "#10141a"  # on the map's own colours in both themes
                    place = (column + 0.5, row + 0.5)
                    axes.text(*place, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=9)
            for side in range(len(table)):
                axes.add_patch(_crossed(side))
            axes.set_xticks(np.arange(len(names)) + 0.5, names, rotation=90, color=INK)
            axes.set_yticks(np.arange(len(names)) + 0.5, names, color=INK)
            axes.tick_params(length=0)
            axes.invert_yaxis()
            axes.set_aspect("equal")
            axes.spines[:].set_visible(False)

        return Panel(
            f"{100 * fraction:g} % kept", f"Jaccard index in % of what methods keep at {100 * fraction:g} %", draw
        )

    side = 150 + 27 * len(names)
    return Chart(
        "agreement",
        "Agreement between selectors",
        "Jaccard index in %: images that both keep, of those that either keeps, at the same fraction and seed; the "
        "mean over seeds. Of random subsets of a fraction f it is f / (2 - f). Similar selectors stand together.",
        [panel(fraction, table) for fraction, table in tables.items()],
        (side, side),
        one_at_a_time=True,
    )


def curve_charts(lines: Mapping[str, Line]) -> list[Chart]:
    """Returns the validation CIDEr and the training loss by epoch, a panel for each fraction."""
    found = []
    for name, title, factor in (("val_CIDEr", "Validation CIDEr x 100", 100), ("loss", "Training loss", 1)):
        panels = [
            _curves(lines, fraction, name, title, factor)
            for fraction in sorted({fraction for line in lines.values() for fraction in line.curves})
        ]
        note = "The mean over seeds, by epoch."
        found.append(Chart(f"curves_{name}", title, note, panels, (300.0, 230.0), **_series(lines)))
    return found


def _curves(lines: Mapping[str, Line], fraction: float, name: str, title: str, factor: float) -> Panel:
    def draw(axes: Axes) -> None:
        for line in lines.values():
            values = line.curves.get(fraction, {}).get(name)
            if values is not None:
                epochs = np.flatnonzero(~np.isnan(values))
                marks = {**_of_line(line.style), "markersize": 3.5 if len(epochs) <= 12 else 0}
                axes.plot(epochs + 1, factor * values[epochs], **marks, gid=series_name(line.place))
        _label(axes, "epoch", "")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    return Panel(f"{100 * fraction:g} % kept", f"{title} by epoch with {100 * fraction:g} % kept", draw)


def _draw_quality(axes: Axes, line: Line, gid: str | None = None) -> None:
    fractions, values = _of(line.quality)
    ends = np.array(
        [[100 * _or(e.low, e.value), 100 * _or(e.high, e.value)] for _, e in sorted(line.quality.items())]
    ).T
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


def _crossed(place: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((place, place), 1, 1, facecolor="none", edgecolor=MUTED, linewidth=0.6, hatch="////", alpha=0.4)
