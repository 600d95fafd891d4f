"""The table of a grid of experiments: a row a method, a column a fraction, means over the seeds with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tfcap.reporting.tables import ABSENT, aligned


def study_table(found: Mapping[str, Mapping[float, Any]]) -> str:
    """Returns CIDEr x 100 of each method at each fraction, as mean and half of its 95 % interval.

    Args:
      found: estimates with value, low, high and seeds, by method and fraction.
    """
    lines = _lines("CIDEr x 100", found, _words)
    seeds = sorted({estimate.seeds for row in found.values() for estimate in row.values()})
    note = f"mean over {' or '.join(map(str, seeds))} seeds and all test images with 95 % intervals; * one seed"
    return "\n".join([*lines, note])


def noise_table(found: Mapping[str, Mapping[float, float]]) -> str:
    """Returns the percentage of the kept examples that have wrong captions, by method and fraction."""
    return "\n".join(_lines("wrong, in %", found, lambda part: f"{100 * part:.1f}"))


def _lines(title: str, found: Mapping[str, Mapping[float, Any]], words: Callable[[Any], str]) -> list[str]:
    fractions = sorted({fraction for row in found.values() for fraction in row})
    rows = [[title, *(f"{100 * fraction:g} %" for fraction in fractions)]]
    for method, row in found.items():
        rows.append([method, *(words(row[fraction]) if fraction in row else ABSENT for fraction in fractions)])
    return aligned(rows, "<" + ">" * len(fractions))


def _words(estimate: Any) -> str:
    half = (estimate.high - estimate.low) / 2
    return f"{100 * estimate.value:.1f} ± {100 * half:.1f}" + ("*" if estimate.seeds == 1 else "")
