"""The colours of a report, each on light and on dark ground, and what tells series apart without them."""

from __future__ import annotations

import dataclasses
import re

from tfcap.reporting.pictures import INK, LINE, MUTED

# By name: on light ground, on dark ground. No two are equal on light ground, since `themed` finds them by that.
# The series are apart for people who see no red or no green, and stand out from the paper by 3 to 1 or more.
COLOURS = {
    "paper": ("#ffffff", "#171a20"),
    "ink": (INK, "#e9ecf1"),
    "muted": (MUTED, "#a3acb9"),
    "line": (LINE, "#39404b"),
    "series-0": ("#0067a6", "#56b0f0"),
    "series-1": ("#d04a02", "#ff9254"),
    "series-2": ("#00805e", "#41cfa4"),
    "series-3": ("#b5488c", "#f293cb"),
    "series-4": ("#8f6b00", "#e5c14b"),
    "series-5": ("#7a1f4b", "#c3b1ff"),
    "series-6": ("#1a8cb4", "#8adcf5"),
}
SERIES = 7
# Matplotlib's name of each marker, and its outline around (0, 0) for a key in the page. The round one is of no series.
PLAIN_MARKER = "o"
MARKERS = {
    "s": "M-3.6 -3.6h7.2v7.2h-7.2z",
    "^": "M0 -4.4L4.4 3.6H-4.4z",
    "D": "M0 -4.8L4.8 0L0 4.8L-4.8 0z",
    "v": "M0 4.4L4.4 -3.6H-4.4z",
    "<": "M-4.4 0L3.6 -4.4V4.4z",
}
_ROUND = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z"
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.6)))
DASH_ARRAYS = ("none", "8 3", "2 2.5")  # the same in a page


@dataclasses.dataclass(frozen=True)
class Style:
    """How the series at a place is drawn; 105 places differ in colour, marker or dashes.

    Attributes:
      place: among all series.
      plain: it is what the others are compared with, and is drawn in ink.
    """

    place: int
    plain: bool = False

    @property
    def name(self) -> str:
        """Of its colour."""
        return "ink" if self.plain else f"series-{self.place % SERIES}"

    @property
    def colour(self) -> str:
        """On light ground."""
        return COLOURS[self.name][0]

    @property
    def marker(self) -> str:
        """By Matplotlib's name."""
        return PLAIN_MARKER if self.plain else list(MARKERS)[self.place % len(MARKERS)]

    @property
    def outline(self) -> str:
        """Of the marker, as an SVG path around (0, 0)."""
        return _ROUND if self.plain else MARKERS[self.marker]

    @property
    def _dash(self) -> int:
        return 0 if self.plain else self.place // SERIES % len(DASHES)

    @property
    def dashes(self) -> object:
        """A line style of Matplotlib."""
        return DASHES[self._dash]

    @property
    def dash_array(self) -> str:
        """The same for SVG."""
        return DASH_ARRAYS[self._dash]


def themed(svg: str) -> str:
    """Returns a drawing made in the colours for light ground with CSS variables in their place."""
    names = {light: name for name, (light, _) in COLOURS.items()}
    return re.sub("|".join(names), lambda found: f"var(--{names[found[0]]})", svg)


def variables(dark: bool) -> str:
    """Returns the CSS that sets the variables of `themed`."""
    return "".join(f"--{name}:{of_theme[dark]};" for name, of_theme in COLOURS.items())
