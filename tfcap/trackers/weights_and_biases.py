"""Weights & Biases (extra "tracking"): offline by itself, since nobody has asked to send anything anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from tfcap.trackers import TrackedRun


class WeightsAndBiases:
    """A run of the project that WANDB_PROJECT names, or tfcap; its files lie in the run's folder, in `wandb/`.

    The optimizer step is a metric among the others, since wandb's own must not go back, and a resumed run takes those
    after its last checkpoint again. Offline each process leaves a folder with the run's id, for `wandb sync`.
    """

    def __init__(self, run: TrackedRun) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "tfcap"),
            name=run.folder.name,
            id=run.identity,
            resume="allow",
            dir=str(run.folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            config=dict(run.settings),
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self._run.log({"step": step, name: self._wandb.Image(pixels)})

    def results(self, values: Mapping[str, float]) -> None:
        self._run.summary.update(dict(values))

    def close(self, status: str) -> None:
        self._run.finish(exit_code=1 if status == "failed" else 0)  # any other code than 0 is "failed" there
