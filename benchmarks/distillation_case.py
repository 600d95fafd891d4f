"""What both sides of `benchmarks.distillation` are given; it imports no TensorFlow, for PyTorch's process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def result(folder: Path, side: str) -> Path:
    """Returns where a side writes what its first step gives."""
    return folder / f"{side}.npz"


def given(job: dict[str, Any]) -> dict[str, np.ndarray]:
    """Returns the pairs, the rates and the batches of a job, equal on both sides."""
    rng, pairs, side = np.random.default_rng(0), job["pairs"], job["side"]
    shape = (pairs, side, side, 3) if side else (pairs, job["image"])
    images = rng.uniform(0, 255, shape) if side else rng.normal(scale=job["image"] ** -0.5, size=shape)
    return {
        "images": images.astype(np.float32),
        "texts": rng.normal(scale=job["text"] ** -0.5, size=(pairs, job["text"])).astype(np.float32),
        "rates": np.array([0.1, 0.1], np.float32),
        "batches": np.tile(np.arange(pairs, dtype=np.int32), (job["inner_steps"], 1)),
    }
