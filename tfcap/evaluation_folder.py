"""The folder of a direct evaluation: what was asked, of what data, how far it is, and what it found."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tfcap import registry
from tfcap.command_settings import EvaluateSettings
from tfcap.errors import InputError
from tfcap.files import read_json, refusal_explained, remove_partials, write_json
from tfcap.models.contents import check_same
from tfcap.results import RESULTS
from tfcap.run_folder import CARD, EVALUATION, provenance
from tfcap.settings import NEUTRAL, Settings

DESCRIPTION, JOURNAL = EVALUATION, "captions.jsonl"
_FRESH = "Choose another --out, or start it afresh with --noresume."


class EvaluationFolder:
    """The folder --out, opened anew or to go on; nothing is written before `describe`, nor by two processes at once.

    Attributes:
      path: the folder.
      choices: all that the results depend on, by the flag's name.
      is_begun: an earlier process has described it, and this one goes on.
    """

    def __init__(self, asked: EvaluateSettings, settings: Settings) -> None:
        """Raises InputError if the folder is something else's, or was begun with other settings."""
        self.path, self.choices = Path(asked.out), _choices(asked, settings)
        described = (self.path / DESCRIPTION).is_file()
        self.is_begun = described and settings.run.resume
        if self.is_begun:
            self._check("settings", "settings", self.choices)
        elif not described and self.path.exists() and not self._is_new():
            raise InputError(
                f"{self.path} is not the folder of an evaluation",
                expected=f"a new or empty folder, or one with {DESCRIPTION}",
                remedy="Choose another --out.",
            )

    def _is_new(self) -> bool:
        """True for an empty folder, and for one whose process was killed while it wrote its first file."""
        return self.path.is_dir() and all(path.name.startswith(f".{DESCRIPTION}.") for path in self.path.iterdir())

    def _check(self, name: str, what: str, now: Mapping[str, Any]) -> None:
        known = read_json(self.path / DESCRIPTION)
        then = known.get(name) if isinstance(known, dict) else None
        if not isinstance(then, dict):
            raise InputError(f"{self.path / DESCRIPTION} does not describe an evaluation", remedy=_FRESH)
        other = [name for name in {**then, **now} if then.get(name) != now.get(name)]
        if other:
            words = ", ".join(f"{name} was {then.get(name)!r} and is now {now.get(name)!r}" for name in other)
            raise InputError(f"The evaluation {self.path} has other {what}: {words}", remedy=_FRESH)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Makes the folder and keeps other evaluations from writing there; the system frees it after a kill.

        Raises:
          InputError: another process writes there.
        """
        with refusal_explained(f"--out={self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(
                    f"Another process is writing {self.path}", remedy="Wait for it, or choose another --out."
                ) from None
            yield
        finally:
            os.close(handle)

    def describe(
        self,
        fingerprint: str,
        contents: Callable[[], Mapping[str, str]],
        data_set: Mapping[str, str] | None = None,
    ) -> None:
        """Writes the description, or checks that the process that wrote it had the same data and pretrained parts.

        What an earlier evaluation left is deleted if this one does not go on with it.

        Args:
          contents: makes the digests of pretrained parts, by flag, from `tfcap.models.contents`.
          data_set: the configuration and version that were built.
        """
        data = {"fingerprint": fingerprint}
        if self.is_begun:
            self._check("data", "data", data)
        now = contents()
        if self.is_begun:
            known = read_json(self.path / DESCRIPTION).get("contents", {})
            check_same(known, now, f"when the evaluation {self.path} began", f"Put back what was there. {_FRESH}")
        with refusal_explained(f"--out={self.path}"):
            remove_partials(self.path)
            if not self.is_begun:
                for name in (CARD, *RESULTS, JOURNAL, DESCRIPTION):
                    (self.path / name).unlink(missing_ok=True)
                about = {"settings": self.choices, "data": data, "contents": dict(now)}
                about["data_set"] = dict(data_set or {})
                write_json(self.path / DESCRIPTION, {**about, **provenance()})

    @property
    def journal(self) -> Path:
        """Where captions are kept until there is one of each image."""
        return self.path / JOURNAL

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.is_begun and (self.path / "metrics.json").is_file()


def _choices(asked: EvaluateSettings, settings: Settings) -> dict[str, Any]:
    """Returns all that the results depend on, by the flag's name."""
    groups: list[Any] = [asked, settings.data, settings.evaluation]
    if asked.model in registry.CAPTIONERS:
        groups.append(settings.model)
    flat = {name: value for group in groups for name, value in dataclasses.asdict(group).items()}
    flat["seed"] = settings.run.seed
    return {name: value for name, value in flat.items() if name not in (*NEUTRAL, "out")}
