"""The tables of retrieval: R@K both ways, by method and number of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfcap.reporting.tables import ABSENT, aligned

_DIRECTIONS = ("image_to_text", "text_to_image")

Cell = Mapping[str, Mapping[str, Any]]  # by direction and recall
BySize = Mapping[str, Mapping[int, Cell]]  # by method and size


def retrieval_tables(found: BySize, whole: str = "") -> str:
    """Returns for each size a table of R@1, R@5 and R@10 both ways, as mean and half of the 95 % interval, in percent.

    Args:
      found: estimates with value, low, high and seeds.
      whole: the method that stands for all pairs, and ends every table.
    """
    of_all = next(iter(found.get(whole, {}).values()), None)
    methods = [method for method in found if method != whole]
    sizes = sorted({size for method in methods for size in found[method]})
    parts = [_of_size(size, {method: found[method].get(size) for method in methods}, whole, of_all) for size in sizes]
    if not sizes and not of_all:
        return "no set was judged"
    shown = [cell for method in methods for cell in found[method].values()] + ([of_all] if of_all else [])
    seeds = sorted({one.seeds for cell in shown for of_direction in cell.values() for one in of_direction.values()})
    counted = "1 seed" if seeds == [1] else f"{' or '.join(map(str, seeds))} seeds"
    note = (
        f"percent of the test images, and of their captions averaged by image; mean over {counted} with 95 % intervals"
    )
    return "\n\n".join([*parts, f"  {note}{'; * one seed' if 1 in seeds else ''}"])


def _of_size(size: int, cells: Mapping[str, Cell | None], whole: str, of_all: Cell | None) -> str:
    recalls = ("R@1", "R@5", "R@10")
    head = [f"{size:,} pairs", *(f"{recall} {word}" for word in ("i>t", "t>i") for recall in recalls)]
    rows = [head]
    for method, cell in [*cells.items(), *([(whole, of_all)] if of_all else [])]:
        words = [_words(cell[name][recall]) for name in _DIRECTIONS for recall in recalls] if cell else []
        rows.append([method, *(words or [ABSENT] * (len(head) - 1))])
    return "\n".join(aligned(rows, "<" + ">" * (len(head) - 1)))


def _words(one: Any) -> str:
    value = f"{100 * one.value:.1f}"
    return f"{value}*" if one.seeds == 1 else f"{value} ± {50 * (one.high - one.low):.1f}"
