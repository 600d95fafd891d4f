"""Validation during training: the scores that pick the checkpoint, and what trackers show."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap.data.pipeline import SequentialBatches
from tfcap.evaluation import classification
from tfcap.evaluation.cider import CiderScorer
from tfcap.evaluation.quality import ACCURACY
from tfcap.models.build import greedy_of
from tfcap.models.captioner import Captioner
from tfcap.preparation import Preparation
from tfcap.reporting.pictures import Sample, sheet_pixels
from tfcap.trackers import Trackers
from tfcap.training.replicated import replicated
from tfcap.training.step import example_losses


class Validation:
    """Scores the captioner on the validation split and shows it in the trackers."""

    PICTURES = 6

    def __init__(self, prep: Preparation, model: Captioner, trackers: Trackers) -> None:
        self.prep, self.model, self.trackers = prep, model, trackers
        self.records = prep.records["validation"]
        self.inputs = prep.inputs("validation")
        self.ids = [int(image_id) for image_id in self.records.ids]
        references = dict(zip(self.ids, self.records.captions, strict=True))
        self.quality = prep.settings.quality
        if self.quality == ACCURACY:
            self._score: Callable[[dict[int, str]], tuple[float, np.ndarray]] = functools.partial(_accuracy, references)
        else:
            self._score = CiderScorer(references).score
        self.decoder = prep.decoder(model, greedy_of(prep.settings))
        self._losses = replicated(model, example_losses(model, prep.settings.training.xla), prep.replicas)
        self._step = 0

    def run(self) -> dict[str, float]:
        """Returns the mean loss over validation images and the CIDEr of greedy captions, or the accuracy of classes."""
        size = self.prep.settings.evaluation.eval_batch_size
        positions = np.arange(len(self.ids))
        texts, _ = self.decoder.captions(self.inputs, positions, size, "validation captions", self.prep.progress)
        found, per_image = self._score(dict(zip(self.ids, texts, strict=True)))
        self._show(texts, per_image)
        return {"val_loss": self._loss(size), f"val_{self.quality}": found}

    def _loss(self, size: int) -> float:
        batches = SequentialBatches(
            self.inputs,
            np.arange(len(self.ids)),
            self.prep.replicas.rounded_batch_size(size),
            self.prep.captions["validation"],
        )
        losses = [self._losses(batch)[: len(block)] for block, batch in zip(batches.blocks, batches, strict=True)]
        return float(np.concatenate(losses).mean())

    def log(self, step: int, scalars: dict[str, float]) -> None:
        """Shows scalars in the trackers."""
        self._step = step
        self.trackers.scalars(step, scalars)

    def _show(self, texts: list[str], per_image: np.ndarray) -> None:
        """Shows the first pictures with their captions in the trackers."""
        if not self.prep.replicas.is_chief:
            return
        samples = [
            Sample(
                self.records.picture(i),
                texts[i],
                self.records.captions[i],
                float(per_image[i]),
                classified=self.quality == ACCURACY,
            )
            for i in range(min(self.PICTURES, len(texts)))
        ]
        self.trackers.picture(self._step, "validation/captions", sheet_pixels(samples))


def _accuracy(references: Mapping[int, Sequence[str]], predictions: Mapping[int, str]) -> tuple[float, np.ndarray]:
    """Returns the part of the pictures whose class is right, and for each whether it is."""
    found = classification.evaluate(references, predictions)
    return found.metrics[ACCURACY]["value"], found.per_image[ACCURACY]
