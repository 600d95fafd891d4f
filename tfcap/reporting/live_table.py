"""What a grid of experiments has found so far: a table redrawn in place on a terminal, a line an event elsewhere."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tfcap.reporting.quality import Quality

_WAITING, _RUNNING, _FINISHED, _FAILED = "waiting", "running", "finished", "failed"
_REFRESHES = 2  # a second


@dataclasses.dataclass
class _Cell:
    """One experiment: where it stands in the table, how far it is, and its quality x 100 once it is finished."""

    method: str
    fraction: float
    state: str = _WAITING
    value: float = 0.0


class LiveTable:
    """The state of each cell of a grid, by method and fraction; a context manager.

    Args:
      places: by the cell's name, its method and fraction.
      quality: what says how good a cell is.
      console: where to draw; by itself standard error.
    """

    def __init__(
        self, places: Mapping[str, tuple[str, float]], quality: Quality, console: Console | None = None
    ) -> None:
        self._title = f"{quality.head} so far, and of how many seeds"
        self._cells = {name: _Cell(*place) for name, place in places.items()}
        self._console = console or Console(stderr=True, soft_wrap=True)
        self._began, self._end = time.monotonic(), 0.0
        self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=_REFRESHES)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def found(self, name: str, value: float) -> None:
        """An earlier process has finished this cell."""
        self._cells[name].state, self._cells[name].value = _FINISHED, value

    def started(self, name: str) -> None:
        """The cell has been started."""
        self._cells[name].state = _RUNNING

    def finished(self, name: str, value: float, words: str) -> None:
        """The cell is finished; `words` say what it found."""
        self.found(name, value)
        self._say(words)

    def failed(self, name: str, why: str) -> None:
        """The cell has failed."""
        self._cells[name].state = _FAILED
        self._say(f"{name} failed: {why}")

    def expect(self, seconds: float) -> None:
        """All cells are expected to have ended after so many seconds from now."""
        self._end = time.monotonic() + seconds

    def _say(self, words: str) -> None:
        if not self._console.is_terminal:
            words = f"{words} ({self._progress()})"
        self._console.print(words, markup=False, highlight=False)

    def _progress(self) -> str:
        now, states = time.monotonic(), [cell.state for cell in self._cells.values()]
        ended = sum(state in (_FINISHED, _FAILED) for state in states)
        words = f"{ended} of {len(states)} cells, {(now - self._began) / 60:.1f} min"
        return words if ended == len(states) else f"{words}, about {max(0.0, self._end - now) / 60:.0f} min left"

    def _drawn(self) -> Table:
        fractions = sorted({cell.fraction for cell in self._cells.values()})
        table = Table(title=self._title, caption=self._progress(), show_lines=False)
        table.add_column("")
        for fraction in fractions:
            table.add_column(f"{100 * fraction:g} %", justify="right")
        for method in dict.fromkeys(cell.method for cell in self._cells.values()):
            table.add_row(method, *(self._entry(method, fraction) for fraction in fractions))
        return table

    def _entry(self, method: str, fraction: float) -> str:
        """Returns the mean so far, and how many seeds are finished, run or failed where that is not all."""
        cells = [cell for cell in self._cells.values() if (cell.method, cell.fraction) == (method, fraction)]
        if not cells:
            return ""
        done = [cell.value for cell in cells if cell.state == _FINISHED]
        words = [f"{sum(done) / len(done):.1f}"] if done else []
        if len(done) < len(cells):
            words.append(f"{len(done)}/{len(cells)}")
        for state in (_RUNNING, _FAILED):
            several = sum(cell.state == state for cell in cells)
            words += [f"{several} {state}"] if several else []
        return " ".join(words)
