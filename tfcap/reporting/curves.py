"""The curves of training: losses, validation scores and learning rate, epoch by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tfcap.errors import InputError
from tfcap.files import atomic_file
from tfcap.reporting.quality import ACCURACY

Values = Sequence[float | None]

SCORES, RATE = "Validation score x 100", "Learning rate"
OF_CLASSES = f"Validation {ACCURACY.head}"
COLOURS = ("#1f5fbf", "#d9730d", "#2a8a5c", "#8b4fb5", "#5b6472")
DOTTED_UP_TO = 60  # epochs: more dots than that hide the line


def training_curves(path: str | os.PathLike[str], history: Mapping[str, Values]) -> None:
    """Writes a PNG with one panel each for the losses, the validation scores (times 100) and the learning rate.

    Args:
        path: the file to write; an existing one is replaced when the new one is complete.
        history: a list for each quantity with one value per epoch, None where it was not measured. Names that
            end in `loss` are losses, other names that start with `val_` are scores, such as CIDEr or accuracy,
            `learning_rate` is itself, and the rest is not drawn. A panel without any value is left out.

    Raises:
        InputError: nothing to draw.
    """
    panels = [(title, series) for title, series in _panels(history) if series]
    if not panels:
        raise InputError("The history holds nothing to draw", received=", ".join(history) or "nothing")
    figure = Figure(figsize=(4.8 * len(panels), 3.6), dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    epochs = max(map(len, history.values()))
    for axes, (title, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw_panel(axes, title, series)
        axes.set_xlim(1 - 0.4, epochs + 0.4)
    with atomic_file(path) as temporary:
        canvas.print_png(temporary)


def _panels(history: Mapping[str, Values]) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Returns (title, {name: [epochs] float64, NaN where not measured}) of the three panels, some perhaps empty."""
    measured = {}
    for name, values in history.items():
        array = np.array([np.nan if value is None else value for value in values], np.float64)
        array[~np.isfinite(array)] = np.nan
        if not np.isnan(array).all():
            measured[name] = array
    losses = {_title(name): values for name, values in measured.items() if name.endswith("loss")}
    scores = {
        _title(name): 100 * values
        for name, values in measured.items()
        if name.startswith("val_") and not name.endswith("loss")
    }
    rate = {name: values for name, values in measured.items() if name == "learning_rate"}
    return [("Loss", losses), (OF_CLASSES if ACCURACY.name in scores else SCORES, scores), (RATE, rate)]


def _title(name: str) -> str:
    if name == "loss":
        return "training"
    return "validation" if name == "val_loss" else name.removeprefix("val_")


def _draw_panel(axes: Axes, title: str, series: Mapping[str, np.ndarray]) -> None:
    best = title in (SCORES, OF_CLASSES)
    for place, (name, values) in enumerate(series.items()):
        epochs = np.flatnonzero(~np.isnan(values))  # the line goes on over epochs that were not measured
        colour = COLOURS[place % len(COLOURS)]
        dot = "o" if len(epochs) <= DOTTED_UP_TO else ""
        label = f"{name}, best {values[epochs].max():.1f} at epoch {1 + np.nanargmax(values)}" if best else name
        axes.plot(epochs + 1, values[epochs], color=colour, marker=dot, markersize=3.5, linewidth=1.8, label=label)
    axes.set_title(title, fontsize=11, loc="left", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color="#e3e6eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if title == RATE:
        axes.yaxis.set_major_formatter("{x:g}")
    else:
        axes.legend(frameon=False, fontsize=9)
