"""Synthetic pairs that are changed step by step: the loop of every method of gradients, and its checkpoints."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import load_file, save_file

from tfcap.command_settings import DistillSettings
from tfcap.distillation.pairs import Pairs
from tfcap.errors import InputError, TrainingDiverged
from tfcap.files import atomic_file
from tfcap.progress import progress_bar

STATE = "state.safetensors"
_PIXEL = 255.0


@dataclasses.dataclass(frozen=True)
class Change:
    """What one step wants: a loss and its gradients.

    Attributes:
      loss: that is made smaller.
      images, texts: gradients at the pairs.
      rates: gradient at the logarithms of the student's two rates, float32 [2]; None for a method without rates.
      parts: further numbers to show, by name.
    """

    loss: tf.Tensor
    images: tf.Tensor
    texts: tf.Tensor
    rates: tf.Tensor | None = None
    parts: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Objective(abc.ABC):
    """A loss of synthetic pairs, which draws from the generator that it is given, so that a step can be repeated."""

    has_rates = False

    @abc.abstractmethod
    def change(self, images: tf.Tensor, texts: tf.Tensor, rates: tf.Tensor, rng: np.random.Generator) -> Change:
        """Returns the loss and its gradients at pairs [M, ...] and [M, E] and at the student's rates [2]."""

    def state(self) -> dict[str, np.ndarray]:
        """Returns what a later process needs to go on, by name."""
        return {}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:  # noqa: B027 - most have nothing to restore
        """Goes on from what `state` gave."""


class Descent:
    """Synthetic pairs, and the optimizers that change them.

    Attributes:
      step: how many steps are done.
      history: the loss of each.
    """

    def __init__(self, start: Pairs, asked: DistillSettings, of_pixels: bool, progress: bool) -> None:
        self.asked, self.of_pixels, self.progress = asked, of_pixels, progress
        self.images = tf.Variable(np.asarray(start.images, np.float32))
        self.texts = tf.Variable(np.asarray(start.texts, np.float32))
        self.log_rates = tf.Variable(np.full(2, np.log(asked.student_rate), np.float32))
        self.step, self.history = 0, np.zeros(0, np.float32)
        self._optimizers = [
            _optimizer(asked.optimizer, rate, asked.steps)
            for rate in (asked.image_rate, asked.text_rate, asked.rate_rate)
        ]
        for optimizer, variable in zip(self._optimizers, self._variables, strict=True):
            optimizer.build([variable])

    @property
    def _variables(self) -> list[tf.Variable]:
        return [self.images, self.texts, self.log_rates]

    def pairs(self, with_rates: bool) -> Pairs:
        """Returns the pairs as they are now."""
        image_rate, text_rate = np.exp(self.log_rates.numpy())
        rates = (float(image_rate), float(text_rate)) if with_rates else None
        return Pairs(self.images.numpy(), self.texts.numpy(), rates)

    def run(
        self,
        objective: Objective,
        steps: int,
        seed: int,
        folder: Path,
        shown: Callable[[int, Pairs, Mapping[str, float]], None],
    ) -> Pairs:
        """Returns the pairs after so many steps, going on from the last checkpoint in the folder.

        Args:
          shown: is called with the step, the pairs and the numbers of the step, every `--show_every` steps.

        Raises:
          TrainingDiverged: a loss, or a pair, became NaN or infinite; the message names the step.
        """
        self._restore(folder / STATE, objective)
        before = self.history
        losses: list[float] = []
        with progress_bar(steps, self.asked.method, "step", shown=self.progress, done=self.step) as bar:
            while self.step < steps:
                change = self._once(objective, np.random.default_rng([seed, self.step]))
                losses.append(float(change.loss))
                bar.update()
                last = self.step == steps
                if last or self.step % self.asked.show_every == 0 or self.step % self.asked.checkpoint_every == 0:
                    self._check_finite()
                if self.step % self.asked.show_every == 0 or last:
                    bar.set_postfix(loss=f"{losses[-1]:.4f}")
                    numbers = {"loss": losses[-1], **change.parts}
                    if objective.has_rates:
                        numbers |= dict(zip(("rate_image", "rate_text"), np.exp(self.log_rates.numpy()), strict=True))
                    shown(self.step, self.pairs(objective.has_rates), numbers)
                if self.step % self.asked.checkpoint_every == 0 or last:
                    self.history = np.concatenate([before, np.array(losses, np.float32)])
                    self._save(folder / STATE, objective)
        return self.pairs(objective.has_rates)

    def _once(self, objective: Objective, rng: np.random.Generator) -> Change:
        change = objective.change(self.images.value(), self.texts.value(), tf.exp(self.log_rates), rng)
        self.step += 1
        if not np.isfinite(float(change.loss)):
            raise self._diverged(f"The loss of {self.asked.method} was {float(change.loss)}")
        wanted = [change.images, change.texts, change.rates]
        for optimizer, variable, gradient in zip(self._optimizers, self._variables, wanted, strict=True):
            if gradient is not None:
                optimizer.apply([gradient], [variable])
        if self.of_pixels:
            self.images.assign(tf.clip_by_value(self.images, 0.0, _PIXEL))
        return change

    def _check_finite(self) -> None:
        if not all(np.isfinite(variable.numpy()).all() for variable in self._variables):
            raise self._diverged(f"Pairs of {self.asked.method} became NaN or infinite")

    def _diverged(self, what: str) -> TrainingDiverged:
        return TrainingDiverged(
            f"{what} in step {self.step}: lower --image_rate, --text_rate, --rate_rate or --student_rate"
        )

    def _named(self) -> dict[str, tf.Variable]:
        named = dict(zip(("images", "texts", "log_rates"), self._variables, strict=True))
        for name, optimizer in zip(("images", "texts", "log_rates"), self._optimizers, strict=True):
            named |= {f"optimizer/{name}/{place}": variable for place, variable in enumerate(optimizer.variables)}
        return named

    def _save(self, path: Path, objective: Objective) -> None:
        arrays = {name: variable.numpy() for name, variable in self._named().items()}
        arrays |= {"history": self.history, "step": np.array(self.step, np.int64)}
        arrays |= {f"objective/{name}": array for name, array in objective.state().items()}
        arrays = {name: np.array(array, order="C") for name, array in arrays.items()}  # of TensorFlow a scalar is none
        with atomic_file(path) as temporary:
            save_file(arrays, temporary)

    def _restore(self, path: Path, objective: Objective) -> None:
        if not path.exists():
            return
        try:
            arrays = load_file(path)
            for name, variable in self._named().items():
                variable.assign(arrays[name])
            objective.restore(
                {
                    name.removeprefix("objective/"): array
                    for name, array in arrays.items()
                    if name.startswith("objective/")
                }
            )
            self.step, self.history = int(arrays["step"]), arrays["history"]
        except Exception as error:  # noqa: BLE001 - safetensors raises its own class, which it does not export
            raise InputError(f"{path} is damaged ({str(error)[:120]})", remedy="Delete it and run again.") from None


def _optimizer(name: str, rate: float, steps: int) -> keras.optimizers.Optimizer:
    """Returns Adam (Kingma and Ba 2015), its rate decaying by half a cosine to 0, or plain descent with momentum 0.5.

    The latter is what the published program has. Adam without the decay leaves what it has found: on Flickr8k the
    matching loss jumped up again after some hundred steps.
    """
    if name == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.5)
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
