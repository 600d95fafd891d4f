"""Progress bars: lively on a terminal, a line every half minute in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(
    total: int | None,
    title: str,
    unit: str,
    *,
    over: Iterable[Any] | None = None,
    shown: bool = True,
    done: int = 0,
    passing: bool = False,
) -> tqdm[Any]:
    """Returns a tqdm bar on standard error; use it as a context manager, or iterate over it.

    Args:
      total: units of work, where known.
      over: what an iteration over the bar yields.
      done: units done by an earlier run.
      passing: the bar is wiped when it is full.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        over,
        total=total,
        desc=title,
        unit=unit,
        initial=done,
        disable=not shown or (passing and not terminal),
        leave=not passing,
        mininterval=0.1 if terminal else 30.0,
        dynamic_ncols=True,
    )
