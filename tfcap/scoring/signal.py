"""The pass that gives every example a number, under the same strategy and XLA as training."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from tfcap.data.caption_blocks import Texts
from tfcap.data.pipeline import Batch, SequentialBatches
from tfcap.data.resumable import fill
from tfcap.errors import InputError
from tfcap.settings import SelectionSettings, Settings
from tfcap.training.replicated import replicated
from tfcap.training.step import Inputs, Tensors
from tfcap.training.strategy import Replicas

if TYPE_CHECKING:
    from tfcap.data.records import Records
    from tfcap.models.dual_encoder import Pretrained


class _Numbers(abc.ABC):
    """A number for each example."""

    def __init__(self, settings: SelectionSettings) -> None:
        self.settings = settings

    @property
    @abc.abstractmethod
    def unit(self) -> str:
        """The unit of the number, for the score's JSON and for plots."""

    @property
    def choices(self) -> dict[str, Any]:
        """What of the settings says which number this is, by flag, for the score's JSON."""
        return {}

    def about(self, settings: Settings) -> dict[str, Any]:
        """Returns what the score's JSON says of it, whoever computed it and however long that took."""
        said = {"unit": self.unit, "level": settings.selection.level, "seed": settings.run.seed}
        return {**self.choices, **said}


class TextSignal(_Numbers):
    """A number per caption, from the captions of its image and from counts over the whole split; no model.

    Two passes over a split's captions, part after part: counts of parts add up, then each part has its numbers.
    """

    def check_captions(self, captions: Sequence[Sequence[str]], start: int = 0) -> None:  # noqa: B027
        """Raises InputError if an image cannot have a number; `start` is the position of the first."""

    @abc.abstractmethod
    def count(self, texts: Texts) -> Counter[str]:
        """Returns of each thing that the numbers depend on in how many of these images it is.

        Raises:
          InputError: an image cannot have a number.
        """

    @abc.abstractmethod
    def scorer(self, counts: Iterable[tuple[str, int]], images: int) -> Callable[[Texts], np.ndarray]:
        """Returns the function that gives P captions their numbers, float64 [P], image after image.

        Args:
          counts: what was counted, each thing once, over the whole split; what one image alone has may be left out.
          images: of the whole split.
        """

    def of_captions(self, captions: Sequence[Sequence[str]]) -> np.ndarray:
        """Returns float [P] for the P captions of a whole split of N images, image after image."""
        whole = Texts(0, captions, "")
        return self.scorer(self.count(whole).items(), len(captions))(whole)

    def of_images(self, captions: Sequence[Sequence[str]]) -> np.ndarray:
        """Returns float [N]."""
        return image_means(self.of_captions(captions), captions)


def image_means(values: np.ndarray, captions: Sequence[Sequence[str]]) -> np.ndarray:
    """Returns [N], the mean over each image's captions of their values [P]."""
    counts = np.array([len(texts) for texts in captions])
    return np.add.reduceat(values, np.cumsum(counts) - counts) / counts


class PairSignal(_Numbers):
    """A number per image-caption pair from a pretrained dual encoder; that of an image is the mean over its captions.

    Nothing is trained for it.
    """

    @abc.abstractmethod
    def check_settings(self, settings: Settings) -> None:
        """Raises InputError if the settings name no dual encoder."""

    @abc.abstractmethod
    def of_pairs(
        self, encoders: Pretrained, records: Records, replicas: Replicas, settings: Settings, folder: Path, name: str
    ) -> float:
        """Writes `folder/name.npy`, float32 [P] for the captions image after image; returns the seconds it took.

        All workers call it, and the chief writes. A killed pass continues.
        """


class EpochsSignal(_Numbers):
    """A number per image from what a training tracked of it, under the score's own name, in each of its epochs."""

    @abc.abstractmethod
    def of_epochs(self, tracked: np.ndarray) -> np.ndarray:
        """Returns float32 [N] from what was tracked, float32 [epochs, N]; NaN for images that were never trained on."""


class Signal(_Numbers):
    """A number per example that a model gives it: the mean over its captions of a caption's mean or sum over tokens.

    Attributes:
      quantity: the unit of a token's number, with {} where the token or the caption is named that it is of.
      averages: whether the mean of what several captioners give means anything.
      against_teacher: whether a teacher's numbers are subtracted from a proxy's; otherwise a teacher is the proxy.
    """

    quantity: str
    averages = True
    against_teacher = False

    @property
    def unit(self) -> str:
        return self.quantity.format("token" if self.settings.token_reduction == "mean" else "caption")

    @property
    def choices(self) -> dict[str, Any]:
        return {name: getattr(self.settings, name) for name in ("token_reduction", "score_seeds", "score_epochs")}

    def moments(self, settings: Settings) -> tuple[int, list[int]]:
        """Returns the length of the scoring captioner's training, and after which of its epochs it scores."""
        said = settings.selection.proxy_epochs
        length = said if said is not None else self.default_epochs(settings.training.epochs)
        return length, settings.selection.epochs_named() or [length]

    def check_settings(self, settings: Settings) -> None:
        """Raises InputError if the settings ask for scoring captioners that cannot be."""
        selection = self.settings
        asked = f"--score_seeds={selection.score_seeds} --score_epochs={selection.score_epochs}"
        if selection.teacher and not self.against_teacher and (selection.score_seeds > 1 or selection.score_epochs):
            raise InputError(
                "A teacher is one captioner at one moment",
                received=f"{asked} --teacher={selection.teacher}",
                expected="neither --score_seeds nor --score_epochs, or no --teacher",
            )
        length, epochs = self.moments(settings)
        if epochs[-1] > length:
            raise InputError(
                "--score_epochs goes past the scoring captioner's training",
                received=f"--score_epochs={selection.score_epochs}",
                expected=f"at most {length}",
                remedy="--proxy_epochs makes it longer.",
            )
        if not self.averages and selection.score_seeds * len(epochs) > 1:
            raise InputError(
                "Sketches of several captioners have no mean",
                received=asked,
                expected="one seed and one epoch",
            )

    @abc.abstractmethod
    def default_epochs(self, epochs: int) -> int:
        """Returns how long the scoring captioner trains, given the experiment's own epochs."""

    @abc.abstractmethod
    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        """Returns a compiled function (parameters, state, inputs with `tokens` [B, C, T]) -> float32 [B]."""

    def stored(self, values: np.ndarray) -> np.ndarray:
        """Returns what of the numbers [B, ...] goes into the file."""
        return values

    def check_captioner(self, model: keras.Model) -> None:  # noqa: B027
        """Raises InputError if the signal cannot be had of such a captioner, before one is trained for it."""

    def check(self, model: keras.Model, batches: Iterable[Batch]) -> None:  # noqa: B027
        """Raises RuntimeError if the signal is not what it is said to be for this model."""


class Pass:
    """The pass over a split, compiled once for all the weights that the model is given between its runs."""

    def __init__(
        self, signal: Signal, model: keras.Model, batches: SequentialBatches, replicas: Replicas, xla: bool
    ) -> None:
        self.signal, self.model, self.batches, self.replicas = signal, model, batches, replicas
        self._compute = replicated(model, signal.compute(model, xla), replicas)
        self._checked = False

    def write(self, folder: Path, name: str, progress: bool) -> float:
        """Writes `folder/name.npy`, [N, ...] in record order; returns the seconds it took. A killed pass continues."""
        if not self._checked:
            self.signal.check(self.model, self.batches)
            self._checked = True

        def stored(batch: Batch) -> np.ndarray:
            return self.signal.stored(self._compute(batch))

        _, seconds = fill(folder, name, self.batches, stored, progress=progress, writes=self.replicas.is_chief)
        return seconds
