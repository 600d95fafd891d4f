"""Our side of `benchmarks.distillation`: makes the two points of a trajectory, writes them, and answers.

python -m benchmarks.distillation_tfcap JOB
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from benchmarks import child
from benchmarks.distillation_case import given, result
from tfcap import registry
from tfcap.models.student import Student
from tfcap.models.weight_table import tensors_of
from tfcap.training.unrolled import Unrolling


def student_of(job: dict[str, Any]) -> Student:
    """Returns the student of a setting, with the weights of the seed."""
    keras.utils.set_random_seed(0)
    encoder = registry.ENCODERS["nf_resnet_small"]("none", job["side"], False) if job["side"] else None
    width = encoder.feature_size if encoder else job["image"]
    return Student(width, job["text"], job["projection"], 0.07, encoder)


def named(student: Student) -> dict[str, Any]:
    """Returns the student's parameters by the names that PyTorch's side reads, the encoder's in the form of timm."""
    encoder = tensors_of(student.encoder.backbone.rows()) if student.encoder else {}
    layers = {"image": student.of_images, "text": student.of_texts}
    return {
        "log_scale": student.log_scale.numpy(),
        **{f"{name}.kernel": layer.kernel.numpy() for name, layer in layers.items()},
        **{f"{name}.bias": layer.bias.numpy() for name, layer in layers.items()},
        **{f"encoder.{name}": tensor for name, tensor in encoder.items()},
    }


def ways(job: dict[str, Any]) -> dict[str, Callable[[], dict[str, Any]]]:
    """Returns what can be asked for."""
    student, folder, pairs = student_of(job), Path(job["folder"]), given(job)
    variables, rng = student.trainable_variables, np.random.default_rng(1)
    start = [variable.numpy() for variable in variables]
    target = [value + rng.normal(scale=0.01, size=value.shape).astype(np.float32) for value in start]
    if job["way"] == "plain":
        np.savez(folder / "start.npz", **named(student))
        for variable, value in zip(variables, target, strict=True):
            variable.assign(value)
        np.savez(folder / "target.npz", **named(student))
    unrolling = Unrolling(student, job["xla"])
    compute: Callable[..., Any] = unrolling.plain if job["way"] == "plain" else unrolling.recomputed
    points = [[tf.constant(value) for value in point] for point in (start, target)]
    state = [tf.constant(variable.numpy()) for variable in student.non_trainable_variables]
    tensors = [tf.constant(pairs[name]) for name in ("images", "texts", "rates")]
    memory = child.Memory()

    def step() -> dict[str, Any]:
        found = compute(*points, state, *tensors, pairs["batches"])
        arrays = {name: getattr(found, name).numpy() for name in ("loss", "losses", "images", "texts", "rates")}
        path = result(folder, job["way"])
        if not path.exists():
            np.savez(path, **arrays)
        return {"memory_mib": memory.above()}

    return {"step": step}


if __name__ == "__main__":
    child.answer(ways(json.loads(sys.argv[1])))
