"""Lettering on pictures: a font that has the text's characters, and lines that fit a width."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

ELLIPSIS = "…"
NO_BREAK_SPACE = "\u00a0"

# DejaVu Sans comes with Matplotlib, so the same text looks the same on every machine. What it lacks (Chinese,
# Japanese, Korean, Indic scripts) is taken from the first of these families that the machine has.
FALLBACK_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "Hiragino Sans",
    "PingFang SC",
    "Arial Unicode MS",
    "Noto Sans Devanagari",
    "Nirmala UI",
    "Noto Sans",
    "Noto Emoji",
)


@functools.cache
def _font_files(bold: bool) -> tuple[Path, ...]:
    """Returns the files of fonts to choose from, the preferred one first."""
    own = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    wanted = 700 if bold else 400
    nearest: dict[str, tuple[float, Path]] = {}
    for entry in font_manager.fontManager.ttflist:
        weight = entry.weight if isinstance(entry.weight, int) else 400
        distance = abs(weight - wanted) + (1000 if entry.style != "normal" else 0)
        if entry.name in FALLBACK_FAMILIES and distance < nearest.get(entry.name, (float("inf"),))[0]:
            nearest[entry.name] = (distance, Path(entry.fname))
    return own, *(nearest[name][1] for name in FALLBACK_FAMILIES if name in nearest)


@functools.cache
def _characters(font_file: Path) -> frozenset[int]:
    return frozenset(FT2Font(str(font_file)).get_charmap())


@functools.cache
def _load(font_file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(font_file), size)


def font_for(text: str, size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Returns the font, `size` pixels high, that has most of the characters of `text`; the preferred one on a tie."""
    wanted = {ord(character) for character in text if not character.isspace()}
    best = max(_font_files(bold), key=lambda file: len(wanted & _characters(file)))  # max keeps the first of equals
    return _load(best, size)


def printable(text: str) -> str:
    """Returns `text` on one line, without control characters and lone surrogates, which cannot be drawn."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c for c in " ".join(text.split()) if c.isprintable() or c == "\u200d")


def _pieces(text: str, font: ImageFont.FreeTypeFont, width: int) -> Iterator[str]:
    """Yields the words of `text`; one wider than `width` pixels, as in scripts without spaces, comes in parts."""
    for word in filter(None, text.split(" ")):
        rest = word
        while font.getlength(rest) > width and len(rest) > 1:
            low, high = 1, len(rest)  # the first `low` characters fit (or are one), the first `high` do not
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if font.getlength(rest[:middle]) <= width else (low, middle)
            yield rest[:low]
            rest = rest[low:]
        yield rest


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int, max_lines: int) -> list[str]:
    """Breaks `text` into at most `max_lines` lines of at most `width` pixels; an ellipsis ends what was cut."""
    bound = max_lines * width  # no line holds more characters than pixels: a huge text costs no more than a long one
    lines: list[str] = []
    line = ""
    for piece in _pieces(text[:bound], font, width):
        longer = f"{line} {piece}" if line else piece
        if font.getlength(longer) <= width or not line:
            line = longer
            continue
        lines.append(line)
        if len(lines) == max_lines:
            return [*lines[:-1], _with_ellipsis(line, font, width)]
        line = piece
    if len(text) > bound:
        line = _with_ellipsis(line, font, width)
    return [*lines, line] if line else lines


def _with_ellipsis(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    while line and font.getlength(line + ELLIPSIS) > width:
        line = line[:-1].rstrip()
    return line + ELLIPSIS


class Paragraph:
    """Text broken into lines, ready to be drawn."""

    def __init__(
        self, text: str, *, width: int, size: int, colour: str, bold: bool = False, max_lines: int = 1
    ) -> None:
        # Tokenised captions have a space before punctuation, which must not begin a line.
        text = re.sub(r" (?=[.,;:!?](?: |$))", NO_BREAK_SPACE, printable(text))
        self.font = font_for(text, size, bold)
        self.lines = wrap(text, self.font, width, max_lines)
        self.colour = colour
        self.line_height = round(1.35 * size)

    @property
    def height(self) -> int:
        """Height in pixels; 0 for a text without lines."""
        return self.line_height * len(self.lines)

    def draw(self, draw: ImageDraw.ImageDraw, left: int, top: int) -> None:
        """Draws the lines below `top`, from `left` on."""
        for row, line in enumerate(self.lines):
            baseline = top + row * self.line_height + round(0.75 * self.line_height)
            draw.text((left, baseline), line, font=self.font, fill=self.colour, anchor="ls")
