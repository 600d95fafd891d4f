"""Experts: students trained on all of the data, whose parameters are kept after every epoch."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tfcap.distillation.problem import Problem
from tfcap.errors import InputError, TrainingDiverged
from tfcap.files import atomic_file, hash_of, read_json, remove_partials, write_json
from tfcap.progress import progress_bar
from tfcap.training.contrastive import descent_function

MANIFEST = "experts.json"
Parameters = list[np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Point:
    """Where an expert is after an epoch, and what it showed of each image in it.

    Attributes:
      parameters: in the order of the student's trainable variables.
      losses: of each image's pair, nats, float32 [N]; NaN where a remainder was left out, and before the first epoch.
      right: 1 where the pair was the likeliest of its batch both ways, else 0; NaN likewise.
    """

    parameters: Parameters
    losses: np.ndarray
    right: np.ndarray


class Experts:
    """The experts of a problem, in a folder: one file an epoch, each written whole, so that a kill costs one epoch.

    Source: Wu et al. 2024, https://arxiv.org/abs/2308.07545, section 3.2: plain gradient descent over all images, each
    with one of its captions an epoch.
    """

    def __init__(self, folder: Path, problem: Problem, seed: int) -> None:
        """Finds the experts of a seed in the folder.

        Raises:
          InputError: the folder holds experts of another making.
        """
        asked = problem.asked
        self.folder, self.problem, self.seed = folder, problem, seed
        self.batch_size = min(asked.batch_size, len(problem.train))
        self.rates = np.array([asked.expert_rate, asked.expert_text_rate], np.float32)
        self._variables = problem.student.trainable_variables
        # Two of them may share a path.
        self._names = [f"model/{place:03d}/{variable.path}" for place, variable in enumerate(self._variables)]
        # Their number and their epochs are left out: more of both may be trained.
        self.making = hash_of(problem.identity, self.batch_size, self.rates.tolist())
        if self._is_begun():
            self._check_same(read_json(folder / MANIFEST))

    def _is_begun(self) -> bool:
        """True where an expert is there, of whichever seed."""
        return (self.folder / MANIFEST).exists() and any(self.folder.glob("s*-expert-*"))

    def _check_same(self, known: Mapping[str, Any]) -> None:
        if known.get("making") == self.making:
            return
        described = self._described()
        other = next((name for name in ("rates", "batch_size") if known.get(name) != described[name]), "")
        raise InputError(
            f"{self.folder} holds experts of " + (f"another {other}" if other else "other data or encoders"),
            received=described[other] if other else None,
            expected=known.get(other) if other else None,
            remedy="Say " + _flags_of(known) + ", as they were trained, or choose another --out.",
        )

    def _described(self) -> dict[str, Any]:
        asked = self.problem.asked
        return {
            "making": self.making,
            "fingerprints": self.problem.fingerprints(),
            "encoder": self.problem.settings.model.encoder,
            **{name: getattr(asked, name) for name in ("text_encoder", "trains")},
            "batch_size": self.batch_size,
            "rates": {"image": asked.expert_rate, "text": asked.expert_text_rate},
            "parameters": {
                name: list(variable.shape) for name, variable in zip(self._names, self._variables, strict=True)
            },
        }

    @classmethod
    def of(cls, problem: Problem, out: Path, seed: int) -> Experts:
        """Returns those of a seed in the folder of a distillation."""
        return cls(out / "experts", problem, seed)

    def train(self) -> None:
        """Trains the experts that the settings ask for, going on where an earlier call ended or was killed.

        Raises:
          TrainingDiverged: a loss or a parameter became NaN or infinite; the message names the expert and the epoch.
        """
        if not self._is_begun():
            write_json(self.folder / MANIFEST, self._described())
        count, epochs = self.problem.asked.experts, self.problem.asked.expert_epochs
        settings = self.problem.settings
        descend = descent_function(self.problem.student, settings.training.xla, momentum=0.0)
        done = sum(min(epochs, max(0, self._last(expert))) for expert in range(count))
        with progress_bar(count * epochs, "experts", "epoch", shown=settings.run.progress, done=done) as bar:
            for expert in range(count):
                for _ in self._trained(expert, epochs, descend):
                    bar.update()

    def _trained(self, expert: int, epochs: int, descend: Callable[..., Any]) -> Iterator[None]:
        """Yields after each epoch that this call trains."""
        remove_partials(self._of(expert))
        own = int(hash_of("expert", self.seed, expert)[:8], 16) % 2**31
        if self._last(expert) < 0:
            nothing = np.full(len(self.problem.train), np.nan, np.float32)
            self._write(expert, 0, Point(self.problem.initial(own), nothing, nothing))
        done = self._last(expert)
        if done >= epochs:
            return
        point = self.point(expert, done)
        for epoch in range(done, epochs):
            point = self._epoch(point.parameters, descend, np.random.default_rng([own, epoch]))
            if not all(np.isfinite(value).all() for value in point.parameters):
                if not done:
                    shutil.rmtree(self._of(expert))  # so that another rate may be tried
                raise TrainingDiverged(
                    f"Expert {expert} diverged in epoch {epoch + 1}: lower --expert_rate or --expert_text_rate"
                )
            self._write(expert, epoch + 1, point)
            yield

    def _epoch(self, parameters: Parameters, descend: Callable[..., Any], rng: np.random.Generator) -> Point:
        train, state = self.problem.train, [tf.constant(value) for value in self.problem.state]
        order, captions = rng.permutation(len(train)), train.one_caption_each(rng)
        losses, right = (np.full(len(train), np.nan, np.float32) for _ in range(2))
        now = [tf.constant(value) for value in parameters]
        still = [tf.zeros_like(value) for value in now]
        for first in range(0, len(order) - self.batch_size + 1, self.batch_size):
            rows = order[first : first + self.batch_size]
            batch = tf.constant(train.pictures(rows)), tf.constant(train.texts[captions[rows]])
            (_, each, best), now, _ = descend(now, still, state, *batch, self.rates)
            losses[rows], right[rows] = each.numpy(), best.numpy()
        return Point([value.numpy() for value in now], losses, right)

    def point(self, expert: int, epoch: int) -> Point:
        """Returns where an expert was after an epoch.

        Raises:
          InputError: it was not trained so far, or its file is damaged.
        """
        path = self._of(expert) / f"epoch-{epoch:03d}.safetensors"
        if not path.exists():
            raise InputError(
                "An expert is missing",
                received=path,
                remedy=f"python -m tfcap.distill experts --seed={self.seed} trains it, with the same --out.",
            )
        try:
            found = load_file(path)
            parameters = [found[name] for name in self._names]
        except Exception as error:  # noqa: BLE001 - safetensors raises its own class, which it does not export
            raise InputError(f"{path} is damaged ({str(error)[:120]})", remedy="Delete it and train again.") from None
        return Point(parameters, found["losses"], found["right"])

    def is_trained(self, count: int, epochs: int) -> bool:
        """True where as many experts are trained for as many epochs."""
        return all(self._last(expert) >= epochs for expert in range(count))

    def check(self, count: int, epochs: int) -> None:
        """Raises InputError where not as many experts are trained for as many epochs."""
        for expert in range(count):
            if self._last(expert) < epochs:
                raise InputError(
                    f"Expert {expert} in {self.folder} is not trained so far",
                    received=f"{max(0, self._last(expert))} epochs",
                    expected=f"at least {epochs} of each of {count} experts",
                    remedy=f"python -m tfcap.distill experts --seed={self.seed} trains them, with the same --out.",
                )

    def dynamics(self, expert: int, epochs: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the losses and the rights of all epochs of an expert, float32 [epochs, N] each."""
        points = [self.point(expert, epoch) for epoch in range(1, epochs + 1)]
        return np.stack([point.losses for point in points]), np.stack([point.right for point in points])

    def _of(self, expert: int) -> Path:
        return self.folder / f"s{self.seed}-expert-{expert:02d}"

    def _last(self, expert: int) -> int:
        """Returns the last epoch up to which all files are there; -1 where there is none."""
        epoch = -1
        while (self._of(expert) / f"epoch-{epoch + 1:03d}.safetensors").exists():
            epoch += 1
        return epoch

    def _write(self, expert: int, epoch: int, point: Point) -> None:
        named = {name: np.array(value, order="C") for name, value in zip(self._names, point.parameters, strict=True)}
        with atomic_file(self._of(expert) / f"epoch-{epoch:03d}.safetensors") as path:
            save_file({**named, "losses": point.losses, "right": point.right}, path)


def _flags_of(known: Mapping[str, Any]) -> str:
    """Returns the flags that experts were trained with, where they say so."""
    rates = known.get("rates", {})
    said = {
        "batch_size": known.get("batch_size"),
        "expert_rate": rates.get("image"),
        "expert_text_rate": rates.get("text"),
    }
    return " ".join(f"--{name}={value}" for name, value in said.items())
