"""The training loop: epochs of steps, validation that picks the checkpoint, and a state that survives a kill."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfcap.data.pipeline import Batch, TrainingBatches
from tfcap.errors import TrainingDiverged
from tfcap.progress import progress_bar
from tfcap.settings import Settings
from tfcap.training import checkpoint
from tfcap.training.step import SummedAdamW, Tracking, train_step
from tfcap.training.strategy import Replicas

Validate = Callable[[], dict[str, float]]
Log = Callable[[int, dict[str, float]], None]


@dataclasses.dataclass
class Progress:
    """Where training is; all of it goes into each checkpoint.

    Attributes:
      step: optimizer steps taken.
      epoch, step_in_epoch: the position among the batches.
      sums: loss and gradient norm summed over the epoch's steps so far.
      seconds: time spent in steps, over all runs.
      best: the best validation score so far, or None.
      history: one value an epoch for each series.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    sums: list[float] = dataclasses.field(default_factory=lambda: [0.0, 0.0])
    seconds: float = 0.0
    best: float | None = None
    history: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)

    def record(self, name: str, value: float | None) -> None:
        self.history.setdefault(name, []).append(value)


class Training:
    """One training of one model, up to `epochs` or `steps`, from the start or from its last checkpoint.

    Args:
      model: built inside `replicas.strategy.scope()`.
      batches: one epoch after another.
      settings: of the experiment; `epochs` overrides its own for a proxy.
      steps: in place of epochs, of which the last may then be a part of one; validated as often as in `epochs`.
      folder: of the checkpoints.
      validate: returns the validation scores: `val_loss`, and that of `judged_by`.
      judged_by: the name of the validation score that picks the best checkpoint by being highest.
      log: is told (step, scalars) every few steps.
      tracking: what is kept of each example in each epoch.
      objective: whose losses are trained on, with the trainable variables of `model`, where that is not the model.

    Attributes:
      dynamics: float32 [epochs, N] by name of the tracked signal; NaN where an example was not trained on (yet).
    """

    LOG_EVERY = 10

    def __init__(
        self,
        model: keras.Model,
        batches: TrainingBatches,
        settings: Settings,
        epochs: int,
        replicas: Replicas,
        folder: Path,
        validate: Validate | None = None,
        log: Log | None = None,
        title: str = "training",
        tracking: Tracking | None = None,
        steps: int = 0,
        judged_by: str = "val_CIDEr",
        objective: keras.Model | None = None,
    ) -> None:
        self.model, self.batches, self.settings = model, batches, settings
        self.replicas, self.folder, self.validate, self.log, self.title = replicas, folder, validate, log, title
        self.judged_by = judged_by
        training = settings.training
        self.total_steps = steps or epochs * batches.steps_per_epoch
        self.epochs = math.ceil(self.total_steps / batches.steps_per_epoch)
        self.validate_every = max(1, round((training.validate_every or 1) * self.epochs / epochs))
        with replicas.strategy.scope():
            self.optimizer = optimizer_of(settings, self.total_steps)
            self.optimizer.build(model.trainable_variables)
        self._step = train_step(
            objective or model,
            self.optimizer,
            seed=settings.run.seed,
            clip_norm=training.clip_norm,
            xla=training.xla,
            strategy=replicas.strategy,
            tracking=tracking,
        )
        self.progress = Progress()
        shape = (self.epochs, len(batches.inputs.records))
        self.dynamics = {name: np.full(shape, np.nan, np.float32) for name in (tracking.names if tracking else ())}
        if replicas.is_chief:
            checkpoint.tidy(folder)
        found = checkpoint.find(folder)
        if found is not None:
            self.progress = Progress(**checkpoint.restore(found, model, self.optimizer))
            self.dynamics = checkpoint.restore_dynamics(found, self.dynamics)

    @property
    def images_per_second(self) -> float:
        """Kept images trained on per second of stepping."""
        epochs, steps = divmod(self.progress.step, self.batches.steps_per_epoch)
        seen = epochs * len(self.batches.positions) + steps * self.batches.batch_size
        return seen / self.progress.seconds if self.progress.seconds else 0.0

    def run(self, until: int | None = None) -> Progress:
        """Trains until the last epoch, or the end of epoch `until`; at once if a checkpoint is already there.

        Raises:
          TrainingDiverged: the loss or the gradient of a step is not finite.
        """
        shown = self.settings.run.progress and self.replicas.is_chief
        with progress_bar(self.total_steps, self.title, "step", shown=shown, done=self.progress.step) as bar:
            while self.progress.epoch < (self.epochs if until is None else until):
                self._epoch(bar)
        return self.progress

    def _epoch(self, bar: tqdm[Any]) -> None:
        progress, every = self.progress, self.settings.training.checkpoint_every
        steps = self.batches.epoch(progress.epoch, progress.step_in_epoch)
        began = time.perf_counter()
        for batch in itertools.islice(steps, self.total_steps - progress.step):
            seen = {name: array for name, array in batch.items() if name != "position"}
            means = self._step(self.replicas.split(seen), tf.constant(progress.step))
            loss, norm, tracked = float(means[0]), float(means[1]), means[2:]
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise TrainingDiverged(
                    f"Training diverged at step {progress.step} (epoch {progress.epoch}):"
                    f" loss {loss}, gradient norm {norm}. The last checkpoint is intact."
                    " Lower --learning_rate or --clip_norm."
                )
            for values in tracked:
                self._keep(batch, values)
            progress.step += 1
            progress.step_in_epoch += 1
            progress.sums = [progress.sums[0] + loss, progress.sums[1] + norm]
            now = time.perf_counter()
            progress.seconds, began = progress.seconds + now - began, now
            bar.update()
            bar.set_postfix_str(f"loss {loss:.3f}, {self.images_per_second:.0f} images/s", refresh=False)
            if self.log and progress.step % self.LOG_EVERY == 0:
                self.log(progress.step, self._scalars(loss, norm))
            is_last = progress.step_in_epoch == self.batches.steps_per_epoch or progress.step == self.total_steps
            if every and progress.step % every == 0 and not is_last:
                self._save(best=False)
        self._end_epoch()

    def _keep(self, batch: Batch, tracked: Any) -> None:
        """Puts what a step tracked of its examples, those of all workers, into their places."""
        positions = np.where(batch["weights"] > 0, batch["position"], -1)
        if self.replicas.worker[1] > 1:
            positions = self.replicas.gather(self.replicas.split({"position": positions})["position"])
        values, present = self.replicas.gather(tracked), positions >= 0  # [B, S]
        for array, column in zip(self.dynamics.values(), values.T, strict=True):
            array[self.progress.epoch, positions[present]] = column[present]

    def _scalars(self, loss: float, norm: float) -> dict[str, float]:
        rate = float(self.optimizer.learning_rate)
        return {"loss": loss, "gradient_norm": norm, "learning_rate": rate, "images_per_second": self.images_per_second}

    def _end_epoch(self) -> None:
        progress = self.progress
        last = progress.epoch + 1 == self.epochs
        for name, value in zip(("loss", "gradient_norm"), progress.sums, strict=True):
            progress.record(name, value / progress.step_in_epoch)
        progress.record("learning_rate", float(self.optimizer.learning_rate))
        progress.epoch, progress.step_in_epoch, progress.sums = progress.epoch + 1, 0, [0.0, 0.0]
        progress.record("images_per_second", self.images_per_second)
        best = False
        if self.validate is not None:
            validates = last or progress.epoch % self.validate_every == 0
            scores: dict[str, float] = self.validate() if validates else {}
            for name in ("val_loss", self.judged_by):
                progress.record(name, scores.get(name))
            if validates:
                best = progress.best is None or scores[self.judged_by] > progress.best
                progress.best = max(scores[self.judged_by], progress.best if progress.best is not None else -math.inf)
                if self.log:
                    self.log(progress.step, scores)
        self._save(best=best)

    def _save(self, best: bool) -> None:
        state = dataclasses.asdict(self.progress)
        checkpoint.save(
            self.folder,
            self.model,
            self.optimizer,
            state,
            best=best,
            writes=self.replicas.is_chief,
            dynamics=self.dynamics,
        )


def optimizer_of(settings: Settings, total_steps: int) -> SummedAdamW:
    """Returns AdamW on its schedule; neither biases nor the weights of norms decay ("scale" is that of Llama's)."""
    optimizer = SummedAdamW(_schedule(settings, total_steps), weight_decay=settings.training.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "scale"])
    return optimizer


def _schedule(settings: Settings, total_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns linear warm-up and then a cosine to zero (Loshchilov and Hutter 2017)."""
    training = settings.training
    warmup = min(round(training.warmup_fraction * total_steps), total_steps - 1)
    if warmup == 0:
        return keras.optimizers.schedules.CosineDecay(training.learning_rate, total_steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, total_steps - warmup, warmup_target=training.learning_rate, warmup_steps=warmup
    )
