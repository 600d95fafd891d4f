"""A search over flags: the table of its best trials, and a picture of its way and of each flag's values."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfcap.files import atomic_file
from tfcap.reporting.palette import COLOURS
from tfcap.reporting.quality import Quality
from tfcap.reporting.tables import aligned

_SHOWN = 10  # trials in the table
_DONE, _STOPPED, _BEST = (COLOURS[name][0] for name in ("series-0", "muted", "series-1"))


@dataclasses.dataclass(frozen=True)
class TrialFound:
    """What one finished trial tried and found.

    Attributes:
      value: its best validation score; None where it was stopped.
      validations: the score at each validation.
      reason: why it was stopped, or "".
    """

    number: int
    params: Mapping[str, Any]
    value: float | None
    validations: Sequence[float]
    reason: str

    @property
    def seen(self) -> float | None:
        """The best validation score as far as it went; None before a validation."""
        return self.value if self.value is not None else max(self.validations, default=None)


def search_table(found: Sequence[TrialFound], quality: Quality) -> str:
    """Returns the best trials, the best first, with their validation score x 100 and what they tried."""
    done = sorted((one for one in found if one.value is not None), key=lambda one: (-(one.value or 0), one.number))
    names = list(found[0].params) if found else []
    rows = [["trial", f"val {quality.head}", *names]]
    rows += [
        [str(one.number), f"{100 * (one.value or 0):.1f}", *(_word(one.params[name]) for name in names)]
        for one in done[:_SHOWN]
    ]
    pruned = sum(one.reason == "pruned" for one in found)
    other = len(found) - len(done) - pruned
    note = f"{len(done)} of {len(found)} trials ran to their end, {pruned} were pruned"
    note += f", {other} diverged, had no memory or could not be" if other else ""
    return "\n".join([*aligned(rows, "<" + ">" * (len(rows[0]) - 1)), note])


def _word(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def search_chart(
    path: str | os.PathLike[str], found: Sequence[TrialFound], quality: Quality, logarithmic: Collection[str] = ()
) -> None:
    """Writes a PNG: validation scores x 100 of the trials with the best so far, and against each flag that was tried.

    A trial that was stopped stands, hollow, where its best validation was; one without a validation is not shown.

    Args:
      quality: what was validated.
      logarithmic: the flags whose axes are logarithmic.
    """
    names = list(found[0].params) if found else []
    columns = min(3, 1 + len(names))
    rows = -(-(1 + len(names)) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.4 * rows), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    shown = [one for one in found if one.seen is not None]
    _draw_way(panels[0], shown)
    for axes, name in zip(panels[1:], names, strict=False):
        _draw_slice(axes, name, shown, name in logarithmic)
    for axes in panels[1 + len(names) :]:
        axes.set_axis_off()
    for axes in panels[: 1 + len(names)]:
        axes.set_ylabel(f"validation {quality.head}")
    with atomic_file(path) as temporary:
        canvas.print_png(temporary)


def _draw_way(axes: Axes, shown: Sequence[TrialFound]) -> None:
    _draw_dots(axes, [one.number for one in shown], shown)
    done = [one for one in shown if one.value is not None]
    if done:
        best = np.maximum.accumulate([100 * (one.value or 0) for one in done])
        axes.step([one.number for one in done], best, where="post", color=_BEST, linewidth=1.8, label="best so far")
    _settle(axes, "Trials", "trial")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if shown:
        axes.legend(frameon=False, fontsize=9)


def _draw_slice(axes: Axes, name: str, shown: Sequence[TrialFound], logarithmic: bool) -> None:
    values = [one.params[name] for one in shown]
    if any(isinstance(value, str | bool) for value in values):
        choices = sorted({_word(value) for value in values})
        _draw_dots(axes, [choices.index(_word(value)) for value in values], shown)
        axes.set_xticks(range(len(choices)), choices)
        axes.set_xlim(-0.5, len(choices) - 0.5)
    else:
        _draw_dots(axes, values, shown)
        if logarithmic:
            axes.set_xscale("log")
    _settle(axes, f"--{name}", name)


def _draw_dots(axes: Axes, places: Sequence[float], shown: Sequence[TrialFound]) -> None:
    kinds = (("finished", True, _DONE, _DONE), ("stopped", False, "none", _STOPPED))
    for label, wanted, face, edge in kinds:
        dots = [
            (x, 100 * one.seen)
            for x, one in zip(places, shown, strict=True)
            if (one.value is not None) == wanted and one.seen is not None
        ]
        if dots:
            x, y = zip(*dots, strict=True)
            axes.scatter(x, y, s=24, facecolors=face, edgecolors=edge, linewidths=1.2, label=label, zorder=3)


def _settle(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=11, loc="left", fontweight="bold")
    axes.set_xlabel(below)
    axes.grid(axis="y", color=COLOURS["line"][0], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
