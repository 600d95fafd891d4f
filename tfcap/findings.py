"""What the cells of a grid say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfcap.evaluation.crossed import Estimate, mean_over_seeds


def estimates(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[float, Estimate]]:
    """Returns the mean CIDEr over seeds and test images, by method and fraction.

    Args:
      cells: by name, what study.json holds of each: its `axes` and `per_image`.
    """
    grouped = _grouped(cells, lambda cell: cell["per_image"]["CIDEr"])
    return {
        method: {fraction: mean_over_seeds(np.array(values)) for fraction, values in row.items()}
        for method, row in grouped.items()
    }


def noise_kept(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[float, float]]:
    """Returns which part of the kept examples has wrong captions, the mean over seeds, by method and fraction.

    Empty for data sets that do not record it.

    Args:
      cells: as of `estimates`, with their `metrics`.
    """
    known = {name: cell for name, cell in cells.items() if "noise_rate_kept" in cell["metrics"]}
    grouped = _grouped(known, lambda cell: cell["metrics"]["noise_rate_kept"])
    return {
        method: {fraction: float(np.mean(values)) for fraction, values in row.items()}
        for method, row in grouped.items()
    }


def _grouped(
    cells: Mapping[str, Mapping[str, Any]], value: Callable[[Mapping[str, Any]], Any]
) -> dict[str, dict[float, list[Any]]]:
    """Returns the values of the cells, one a seed, by method and fraction."""
    found: dict[str, dict[float, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells.values():
        axes = cell["axes"]
        found[method_of(axes)][float(axes.get("fraction", 1))].append(value(cell))
    return found


def method_of(axes: Mapping[str, str]) -> str:
    """Returns the name of what a cell tries: its values on all axes but the fraction's and the seed's."""
    return " ".join(word for name, word in axes.items() if name not in ("seed", "fraction")) or "all cells"
