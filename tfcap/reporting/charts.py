"""Charts that go both into a page, as SVG that follows its colours, and into files of their own."""

from __future__ import annotations

import dataclasses
import io
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tfcap.reporting.palette import Style, themed
from tfcap.reporting.pictures import INK, LINE, MUTED

_POINTS_PER_INCH = 72
_LEGEND = 150  # points
_PNG_DPI = 160
_RULES: dict[Any, Any] = {
    "svg.fonttype": "none",  # words stay words: they can be read aloud, searched and set in the page's font
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "text.parse_math": False,  # a name may hold dollars
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.titlesize": 11,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 10.5,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Panel:
    """One pair of axes.

    Attributes:
      title: above it.
      words: what it shows, for those who cannot see it.
      draw: draws it, in the colours for light ground.
    """

    title: str
    words: str
    draw: Callable[[Axes], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Chart:
    """Panels that belong together: side by side in a file, each for itself in a page, where they wrap.

    Attributes:
      name: of its files.
      title: what it shows.
      note: how it is to be read.
      panels: one or more.
      size: of a panel, width and height in points.
      key: the series by name, for the legend of the file; a page has its own.
      hidden: places of series that are not in the file, and not in a page before they are chosen.
      one_at_a_time: a page shows one panel, and which is chosen there.
      label: of what runs it is, such as their protocol; stands beside the title, and below the panels of a file.
    """

    name: str
    title: str
    note: str
    panels: Sequence[Panel]
    size: tuple[float, float] = (390, 290)
    key: Mapping[str, Style] = dataclasses.field(default_factory=dict)
    hidden: Collection[int] = ()
    one_at_a_time: bool = False
    label: str = ""

    def inline(self, prefix: str = "") -> list[str]:
        """Returns the panels as SVG elements to be put into one page under names that begin with `prefix`."""
        return [
            _element(_svg(self._figure([panel]), f"{prefix}{self.name}-{place}"), panel.words)
            for place, panel in enumerate(self.panels)
        ]

    def files(self) -> dict[str, bytes]:
        """Returns the chart as SVG and PNG, by file name; the same bytes each time."""
        with matplotlib.rc_context(_RULES):
            key = {name: style for name, style in self.key.items() if style.place not in self.hidden}
            figure = self._figure(self.panels, key)
            if self.label:
                figure.supxlabel(self.label, x=0.01, ha="left", fontsize=9.5, color=MUTED)
            hidden = {series_name(place) for place in self.hidden}
            for artist in figure.findobj(lambda artist: artist.get_gid() in hidden):
                artist.set_visible(False)
            drawn = io.BytesIO()
            FigureCanvasAgg(figure).print_png(drawn, metadata={"Software": None})
        return {f"{self.name}.svg": _svg(figure, self.name).encode(), f"{self.name}.png": drawn.getvalue()}

    def _figure(self, panels: Sequence[Panel], key: Mapping[str, Style] = MappingProxyType({})) -> Figure:
        with matplotlib.rc_context(_RULES):
            columns = min(len(panels), max(1, round(960 / self.size[0])))
            rows = math.ceil(len(panels) / columns)
            width, height = columns * self.size[0] + (_LEGEND if key else 0), rows * self.size[1]
            figure = Figure((width / _POINTS_PER_INCH, height / _POINTS_PER_INCH), _PNG_DPI, layout="constrained")
            for panel, axes in zip(panels, figure.subplots(rows, columns, squeeze=False).flat, strict=False):
                axes.set_title(panel.title)
                panel.draw(axes)
            for axes in figure.axes[len(panels) :]:
                axes.set_axis_off()
            if key:
                _legend(figure, key)
        return figure


def _legend(figure: Figure, key: Mapping[str, Style]) -> None:
    lines = [
        Line2D([], [], color=style.colour, marker=style.marker, linestyle=style.dashes, markersize=5, linewidth=1.6)  # type: ignore[arg-type]
        for style in key.values()
    ]
    figure.legend(lines, list(key), loc="outside right center", frameon=False, fontsize=9.5, handlelength=3.2)


def series_name(place: int) -> str:
    """Returns the id by which the artists of a series are found in a page, to be given to `set_gid`."""
    return f"series:{place}"


def _svg(figure: Figure, salt: str) -> str:
    drawn = io.BytesIO()
    with matplotlib.rc_context({**_RULES, "svg.hashsalt": salt}):
        FigureCanvasSVG(figure).print_svg(drawn, metadata={"Date": None, "Creator": None})
    return drawn.getvalue().decode()


def _element(svg: str, words: str) -> str:
    """Returns a whole SVG file as an element of a page, in the page's font and colours, with its own ids alone."""
    svg = themed(svg[svg.index("<svg") :])
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="series:(\d+)"', r' data-series="\1"', svg)
    needed = set(re.findall(r"[(\"]#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in needed else "", svg)
    svg = svg.replace("'DejaVu Sans', sans-serif", "var(--font)")
    svg = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), svg)
    box = re.search(r'viewBox="([^"]*)"', svg)
    if box is None:
        raise ValueError("Matplotlib wrote an SVG without a viewBox")
    label = words.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    opening = f'<svg viewBox="{box[1]}" role="img" aria-label="{label}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return opening + svg[svg.index(">") + 1 :].strip()
