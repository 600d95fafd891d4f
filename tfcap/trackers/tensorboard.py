"""TensorBoard: files in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.trackers import TrackedRun


class TensorBoard:
    """Event files in `tensorboard/`; each process adds one."""

    def __init__(self, run: TrackedRun) -> None:
        self._writer = tf.summary.create_file_writer(str(run.folder / "tensorboard"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        with self._writer.as_default(step):
            tf.summary.image(name, pixels[None])
        self._writer.flush()

    def results(self, values: Mapping[str, float]) -> None:
        """Shows nothing: metrics.json lies beside the curves."""

    def close(self, status: str) -> None:
        self._writer.close()
