"""Under which licence the images and captions of a data set are, as far as that was said."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Licence:
    """What is known of a licence.

    Attributes:
      words: a sentence or two on it.
      identifier: as Hugging Face writes it; `other` for one that has none there, `unknown` where none was said.
      name: of one that is `other`.
      url: of its text, or of the page that states it.
    """

    words: str
    identifier: str = "unknown"
    name: str = ""
    url: str = ""

    @property
    def header(self) -> dict[str, str]:
        """What the header of a card says of it."""
        return {"license": self.identifier, "license_name": self.name, "license_link": self.url if self.name else ""}

    @property
    def one(self) -> str:
        """What a field with room for one word or address says of it; nothing where it is not known."""
        return self.url or self.name or ("" if self.identifier == "unknown" else self.identifier)


UNKNOWN = Licence("No licence was stated to tfcap.")
