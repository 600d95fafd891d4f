"""What could not be used of a source, why, and when there is too much of it."""

from __future__ import annotations

import json
from pathlib import Path

from tfcap.errors import InputError
from tfcap.files import write_text

FILE = "quarantine.jsonl"
MAX_BAD_FRACTION = 0.01


class Quarantine:
    """Collects files that were left out whole or in part; each is a line of `quarantine.jsonl`."""

    def __init__(self) -> None:
        self._entries: list[dict[str, str]] = []
        self._bad: list[str] = []

    def note(self, filename: str, reason: str) -> None:
        """Notes a file that was used in part."""
        self._entries.append({"filename": filename, "reason": reason})

    def reject(self, filename: str, reason: str) -> None:
        """Notes a bad image: one that was not used."""
        self.note(filename, reason)
        self._bad.append(f"{filename} ({reason})")

    def stop_if_too_bad(self, images: int, read: int) -> None:
        """Raises InputError if more than MAX_BAD_FRACTION of `images` are bad; `read` is how many were read so far."""
        if len(self._bad) <= MAX_BAD_FRACTION * images:
            return
        so_far = "" if read >= images else f" (stopped after {read:,})"
        raise InputError(
            f"{len(self._bad):,} of {images:,} images are bad{so_far}, and at most {MAX_BAD_FRACTION:.0%} may be",
            received=", ".join(self._bad[:3]),
            remedy="Mend them, or remove them from the source.",
        )

    def write(self, folder: Path) -> None:
        """Writes the file into `folder`, empty if nothing was left out."""
        write_text(folder / FILE, "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in self._entries))
