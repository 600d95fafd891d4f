"""The chart of captioners or classifiers side by side: a row each with its interval, named where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tfcap.reporting.charts import Chart, Panel, series_name
from tfcap.reporting.palette import Style
from tfcap.reporting.pictures import INK
from tfcap.reporting.quality import Quality

_WIDTH, _ROW, _FRAME = 350, 38, 60  # points


def intervals_chart(rows: Mapping[str, Mapping[float, Any]], quality: Quality) -> Chart:
    """Returns the quality with its interval, a row each, a panel for each fraction that several rows have.

    Args:
      rows: estimates with value, low and high by name and fraction; at least two have a fraction in common.
    """
    fractions = sorted({fraction for row in rows.values() for fraction in row}, reverse=True)
    panels = []
    for fraction in fractions:
        there = {place: (name, row[fraction]) for place, (name, row) in enumerate(rows.items()) if fraction in row}
        if len(there) > 1:
            said = "; ".join(f"{name}: {100 * one.value:.1f}" for name, one in there.values())
            title = f"{100 * fraction:g} % of the data" if fraction < 1 else "all the data"
            panels.append(Panel(title, f"{quality.title} with {title}. {said}", _drawn(there, quality)))
    return Chart(
        f"{quality.model}s",
        f"{quality.model}s side by side".capitalize(),
        f"Mean {quality.words} with its 95 % interval for new seeds and images, the best first.",
        panels,
        (_WIDTH, _FRAME + _ROW * len(rows)),
        {name: Style(place) for place, name in enumerate(rows)},
    )


def _drawn(there: Mapping[int, tuple[str, Any]], quality: Quality) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        for height, (place, (name, one)) in enumerate(there.items()):
            style, gid = Style(place), series_name(place)
            ends = [100 * (bound if np.isfinite(bound) else one.value) for bound in (one.low, one.high)]
            axes.hlines(height, *ends, color=style.colour, linewidth=2, gid=gid)
            axes.plot(100 * one.value, height, color=style.colour, marker=style.marker, markersize=6, gid=gid)
            across = axes.get_yaxis_transform()
            axes.text(0.01, height - 0.3, name, transform=across, va="center", fontsize=10, color=INK, gid=gid)
        axes.set_ylim(len(there) - 0.5, -0.7)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(quality.head)
        axes.set_xlim(left=0)
        axes.grid(axis="x")

    return draw
