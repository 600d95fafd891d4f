"""Milliseconds of a training step with a teacher, and without one, against PyTorch on the same weights and pictures.

    python -m benchmarks.knowledge [--quick] [--widths=8,16]     (pip install torch==2.13.0)

Teacher and student are the ResNet-18 of study S5, in batches of 128 pictures of 32 pixels, at widths that two cores can
take. A step is the whole one: loss, gradients, clipping, AdamW. The first losses of both sides must agree.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

from benchmarks import measure
from tfcap.models.build import build_captioner
from tfcap.models.captioner import Captioner
from tfcap.settings import Settings
from tfcap.training.knowledge import TaughtCaptioner
from tfcap.training.loop import optimizer_of
from tfcap.training.step import train_step

ALPHA, TEMPERATURE, CLASSES = 0.1, 4.0, 10
RATE, CLIP = 1e-3, 1.0
_AGREE = 1e-3  # largest relative difference of the first losses
_WAYS = ("plain", "taught")


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--widths", default="", help="comma-separated channels of the first stage")
    arguments = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        raise SystemExit("error: torch not installed. pip install torch==2.13.0")
    repeats = arguments.repeats or (2 if arguments.quick else 7)
    widths = [int(word) for word in (arguments.widths or ("4" if arguments.quick else "8,16")).split(",")]
    sizes = {"batch": 16 if arguments.quick else 128, "steps_per_run": 1 if arguments.quick else 3}
    found = {f"width_{width}": measured(width, sizes, repeats) for width in widths}
    measure.report("knowledge", arguments.quick, sizes, found)


def measured(width: int, sizes: dict[str, int], repeats: int) -> dict[str, Any]:
    """Returns the milliseconds of a step of each side and way, the ratios, and the first losses, which agree."""
    measure.say(f"width {width}")
    student, teacher = (_classifier(width, seed) for seed in (0, 1))
    batch = batch_of(sizes["batch"])
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        for name, model in (("student", student), ("teacher", teacher)):
            save_file(weights_of(model), Path(folder) / f"{name}.safetensors")
        job = {
            "folder": folder,
            "width": width,
            "threads": measure.cores(),
            "clip": 1.0,
            "learning_rate": 1e-3,
            **sizes,
        }
        command = [sys.executable, "-m", "benchmarks.knowledge_torch", json.dumps(job)]
        torch = stack.enter_context(measure.child(command))
        ours = {way: _steps(_classifier(width, 0), teacher if way == "taught" else None, batch) for way in _WAYS}
        sides: dict[str, measure.Side] = {}
        losses: dict[str, float] = {}
        for way in _WAYS:
            losses[f"{way}_tfcap"] = ours[way]()
            measure.asking(torch, f"{way}_first", answers, way)()
            losses[f"{way}_torch"] = answers[way]["loss"]
            sides[f"{way}_tfcap"] = functools.partial(_several, ours[way], sizes["steps_per_run"])
            sides[f"{way}_torch"] = measure.asking(torch, way, answers, way)
        _check(losses)
        seconds = measure.interleaved(sides, repeats)
    steps_ms = {name: [1000 * value / sizes["steps_per_run"] for value in values] for name, values in seconds.items()}
    ratios = [(f"{way}_tfcap", f"{way}_torch") for way in _WAYS] + [("taught_tfcap", "plain_tfcap")]
    ratios += [("taught_torch", "plain_torch")]
    parameters = student.parameters_trained
    return {**measure.case(steps_ms, "ms", ratios), "first_loss": losses, "parameters": parameters}


def batch_of(count: int) -> dict[str, np.ndarray]:
    """Returns pictures uint8 [B, 32, 32, 3] and classes int32 [B, 1], equal on both sides."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, [count, 32, 32, 3]).astype(np.uint8)
    return {"images": images, "tokens": rng.integers(0, CLASSES, [count, 1]).astype(np.int32)}


def weights_of(model: Captioner) -> dict[str, np.ndarray]:
    """Returns the weights by names such as `stem_conv/kernel`, in Keras' layout."""
    layers = [*model.encoder.backbone.layers, model.class_logits]
    return {
        f"{layer.name}/{variable.name}": np.array(variable.numpy(), order="C")
        for layer in layers
        for variable in layer.variables
    }


def _classifier(width: int, seed: int) -> Captioner:
    return build_captioner(_settings(width, seed), CLASSES)


def _settings(width: int, seed: int) -> Settings:
    return (
        Settings().replace(dataset="cifar10", model="classifier", width=width, seed=seed, learning_rate=RATE).resolve()
    )


def _steps(model: Captioner, teacher: Captioner | None, batch: dict[str, np.ndarray]) -> Callable[[], float]:
    """Returns a function that does one training step and gives its loss."""
    objective = TaughtCaptioner(model, teacher, alpha=ALPHA, temperature=TEMPERATURE) if teacher is not None else model
    optimizer = optimizer_of(_settings(model.encoder.width // 8, 0).replace(warmup_fraction=0.0), 10**6)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    # On CPUs the convolutions of TensorFlow's own library are faster than XLA's.
    xla = bool(tf.config.list_physical_devices("GPU"))
    step = train_step(objective, optimizer, seed=0, clip_norm=CLIP, xla=xla, strategy=strategy)
    weights = np.ones([len(batch["tokens"])], np.float32)
    inputs = {name: tf.convert_to_tensor(value) for name, value in {**batch, "weights": weights}.items()}
    return lambda: float(step(inputs, tf.constant(0))[0])


def _several(step: Callable[[], float], count: int) -> None:
    for _ in range(count):
        step()


def _check(losses: dict[str, float]) -> None:
    for way in _WAYS:
        ours, theirs = losses[f"{way}_tfcap"], losses[f"{way}_torch"]
        if not abs(ours - theirs) <= _AGREE * abs(theirs):
            raise SystemExit(f"error: the first losses of {way} differ: {ours} and {theirs}")


if __name__ == "__main__":
    main()
