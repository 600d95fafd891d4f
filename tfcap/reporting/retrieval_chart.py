"""The chart of retrieval: R@1 both ways against the number of pairs, a line a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from tfcap.reporting.charts import Chart, Panel
from tfcap.reporting.palette import Style
from tfcap.reporting.retrieval_table import BySize

_ARROWS = {"image_to_text": "Captions of an image", "text_to_image": "Image of a caption"}
_BASELINE = "random"
_APART = 0.008  # decades between the intervals of two methods
_BESIDE = 1.3  # times the least and the most pairs: where the axis ends


def retrieval_chart(found: BySize, whole: str) -> Chart:
    """Returns the chart of R@1 in percent, with 95 % intervals where there are several seeds.

    Args:
      found: estimates with value, low, high and seeds, by method, size, direction and recall.
      whole: the method that stands for all pairs: a line across.
    """
    methods = [method for method in found if method != whole]
    styles = {method: Style(place, plain=method == _BASELINE) for place, method in enumerate(methods)}
    sizes = sorted({size for method in methods for size in found[method]})

    def drawing(direction: str) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            for place, method in enumerate(methods):
                of = {size: found[method][size][direction]["R@1"] for size in sizes if size in found[method]}
                _line(axes, of, styles[method], (place - (len(methods) - 1) / 2) * _APART)
            for cell in found.get(whole, {}).values():
                axes.axhline(100 * cell[direction]["R@1"].value, color=Style(0, plain=True).colour, dashes=(2, 3), lw=1)
            axes.set_xscale("log")
            axes.set_xlim(sizes[0] / _BESIDE, sizes[-1] * _BESIDE)
            axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("pairs")
            axes.set_ylabel("R@1, %")
            axes.set_ylim(bottom=0)
            axes.grid(axis="y")

        return draw

    panels = [
        Panel(title, f"R@1 by number of pairs: {_in_words(found, direction)}", drawing(direction))
        for direction, title in _ARROWS.items()
    ]
    note = "Each line a method, bars 95 % intervals for new seeds and images; the dotted line is all pairs."
    return Chart("recall", "What a student retrieves after training on a few pairs", note, panels, key=styles)


def _line(axes: Axes, of: Mapping[int, Any], style: Style, aside: float) -> None:
    if not of:
        return
    places = [size * 10**aside for size in of]
    values = [100 * one.value for one in of.values()]
    if all(one.seeds > 1 for one in of.values()):
        bars = [
            [100 * (one.value - one.low) for one in of.values()],
            [100 * (one.high - one.value) for one in of.values()],
        ]
        axes.errorbar(places, values, bars, fmt="none", ecolor=style.colour, elinewidth=1)
    axes.plot(
        places, values, color=style.colour, marker=style.marker, linestyle=style.dashes, markersize=5, linewidth=1.6
    )  # type: ignore[arg-type]


def _in_words(found: BySize, direction: str) -> str:
    return "; ".join(
        f"{method} " + ", ".join(f"{size}: {100 * cell[direction]['R@1'].value:.1f}" for size, cell in of.items())
        for method, of in found.items()
    )
