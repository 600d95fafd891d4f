"""Where a run is followed while it goes on: TensorBoard, Weights & Biases, MLflow.

A tracker is opened when there is first something to tell it, so a finished run opens none. One that fails is left out
with a warning, and training goes on.
"""

from __future__ import annotations

import dataclasses
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from tqdm import tqdm

from tfcap import registry
from tfcap.errors import InputError, TrainingStopped
from tfcap.fields import several
from tfcap.files import read_json, write_json
from tfcap.installed import is_installed
from tfcap.settings import NEUTRAL, Settings

# What those need that do not come with the product.
_PACKAGES = {
    "wandb": "pip install 'wandb>=0.31,<1', the extra tfcap[tracking]",
    "mlflow": "pip install 'mlflow>=3.17,<4'",
}


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told when it is opened.

    Attributes:
      folder: of the run.
      identity: the same in every process that goes on with the run, and of no other run: 32 hexadecimal digits.
      settings: by name, those that change the numbers; the same in all these processes too.
    """

    folder: Path
    identity: str
    settings: Mapping[str, Any]


class Tracker(Protocol):
    """One of `registry.TRACKERS`, made from a `TrackedRun`; whatever it raises, it is left out from there on."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Shows values by name at an optimizer step, which an earlier process may have shown already."""

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Shows a picture, uint8 [H, W, 3], or leaves it."""

    def results(self, values: Mapping[str, float]) -> None:
        """Shows what the finished run found."""

    def close(self, status: str) -> None:
        """Ends it for this process; status is finished, failed or interrupted."""


def check_installed(settings: Settings) -> None:
    """Raises InputError where a tracker's package is absent."""
    for name in several(settings.run.tracker):
        if name in _PACKAGES and not is_installed(name):
            raise InputError(f"--tracker={name} needs {name}, which is not installed", remedy=f"{_PACKAGES[name]}.")


class Trackers:
    """The trackers of one run, together; a context manager that closes them.

    Attributes:
      failed: why those that failed did, by name.
    """

    def __init__(self, folder: Path, settings: Settings, writes: bool = True) -> None:
        """With `writes` false, in the workers that are not the chief, nothing is ever opened."""
        self.folder, self.settings = folder, settings
        self.failed: dict[str, str] = {}
        self._names = several(settings.run.tracker) if writes else []
        self._opened: dict[str, Tracker] = {}
        self._told: list[str] = []  # those that were told the results in this process
        self._state: dict[str, Any] = {}

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Shows what training or validation found; names with val_ are of validation."""
        shown = {
            f"validation/{name.removeprefix('val_')}" if name.startswith("val_") else f"training/{name}": float(value)
            for name, value in values.items()
        }
        for name in self._names:
            self._guarded(name, self._tell, "scalars", step, shown)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Shows a picture, uint8 [H, W, 3]."""
        for tracker in self._names:
            self._guarded(tracker, self._tell, "picture", step, name, pixels)

    def deliver(self, metrics: Mapping[str, Any]) -> None:
        """Shows what metrics.json holds, in each tracker once; where it fails, the run's next process tries again."""
        for name in self._names:
            if name in _PACKAGES:
                self._guarded(name, self._deliver, _flat(metrics))

    def _deliver(self, name: str, values: Mapping[str, float]) -> None:
        if name not in self._known()["delivered"]:
            self._tracker(name).results(values)
            self._told.append(name)

    @property
    def _file(self) -> Path:
        return self.folder / "trackers.json"

    def _known(self) -> dict[str, Any]:
        """Returns the run's identity and who has its results, known before anything is sent anywhere."""
        if not self._state:
            if not self._file.exists():
                write_json(self._file, {"identity": uuid.uuid4().hex, "delivered": []})
            self._state = read_json(self._file)
        return self._state

    def _tell(self, name: str, what: str, *arguments: Any) -> None:
        getattr(self._tracker(name), what)(*arguments)

    def _tracker(self, name: str) -> Tracker:
        """Returns a tracker, which is opened if it is not."""
        if name not in self._opened:
            self._opened[name] = registry.TRACKERS[name](self._run(name))
        return self._opened[name]

    def _guarded(self, name: str, action: Callable[..., None], *arguments: Any) -> None:
        """Does with a tracker what may fail in any way; one that has failed is left out."""
        if name in self.failed:
            return
        try:
            action(name, *arguments)
        except Exception as error:  # noqa: BLE001 - a training is worth more than its curves
            self.failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            tqdm.write(
                f"warning: the tracker {name} failed and is left out from here on ({self.failed[name]}). The run goes"
                " on, its numbers are in history.json and metrics.json, and the same command tries the tracker again.",
                file=sys.stderr,
            )

    def _run(self, name: str) -> TrackedRun:
        settings = {key: value for key, value in self.settings.by_name().items() if key not in NEUTRAL}
        return TrackedRun(self.folder, self._known()["identity"] if name in _PACKAGES else "", settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stopped = kind is not None and (issubclass(kind, TrainingStopped) or not issubclass(kind, Exception))
        status = "finished" if kind is None else "interrupted" if stopped else "failed"
        for name in list(self._opened):
            self._guarded(name, self._close, status)

    def _close(self, name: str, status: str) -> None:
        """Ends a tracker; only when that has worked its results are where they were sent."""
        self._opened[name].close(status)
        if name in self._told:
            self._known()["delivered"].append(name)
            write_json(self._file, self._state)


def _flat(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns the numbers of metrics.json by name, a metric's interval beside it."""
    found: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            of_metric = {"value": f"test/{name}", "low": f"test/{name}_low", "high": f"test/{name}_high"}
            found |= {of_metric[key]: one for key, one in value.items() if key in of_metric and one is not None}
        elif isinstance(value, int | float):
            found[f"run/{name}"] = value
    return found
