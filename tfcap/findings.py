"""What the cells of a grid say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfcap.evaluation.crossed import Estimate, mean_over_seeds


def estimates(cells: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[float, Estimate]]:
    """Returns the mean CIDEr over seeds and test images, by method and fraction.

    Args:
      cells: by name, what study.json holds of each: its `axes` and `per_image`.
    """
    grouped: dict[tuple[str, float], list[list[float]]] = defaultdict(list)
    for cell in cells.values():
        axes = cell["axes"]
        method = " ".join(value for name, value in axes.items() if name not in ("seed", "fraction")) or "all cells"
        grouped[method, float(axes.get("fraction", 1))].append(cell["per_image"]["CIDEr"])
    found: dict[str, dict[float, Estimate]] = defaultdict(dict)
    for (method, fraction), values in grouped.items():
        found[method][fraction] = mean_over_seeds(np.array(values))
    return dict(found)
