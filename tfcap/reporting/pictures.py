"""A sheet of captioned samples: each picture with what the captioner said of it and what people said."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from tfcap.errors import InputError
from tfcap.files import atomic_file
from tfcap.reporting.lettering import Paragraph

MAX_SAMPLES = 100
MAX_COLUMNS = 6
BOX = 320  # pixels: the square a picture is fitted into
PADDING = 14
GAP = 18
MARGIN = 24
CARD_WIDTH = BOX + 2 * PADDING

HEADING = "Bold: predicted caption. Grey: human captions. CIDEr x 100."
HEADING_OF_CLASSES = "Bold: predicted class. Grey: the right one."

PAPER, CARD, MAT, LINE = "#eef0f3", "#ffffff", "#f6f7f9", "#d5d9e0"
INK, MUTED, ACCENT = "#14181f", "#5b6472", "#1f5fbf"


@dataclasses.dataclass(frozen=True, eq=False)
class Sample:
    """One picture with what the captioner said of it and what people said."""

    image: np.ndarray  # [H, W, 3] uint8, any size
    prediction: str
    references: Sequence[str]
    score: float  # CIDEr of this image as pycocoevalcap returns it, shown times 100; of a class 1 if it is right
    label: str = ""
    classified: bool = False  # it has a class in place of captions


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """One picture with its captions and what is said of it."""

    image: np.ndarray  # [H, W, 3] uint8, any size
    captions: Sequence[str]
    label: str
    score: str


@dataclasses.dataclass(frozen=True)
class _Card:
    """One picture with its text, scaled and broken into lines."""

    picture: Image.Image
    label: Paragraph
    score: Paragraph
    prediction: Paragraph | None
    references: list[Paragraph]

    @property
    def text_height(self) -> int:
        said = sum(paragraph.height + 6 for paragraph in self.references)
        predicted = self.prediction.height + 10 if self.prediction else 0
        return self.score.height + 4 + predicted + said


def samples_sheet(path: str | os.PathLike[str], samples: Sequence[Sample]) -> None:
    """Writes a PNG in which each sample shows its picture, score, predicted caption and up to three references.

    Pictures are scaled into one box, whatever their sizes, with their aspect kept. Long captions end in an ellipsis.

    Args:
        path: the file to write; an existing one is replaced when the new one is complete.
        samples: 1 to 100.

    Raises:
        InputError: no samples or too many, or an image that is not uint8 [H, W, 3].
    """
    with atomic_file(path) as temporary:
        _sheet(samples).save(temporary, format="PNG")


def sheet_pixels(samples: Sequence[Sample]) -> np.ndarray:
    """Returns the sheet that `samples_sheet` writes, as uint8 [H, W, 3]."""
    return np.asarray(_sheet(samples))


def columns_pixels(columns: Mapping[str, Sequence[Example]]) -> np.ndarray:
    """Returns uint8 [H, W, 3]: a column for each heading, all of the same number of examples.

    The examples of one heading alone stand side by side, in as many columns as suit them.
    """
    cards = [_card_of(example, None, INK) for row in zip(*columns.values(), strict=True) for example in row]
    return np.asarray(_drawn(cards, len(columns) if len(columns) > 1 else _columns(len(cards)), list(columns)))


def _sheet(samples: Sequence[Sample]) -> Image.Image:
    if not 1 <= len(samples) <= MAX_SAMPLES:
        raise InputError("A sheet has no place for that", received=f"{len(samples)} samples", expected="1 to 100")
    cards = [_card(sample, place) for place, sample in enumerate(samples)]
    heading = HEADING_OF_CLASSES if samples[0].classified else HEADING
    return _drawn(cards, _columns(len(cards)), [heading])


def _card(sample: Sample, place: int) -> _Card:
    image = sample.image
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        received = f"{image.dtype} {list(image.shape)} at sample {place}"
        raise InputError("A sample's image cannot be shown", received=received, expected="uint8 [H, W, 3]")
    silent = not sample.prediction.strip()
    prediction = Paragraph(
        "(no words)" if silent else sample.prediction,
        width=BOX,
        size=19,
        colour=MUTED if silent else INK,
        bold=True,
        max_lines=4,
    )
    if sample.classified:
        score = "right" if sample.score else "wrong"
    else:
        score = "CIDEr " + (f"{100 * sample.score:.1f}" if math.isfinite(sample.score) else "-")
    return _card_of(Example(image, sample.references, sample.label, score), prediction, MUTED)


def _card_of(example: Example, prediction: Paragraph | None, colour: str) -> _Card:
    """Returns the card of an example, its captions in this colour below what was predicted."""
    score = Paragraph(example.score, width=BOX, size=15, colour=ACCENT, bold=True)
    room = BOX - round(score.font.getlength(example.score)) - 12
    return _Card(
        picture=_fitted(example.image),
        label=Paragraph(example.label, width=room, size=13, colour=MUTED),
        score=score,
        prediction=prediction,
        references=[
            Paragraph(caption, width=BOX - 16, size=15, colour=colour, max_lines=2)
            for caption in [text for text in example.captions if text.strip()][:3]
        ],
    )


def _fitted(image: np.ndarray) -> Image.Image:
    """Returns the image scaled so that its longer side is the box's."""
    height, width = image.shape[:2]
    scale = BOX / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    resample = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.HAMMING  # the latter has no halos
    return Image.fromarray(np.ascontiguousarray(image)).resize(size, resample, reducing_gap=3.0)


def _columns(samples: int) -> int:
    """Returns how many columns make a sheet a little wider than high, which screens show best."""
    return samples if samples <= 4 else min(MAX_COLUMNS, math.ceil(math.sqrt(1.3 * samples)))


def _drawn(cards: Sequence[_Card], columns: int, headings: Sequence[str]) -> Image.Image:
    """Returns the sheet: the headings side by side, then rows of cards, each row as high as its longest text."""
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    box_height = max(card.picture.height for card in cards)
    heights = [2 * PADDING + box_height + 10 + max(card.text_height for card in row) for row in rows]
    width = 2 * MARGIN + columns * CARD_WIDTH + (columns - 1) * GAP
    apart = (width - 2 * MARGIN + GAP) // len(headings)
    above = [Paragraph(text, width=apart - GAP, size=15, colour=MUTED, max_lines=2) for text in headings]
    top = MARGIN + max(heading.height for heading in above) + 12
    sheet = Image.new("RGB", (width, top + sum(heights) + GAP * (len(rows) - 1) + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, heading in enumerate(above):
        heading.draw(draw, MARGIN + place * apart, MARGIN)
    for row, height in zip(rows, heights, strict=True):
        for column, card in enumerate(row):
            _draw_card(sheet, draw, card, (MARGIN + column * (CARD_WIDTH + GAP), top), (box_height, height))
        top += height + GAP
    return sheet


def _draw_card(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, card: _Card, corner: tuple[int, int], heights: tuple[int, int]
) -> None:
    """Draws one card at `corner` (left, top); `heights` are those of the picture's box and of the whole card."""
    left, top = corner
    box_height, height = heights
    draw.rounded_rectangle((left, top, left + CARD_WIDTH - 1, top + height - 1), 10, fill=CARD, outline=LINE)
    left, top = left + PADDING, top + PADDING
    draw.rectangle((left, top, left + BOX - 1, top + box_height - 1), fill=MAT)
    picture = card.picture
    sheet.paste(picture, (left + (BOX - picture.width) // 2, top + (box_height - picture.height) // 2))
    top += box_height + 10
    score_width = round(card.score.font.getlength(card.score.lines[0]))
    card.label.draw(draw, left, top)
    card.score.draw(draw, left + BOX - score_width, top)
    top += card.score.height + 4
    if card.prediction:
        card.prediction.draw(draw, left, top)
        top += card.prediction.height + 10
    for reference in card.references:
        draw.line((left + 3, top + 4, left + 3, top + reference.height - 5), fill=LINE, width=3)
        reference.draw(draw, left + 16, top)
        top += reference.height + 6
