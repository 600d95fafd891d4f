"""A journal of a long pass, batch by batch: a kill can tear its last line and no other."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tfcap.errors import InputError


class Journal:
    """One JSON object a line, each on the disk before `add` returns; one process at a time writes it.

    Attributes:
      entries: those of earlier processes, and then of this one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the journal, or a new one, and takes a torn last line away.

        Raises:
          InputError: a line before the last is damaged.
        """
        self.path = Path(path)
        self._file = open(self.path, "a+b")  # noqa: SIM115 - closed by __exit__
        try:
            self.entries = self._read()
        except InputError:
            self._file.close()
            raise

    def _read(self) -> list[dict[str, Any]]:
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        found = []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                found.append(json.loads(line))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise InputError(
                    f"Line {number} of {self.path} is damaged ({error})",
                    remedy="Start afresh with --noresume.",
                ) from None
        return found

    def add(self, entry: Mapping[str, Any]) -> None:
        """Appends one line."""
        self._file.write(json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.entries.append(dict(entry))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
