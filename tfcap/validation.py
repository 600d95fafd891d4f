"""Validation during training: the scores that pick the checkpoint, and what TensorBoard shows."""

from __future__ import annotations

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.data.pipeline import SequentialBatches
from tfcap.evaluation.cider import CiderScorer
from tfcap.models.build import greedy_of
from tfcap.models.captioner import Captioner
from tfcap.preparation import Preparation
from tfcap.reporting.pictures import Sample, sheet_pixels
from tfcap.training.replicated import replicated
from tfcap.training.step import example_losses


class Validation:
    """Scores the captioner on the validation split and shows it in TensorBoard."""

    PICTURES = 6

    def __init__(self, prep: Preparation, model: Captioner) -> None:
        self.prep, self.model = prep, model
        self.records = prep.records["validation"]
        self.inputs = prep.inputs("validation")
        self.ids = [int(image_id) for image_id in self.records.ids]
        self.scorer = CiderScorer(dict(zip(self.ids, self.records.captions, strict=True)))
        self.decoder = prep.decoder(model, greedy_of(prep.settings))
        self._losses = replicated(model, example_losses(model, prep.settings.training.xla), prep.replicas)
        self._step = 0
        self._writer = (
            tf.summary.create_file_writer(str(prep.folder / "tensorboard")) if prep.replicas.is_chief else None
        )

    def run(self) -> dict[str, float]:
        """Returns the mean loss over validation images and the CIDEr of greedy captions."""
        size = self.prep.settings.evaluation.eval_batch_size
        positions = np.arange(len(self.ids))
        texts, _ = self.decoder.captions(self.inputs, positions, size, "validation captions", self.prep.progress)
        cider, per_image = self.scorer.score(dict(zip(self.ids, texts, strict=True)))
        self._show(texts, per_image)
        return {"val_loss": self._loss(size), "val_CIDEr": cider}

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
        """Writes scalars to TensorBoard."""
        self._step = step
        if self._writer is not None:
            with self._writer.as_default(step):
                for name, value in scalars.items():
                    tag = name.replace("val_", "validation/") if name.startswith("val_") else f"training/{name}"
                    tf.summary.scalar(tag, value)

    def _show(self, texts: list[str], per_image: np.ndarray) -> None:
        """Writes the first pictures with their captions to TensorBoard."""
        if self._writer is None:
            return
        samples = [
            Sample(self.records.picture(i), texts[i], self.records.captions[i], float(per_image[i]))
            for i in range(min(self.PICTURES, len(texts)))
        ]
        with self._writer.as_default(self._step):
            tf.summary.image("validation/captions", sheet_pixels(samples)[None])
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
