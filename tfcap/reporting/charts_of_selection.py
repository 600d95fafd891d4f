"""The charts of a report on what is kept: the distributions of scores, and how far selectors agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from tfcap.reporting.charts import Chart, Panel
from tfcap.reporting.palette import Style
from tfcap.reporting.pictures import INK, MUTED

_BINS = 40
_GREEN_TO_BLUE = LinearSegmentedColormap.from_list("agreement", ["#f4f9f1", "#7cc4bd", "#1c6ea4", "#0a2a5c"])


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
            others, by_chance = table[~np.eye(len(table), dtype=bool)], fraction / (2 - fraction)
            top = min(1.0, max(2 * by_chance, float(np.nanmax(others)))) if np.isfinite(others).any() else 1.0
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


def _crossed(place: int) -> Rectangle:
    return Rectangle((place, place), 1, 1, facecolor="none", edgecolor=MUTED, linewidth=0.6, hatch="////", alpha=0.4)
