"""Scores from how a training went for each example, and the files of what it tracked.

Each epoch shows one caption of an image, drawn anew, so what changes from one epoch to the next is due to training and
to the caption both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcap import registry
from tfcap.data.record_index import RecordIndex
from tfcap.errors import InputError
from tfcap.files import atomic_file
from tfcap.scoring import score_store
from tfcap.scoring.signal import EpochsSignal


class Forgetting(EpochsSignal):
    """How often an image was learnt in an epoch and no longer in its next.

    Learnt means that at least --learnt_accuracy of the words of the epoch's caption were predicted right, where the
    paper has one label that is right or wrong. An image that was never learnt has more than all others: epochs + 1.
    Source: Toneva et al. 2019, https://arxiv.org/abs/1812.05159, definitions 2.1 to 2.3. Cost: that of the training.
    """

    unit = "forgetting events"

    def of_epochs(self, tracked: np.ndarray) -> np.ndarray:
        epochs, count = tracked.shape
        events, learnt, ever = np.zeros(count, np.float32), np.zeros(count, bool), np.zeros(count, bool)
        for accuracy in tracked:
            presented, right = ~np.isnan(accuracy), accuracy >= np.float32(self.settings.learnt_accuracy)
            events += presented & learnt & ~right
            learnt = np.where(presented, right, learnt)
            ever |= right
        events[~ever] = epochs + 1
        events[np.isnan(tracked).all(axis=0)] = np.nan
        return events


class AreaUnderMargin(EpochsSignal):
    """Area under the margin, its sign turned so that higher is harder: images with the highest are suspicious.

    The margin is the mean over an epoch's words of the right word's logit less the highest of the others; the score is
    minus its mean over the epochs.
    Source: Pleiss et al. 2020, https://arxiv.org/abs/2001.10528, equations 1 and 2. Cost: that of the training.
    """

    unit = "nats per token, minus the margin"

    def of_epochs(self, tracked: np.ndarray) -> np.ndarray:
        presented = ~np.isnan(tracked)
        with np.errstate(invalid="ignore"):
            means = np.where(presented, tracked, 0).sum(axis=0, dtype=np.float64) / presented.sum(axis=0)
        return -means.astype(np.float32)


def save(folder: Path, dynamics: Mapping[str, np.ndarray], records: RecordIndex, about: Mapping[str, Any]) -> None:
    """Writes each array float32 [epochs, N] as `name`.npy and, after it, what is said of it as `name`.json."""
    for name, array in dynamics.items():
        with atomic_file(folder / f"{name}.npy") as path:
            np.save(path, array, allow_pickle=False)
        tracked = {"unit": registry.TRACKED[name].unit, "epochs": len(array)}
        score_store.describe(folder, name, records, {**tracked, **about})


def load(folder: Path, name: str, records: RecordIndex) -> np.ndarray | None:
    """Returns float32 [epochs, N], or None where it was not tracked; raises InputError as `score_store.load` does."""
    found = score_store.load(folder, name, records, axis=1)
    return None if found is None else found[0]


def of_teacher(run: Path, name: str, records: RecordIndex) -> np.ndarray:
    """Returns what the training of a run tracked of every image, float32 [epochs, N].

    Raises:
      InputError: it did not track it, or not of all images.
    """
    tracked, remedy = load(run / "dynamics", name, records), f"Run it with --fraction=1 --track={name}."
    if tracked is None:
        raise InputError(f"The teacher's training did not track {name}", received=f"--teacher={run}", remedy=remedy)
    missing = int(np.isnan(tracked).all(axis=0).sum())
    if missing:
        raise InputError(
            "The teacher was not trained on all images",
            received=f"--teacher={run}, without {missing} of {len(records)}",
            remedy=remedy,
        )
    return tracked
