"""The folder of a run: what was asked, on what data, and where each result lies."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tfcap
from tfcap.errors import InputError
from tfcap.files import read_json, remove_partials, write_json
from tfcap.models.contents import check_same
from tfcap.settings import Settings

CARD = "model_card.md"
HUB_CARD = "README.md"  # as Hugging Face asks for it, in a folder that can be put there
EVALUATION = "evaluation.json"  # describes the folder of a direct evaluation, in the place of experiment.json
PROXIES = ("proxy", "proxy-s[0-9]*")  # the captioners that score, of the run's own seed and of others
# Everything a run writes, as patterns; --noresume deletes these and nothing else, the last written first.
OUTPUTS = (
    CARD,
    *("saved_model", "metrics.json", "samples.png", "per_image.json", "captions.json", "history.json", "curves.png"),
    *("scores.png", "checkpoints", "dynamics", "tensorboard", "masks", "scores", *PROXIES, "vocabulary.txt"),
    *("tokenizer", "classes.txt", "teacher.json", "trackers.json", "wandb"),
    "experiment.json",
)
_PACKAGES = ("tensorflow", "keras", "keras-hub", "tensorflow-datasets", "numpy", "pycocoevalcap")


class RunFolder:
    """A run's folder, opened anew or to go on.

    Attributes:
      path: the folder.
      settings: of the experiment, resolved.
      is_begun: an earlier process has described it, and this one goes on.
    """

    def __init__(self, settings: Settings, writes: bool = True) -> None:
        self.path, self.settings, self.writes = Path(settings.run.run_dir), settings, writes
        described = (self.path / "experiment.json").exists()
        self.is_begun = described and settings.run.resume
        if self.is_begun:
            self._check(self._known()[0])
        elif not described and self.path.exists() and not self._is_new():
            raise InputError(
                f"{self.path} is not the folder of a run",
                expected="a new or empty folder, or one with experiment.json",
                remedy="Choose another --run_dir.",
            )
        if writes:
            remove_partials_under(self.path)

    def _is_new(self) -> bool:
        """True for an empty folder, and for one whose run was killed while it wrote its first file."""
        return self.path.is_dir() and all(path.name.startswith(".experiment.json.") for path in self.path.iterdir())

    def _known(self) -> tuple[Settings, dict[str, str]]:
        return description_of(self.path, remedy="Choose another --run_dir, or start it afresh with --noresume.")

    def _check(self, previous: Settings) -> None:
        difference = previous.difference(self.settings)
        if difference:
            words = ", ".join(f"--{name} was {then!r} and is now {now!r}" for name, (then, now) in difference.items())
            raise InputError(
                f"The run {self.path} has other settings: {words}",
                remedy="Choose another --run_dir, or start it afresh with --noresume.",
            )

    def _written(self, patterns: Iterable[str]) -> list[Path]:
        return [path for pattern in patterns for path in self.path.glob(pattern)]

    def _clear(self) -> None:
        for path in self._written(OUTPUTS):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def describe(
        self,
        fingerprints: Mapping[str, str],
        contents: Mapping[str, str] | None = None,
        data_set: Mapping[str, str] | None = None,
    ) -> None:
        """Writes experiment.json, or checks that the run that wrote it had the same data and pretrained parts.

        Nothing is written or deleted before: whatever the user got wrong is found by then.

        Args:
          fingerprints: of the data, by split.
          contents: of pretrained parts, by flag, from `tfcap.models.contents`; None if the command reads none of them.
          data_set: the configuration and version that were built.
        """
        path = self.path / "experiment.json"
        if path.exists() and self.writes and not self.settings.run.resume:
            self._clear()
        if path.exists():
            _, known = self._known()
            if known != dict(fingerprints):
                raise InputError(
                    f"The data of the run {self.path} have changed since it began",
                    received={name: value[:12] for name, value in fingerprints.items()},
                    expected={name: value[:12] for name, value in known.items()},
                    remedy="Start it afresh with --noresume.",
                )
            remedy = "Put back what was there, or start the run afresh with --noresume."
            check_same(contents_of(self.path), contents or {}, f"when the run {self.path} began", remedy)
            return
        if self.writes:
            write_json(
                path,
                {
                    "settings": self.settings.to_json(),
                    "settings_hash": self.settings.hash(),
                    "fingerprints": dict(fingerprints),
                    "contents": dict(contents or {}),
                    "data_set": dict(data_set or {}),
                    **provenance(),
                },
            )

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def link(self, name: str, target: Path) -> None:
        """Makes `name` a link to a folder that runs share; relative, so that all of them can move together."""
        path = self.path / name
        if self.writes and not path.exists():
            path.unlink(missing_ok=True)  # a link to a folder that is gone
            path.symlink_to(os.path.relpath(target, self.path), target_is_directory=True)


def drop_checkpoints(path: Path) -> None:
    """Deletes the weights that a finished run keeps; its results stay."""
    shutil.rmtree(path / "checkpoints", ignore_errors=True)


def remove_partials_under(path: Path) -> None:
    """Deletes what a killed process left half-written in the folder of a run, or in one where runs share scores."""
    dynamics = [f"{name}/dynamics" for name in PROXIES]
    written = [
        folder for name in ("masks", "checkpoints", "dynamics", *PROXIES, *dynamics) for folder in path.glob(name)
    ]
    for folder in (path, *written):
        remove_partials(folder)


def description_of(run: Path, remedy: str = "") -> tuple[Settings, dict[str, str]]:
    """Returns the settings and the fingerprints by split that a run's experiment.json holds.

    Earlier versions wrote there what had no effect, too; this is left out. Where it is from before a setting was there,
    that is what resolving makes it.
    """
    path = run / "experiment.json"
    try:
        description = read_json(path)
        settings = Settings.from_json(description["settings"]).with_effect().resolve()
        return settings, description["fingerprints"]
    except (InputError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} does not describe a run of this version ({error})", remedy=remedy) from None


def contents_of(run: Path) -> dict[str, str]:
    """Returns what lay behind the names of pretrained parts when a run began; nothing if it did not say so yet."""
    return read_json(run / "experiment.json").get("contents", {})


def provenance() -> dict[str, Any]:
    """Returns what a folder's description says of the command that began it, and of what it ran with."""
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "git_commit": _git_commit(),
    }


def processor() -> str:
    """Returns the processor's name, as far as the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    return {
        "tfcap": tfcap.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _git_commit() -> str | None:
    try:
        found: Any = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
