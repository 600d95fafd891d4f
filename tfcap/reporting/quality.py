"""How good a run is, in words: by CIDEr of its captions, or by accuracy of its classes."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Quality:
    """A number that says how good a run is, shown times 100.

    Attributes:
      model: what it is of.
      name: as in metrics.json.
      head: over a column of its values, and along an axis.
      words: the same in a sentence.
      sign: behind a value in a sentence.
      text, texts: what is said of a picture, and of several.
      verdicts: what a picture's scores 0 and 1 are called; nothing where they are numbers of any size.
    """

    model: str
    name: str
    head: str
    words: str
    sign: str
    text: str
    texts: str
    verdicts: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its words at the beginning of a sentence."""
        return self.words[0].upper() + self.words[1:]

    def said(self, value: float) -> str:
        """Returns a value, which is not yet times 100, by name."""
        return f"{self.name} {100 * value:.1f}{self.sign}"


CIDER = Quality("captioner", "CIDEr", "CIDEr x 100", "CIDEr x 100", "", "caption", "captions")
ACCURACY = Quality(
    "classifier", "accuracy", "accuracy, %", "accuracy in %", " %", "class", "classes", ("wrong", "right")
)
QUALITIES = {one.name: one for one in (CIDER, ACCURACY)}
