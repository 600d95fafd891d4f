"""A sheet of a run's scores: distributions, examples, how much of the known truth they find, and overlaps."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, PercentFormatter
from PIL import Image

from tfcap.errors import InputError
from tfcap.files import atomic_file
from tfcap.reporting.pictures import CARD_WIDTH, GAP, INK, MARGIN, MUTED, Example, columns_pixels
from tfcap.reporting.subsets import (
    jaccard,
    jaccard_by_chance,
    precision_and_recall,
    types_seen,
    types_seen_by_chance,
)
from tfcap.reporting.tables import aligned

WIDTH = 2 * MARGIN + 3 * CARD_WIDTH + 2 * GAP  # pixels: three cards side by side
DPI = 120
FONT = 9.5  # points
MIDDLE, DARK = "#9aa3b0", "#14181f"  # apart in grey, too
LONG_TAIL = 8  # times the median: a score that goes further is drawn over a logarithmic axis
LOOKED_AT = (0.05, 0.1, 0.25, 0.5)


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreView:
    """One score and what is to be shown beside it.

    Attributes:
      values: float [N], in record order.
      order: int64 [N], the positions with the highest score first.
      kept: how many images the run keeps.
      examples: at the ends and in the middle, by heading.
      noisy: bool [N], whether the captions are known to be wrong; None where that is not recorded.
      types: int [N], equal for images that show the same; None where that is not recorded.
      level: what is scored, `image` or `pair`.
    """

    name: str
    unit: str
    values: np.ndarray
    order: np.ndarray
    kept: int
    examples: Mapping[str, Sequence[Example]]
    noisy: np.ndarray | None = None
    types: np.ndarray | None = None
    level: str = "image"

    @property
    def cut(self) -> float:
        """The lowest score among the `kept` highest."""
        return float(self.values[self.order[self.kept - 1]])


def score_sheet(path: str | os.PathLike[str], views: Sequence[ScoreView], subsets: Mapping[str, np.ndarray]) -> None:
    """Writes a PNG: for each score its charts and examples, then the overlap of the `subsets`, bool [N] by name.

    An existing file is replaced when the new one is complete. A chart without anything known to show is left out.

    Raises:
      InputError: a score has no finite value.
    """
    parts = [part for view in views for part in (_pixels(_charts(view)), columns_pixels(view.examples))]
    if len(subsets) > 1:
        parts.append(_pixels(_overlap(subsets)))
    sheet = Image.fromarray(np.concatenate(parts))
    with atomic_file(path) as temporary:
        sheet.save(temporary, format="PNG")


def score_table(view: ScoreView) -> str:
    """Returns the figures of a score's charts for the terminal."""
    count = len(view.values)
    parts = sorted({max(1, int(part * count)) for part in LOOKED_AT} | {view.kept})
    columns = [
        ("highest", [f"{100 * k / count:.3g} %" for k in parts]),
        (f"{view.level}s", [f"{k:,}" for k in parts]),
        ("score from", [f"{view.values[view.order[k - 1]]:.4g}" for k in parts]),
    ]
    at = np.array(parts) - 1
    if view.noisy is not None:
        precision, recall = precision_and_recall(view.order, view.noisy)
        columns += [("wrong captions", _percent(precision[at])), ("of all wrong", _percent(recall[at]))]
    if view.types is not None:
        seen, by_chance = types_seen(view.order, view.types), types_seen_by_chance(view.types)
        columns += [("types shown", _percent(seen[at])), ("by chance", _percent(by_chance[at]))]
    rows = [[title for title, _ in columns], *zip(*(cells for _, cells in columns), strict=True)]
    title = f"{view.name} [{view.unit}]: {count:,} {view.level}s, median {np.median(view.values):.4g}"
    return "\n".join([title, *(f"  {line}" for line in aligned(rows, ">" * len(columns)))])


def overlap_table(subsets: Mapping[str, np.ndarray]) -> str:
    """Returns the Jaccard index of each two subsets for the terminal, and what chance would give."""
    names, found, by_chance = list(subsets), jaccard([*subsets.values()]), jaccard_by_chance([*subsets.values()])
    rows = [("overlap", "", "Jaccard", "by chance")]
    rows += [
        (names[i], names[j], f"{found[i, j]:.2f}", f"{by_chance[i, j]:.2f}")
        for i in range(len(names))
        for j in range(i + 1, len(names))
    ]
    return "\n".join(aligned(rows, "<<>>"))


def _percent(values: np.ndarray) -> list[str]:
    return [f"{100 * value:.1f} %" for value in values]


def _figure(height: float) -> Figure:
    engine = ConstrainedLayoutEngine(w_pad=MARGIN / DPI / 2, h_pad=0.1)
    return Figure(figsize=(WIDTH / DPI, height), dpi=DPI, layout=engine)


def _pixels(figure: Figure) -> np.ndarray:
    """Returns uint8 [H, WIDTH, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _charts(view: ScoreView) -> Figure:
    """Returns the row of charts of one score."""
    charts = [_histogram]
    charts += [_noise] if view.noisy is not None else []
    charts += [_types] if view.types is not None else []
    figure = _figure(3.5)
    figure.suptitle(view.name, x=MARGIN / WIDTH, ha="left", fontsize=13, fontweight="bold", color=INK)
    for axes, draw in zip(figure.subplots(1, len(charts), squeeze=False)[0], charts, strict=True):
        draw(axes, view)
        axes.tick_params(which="both", labelsize=FONT - 0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    return figure


def _histogram(axes: Axes, view: ScoreView) -> None:
    finite = np.isfinite(view.values)
    if not finite.any():
        raise InputError(f"The score {view.name} has no value to draw", received=f"{len(finite)} that are not finite")
    values = view.values[finite].astype(np.float64)
    low, high, bins = values.min(), values.max(), int(np.clip(np.sqrt(len(values)), 8, 50))
    long_tail = low > 0 and high > LONG_TAIL * np.median(values)
    edges = np.geomspace(low, high, bins + 1) if long_tail else np.histogram_bin_edges(values, bins)
    axes.hist(values, edges.tolist(), color=MIDDLE, label="all")
    if view.noisy is not None:
        axes.hist(values[view.noisy[finite]], edges.tolist(), color=DARK, label="wrong captions")
    part = f"highest {100 * view.kept / len(view.values):.3g} %"
    axes.axvline(view.cut, color=INK, linewidth=1.3, linestyle="--", label=part)
    if long_tail:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    _finish(axes, "Distribution", textwrap.fill(view.unit, 44), f"{view.level}s")


def _noise(axes: Axes, view: ScoreView) -> None:
    if view.noisy is None:
        return
    precision, recall = precision_and_recall(view.order, view.noisy)
    part = np.arange(1, len(recall) + 1) / len(recall)
    axes.plot(part, recall, color=DARK, linewidth=1.8, label="recall")
    axes.plot(part, part, color=DARK, linewidth=1.1, linestyle=":", label="its chance")
    axes.plot(part, precision, color=MIDDLE, linewidth=2.2, label="precision")
    _as_parts(axes)
    _finish(axes, "Wrong captions found", "highest scores looked at", "")


def _types(axes: Axes, view: ScoreView) -> None:
    if view.types is None:
        return
    part = np.arange(1, len(view.order) + 1) / len(view.order)
    axes.plot(part, types_seen(view.order, view.types), color=DARK, linewidth=1.8, label="highest first")
    axes.plot(part, types_seen_by_chance(view.types), color=DARK, linewidth=1.1, linestyle=":", label="by chance")
    _as_parts(axes)
    _finish(axes, "Scene types shown", "highest scores kept", "")


def _as_parts(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(color="#e3e6eb", linewidth=0.8)


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    """Titles the chart; its legend goes between title and chart, where no line can run through it."""
    axes.set_title(title, fontsize=FONT + 1, loc="left", pad=20)
    axes.set_xlabel(across, fontsize=FONT)
    axes.set_ylabel(up, fontsize=FONT)
    legend = axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        frameon=False,
        fontsize=FONT - 1,
        handlelength=1.3,
        handletextpad=0.5,
        columnspacing=1,
        borderaxespad=0.2,
        borderpad=0,
    )
    legend.set_in_layout(False)  # or the chart would be made as narrow as the legend leaves it


def _overlap(subsets: Mapping[str, np.ndarray]) -> Figure:
    """Returns the matrix of Jaccard indices, with what chance would give in parentheses."""
    found, by_chance = jaccard([*subsets.values()]), jaccard_by_chance([*subsets.values()])
    count = len(subsets)
    figure = _figure(1.6 + 0.5 * count)
    axes = figure.subplots()
    axes.imshow(found, cmap="Greys", vmin=0, vmax=1, aspect="auto")
    for row in range(count):
        for column in range(count):
            text = f"{found[row, column]:.2f}" + (f"\n({by_chance[row, column]:.2f})" if row != column else "")
            colour = "white" if found[row, column] > 0.55 else INK
            axes.text(column, row, text, ha="center", va="center", fontsize=FONT, color=colour)
    names = [textwrap.fill(name.replace("-", "- "), 18).replace("- ", "-") for name in subsets]
    axes.set_xticks(range(count), names, fontsize=min(FONT, 60 / count))
    axes.set_yticks(range(count), names, fontsize=FONT)
    axes.tick_params(length=0)
    axes.set_title("Overlap of what is kept: Jaccard index (by chance)", fontsize=FONT + 0.5, loc="left", color=MUTED)
    return figure
