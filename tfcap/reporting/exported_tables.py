"""Tables that a page shows and that files hold as CSV, LaTeX (booktabs) and Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Callable, Sequence

from tfcap.reporting.tables import ABSENT

Cell = str | float | int | None  # None is what there is no value for


@dataclasses.dataclass(frozen=True)
class Column:
    """A column; of numbers with this many decimals, or of words."""

    title: str
    decimals: int | None = None


@dataclasses.dataclass(frozen=True)
class Interval:
    """A value with the bounds of its 95 % interval, all in the unit that is shown; shown with half its width."""

    value: float
    low: float
    high: float
    mark: str = ""

    def __str__(self) -> str:
        half = (self.high - self.low) / 2
        return f"{self.value:{self._sign}.1f}" + (f" ± {half:.1f}" if half == half else "") + self.mark

    @property
    def _sign(self) -> str:
        return ""


class Signed(Interval):
    """A difference, whose sign is always shown."""

    @property
    def _sign(self) -> str:
        return "+"


class Bounded(Interval):
    """A value whose interval need not be even, and so is shown with its bounds; in whole numbers."""

    def __str__(self) -> str:
        bounds = f" [{self._word(self.low)}, {self._word(self.high)}]" if self.low == self.low else ""
        return f"{self._word(self.value)}{bounds}{self.mark}"

    def _word(self, value: float) -> str:
        return f"{value:.0f}"


@dataclasses.dataclass(frozen=True)
class Reaching(Bounded):
    """Likewise, where `least` stands for that much or less."""

    least: float = 0.0

    def _word(self, value: float) -> str:
        return ("≤ " if value <= self.least else "") + f"{value:.0f}"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      name: of its files.
      title: what it holds.
      note: how it is to be read.
      columns: their titles.
      rows: a cell for each column.
    """

    name: str
    title: str
    note: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | Interval]]

    def shown(self, row: Sequence[Cell | Interval]) -> list[str]:
        """Returns a row in words."""
        return [_shown(cell, column) for cell, column in zip(row, self.columns, strict=True)]

    @property
    def is_marked(self) -> bool:
        """Whether a value has a mark, for which a page leaves room behind the others."""
        return any(mark_of(cell) for row in self.rows for cell in row)

    def csv(self) -> str:
        """Returns the table as CSV; numbers as they are, an interval as it is shown."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.title for column in self.columns])
        writer.writerows([["" if cell is None else str(cell) for cell in row] for row in self.rows])
        return text.getvalue()

    def markdown(self) -> str:
        """Returns the table as GitHub's Markdown."""
        ruler = ["---" if self.is_words(place) else "---:" for place in range(len(self.columns))]
        lines = [self._words(_in_markdown), ruler, *self._body(_in_markdown)]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

    def latex(self) -> str:
        """Returns the table as LaTeX, for the package booktabs."""
        sides = "".join("l" if self.is_words(place) else "r" for place in range(len(self.columns)))
        head, *body = (" & ".join(line) + r" \\" for line in [self._words(_in_latex), *self._body(_in_latex)])
        lines = [
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return "\n".join(lines) + "\n"

    def texts(self) -> dict[str, str]:
        """Returns the table in every form, by the ending of its file."""
        return {"csv": self.csv(), "tex": self.latex(), "md": self.markdown()}

    def is_words(self, place: int) -> bool:
        """Whether a column holds words, which stand at its left."""
        return self.columns[place].decimals is None and not any(isinstance(row[place], Interval) for row in self.rows)

    def _words(self, escaped: Callable[[str], str]) -> list[str]:
        return [escaped(column.title) for column in self.columns]

    def _body(self, escaped: Callable[[str], str]) -> list[list[str]]:
        return [[escaped(text) for text in self.shown(row)] for row in self.rows]


def mark_of(cell: Cell | Interval) -> str:
    """Returns the mark with which the words of a cell end."""
    return cell.mark if isinstance(cell, Interval) else ""


def sort_key(cell: Cell | Interval) -> str:
    """Returns what a page sorts the cell by: a number in digits, else its words."""
    if isinstance(cell, Interval):
        return repr(cell.value)
    return "" if cell is None else str(cell)


def _shown(cell: Cell | Interval, column: Column) -> str:
    if cell is None:
        return ABSENT
    if isinstance(cell, float | int) and column.decimals is not None:
        return f"{cell:,.{column.decimals}f}"
    return str(cell)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "▲": r"$\bigtriangleup$",
    "▼": r"$\bigtriangledown$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))
