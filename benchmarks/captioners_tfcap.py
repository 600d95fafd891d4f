"""Our side of `benchmarks.captioners`.

python -m benchmarks.captioners_tfcap JOB
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from benchmarks import child
from benchmarks.captioners import batch_of, folder_of
from benchmarks.train_step import one_step
from tfcap.models.build import build_captioner
from tfcap.models.generation import Decoding
from tfcap.settings import Settings


def ways(job: dict[str, Any]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Returns what can be asked for."""
    said: dict[str, Any] = {"checkpoint": str(folder_of(job))}
    if job["case"] == "clip_gpt2":
        said = {
            "checkpoint": str(folder_of(job, "gpt2")),
            "encoder": "clip_vit",
            "encoder_weights": str(folder_of(job, "clip")),
            "prefix_length": job["prefix"],
        }
    settings = Settings().replace(
        model=job["case"], train="all", augment="none", image_size=224, dropout=0.0, max_tokens=job["tokens"], **said
    )
    words = 500 if job["tiny"] else {"git": 30_522}.get(job["case"], 50_257)
    model = build_captioner(settings.resolve(), words)
    if job["case"] == "clip_gpt2":
        with np.load(folder_of(job, "mapper.npz"), allow_pickle=False) as arrays:
            model.mapper.products[0].kernel.assign(arrays["kernel"])
            model.mapper.products[0].bias.assign(arrays["bias"])
    for tower in [model.encoder.vision]:  # as PyTorch's side has its pixels
        tower.mean, tower.deviation = np.full(3, 0.5, np.float32), np.full(3, 0.5, np.float32)
    end = model.marks.end
    model.marks = type(model.marks)(model.marks.begin, end, never=(end,))
    batch = batch_of(job, 224, end)
    images = tf.constant(batch["images"])
    train = one_step(model, {**batch, "weights": np.ones(len(images), np.float32)}, xla=True)
    decoding = Decoding(beams=job["beams"])

    @tf.function(jit_compile=True)
    def caption(images: tf.Tensor) -> tf.Tensor:
        return model.generate(model.encode(images), job["tokens"], decoding)[0]

    def step() -> dict[str, Any]:
        train()
        return {"parameters": sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)}

    return {"step": step, "generate": lambda: {"tokens": caption(images).numpy()[:, 1:].tolist()}}


if __name__ == "__main__":
    child.answer(ways(json.loads(sys.argv[1])))
