"""Exact per-example gradient norms against PyTorch's ways to them, on the same weights and batch, embeddings untied.

    python -m benchmarks.gradient_norms_torch [--quick] [--cases=lstm,gpt2]     (pip install torch==2.13.0 opacus)

Sides: our pass; `torch.func.vmap(grad)`; Opacus, by ghost clipping where it can (it refuses a layer called once a word,
as in the LSTM: there by its per-example gradients); a training step's forward and backward pass in each library. Each
PyTorch side has a process of its own, which waits while another side runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from benchmarks import measure
from benchmarks.gradient_norms import QUICK, GPT2Decoder, Sizes, heads_of, lstm_captioner, random_batch
from tfcap.models.captioner import Captioner
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.settings import SelectionSettings
from tfcap.training.step import loss_and_gradients, values_of

# -P: the folder of benchmarks would hide Python's own `selectors`.
_CHILD = [sys.executable, "-P", str(Path(__file__).with_name("torch_norms.py"))]
_SIDES = ("func", "opacus", "step")


@dataclasses.dataclass(frozen=True)
class Case:
    """A captioner, a batch with one caption an example, and what PyTorch must know to build the same."""

    model: Captioner
    batch: dict[str, np.ndarray]
    about: dict[str, Any]


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--cases", default="lstm,gpt2", help="comma-separated names of cases")
    arguments = parser.parse_args()
    missing = [name for name in ("torch", "opacus") if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"error: {' and '.join(missing)} not installed. pip install torch==2.13.0 opacus")
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    sizes = QUICK if arguments.quick else Sizes()
    found = {}
    for name in arguments.cases.split(","):
        measure.say(name)
        found[name] = measured(case_of(name, sizes), repeats)
    measure.report("gradient_norms_torch", arguments.quick, dataclasses.asdict(sizes), found)


def case_of(name: str, sizes: Sizes) -> Case:
    """Returns the case `lstm` or `gpt2`."""
    if name == "lstm":
        batch = random_batch(sizes.batch, sizes.tokens, sizes.lstm_vocabulary, features=1280)
        return Case(lstm_captioner(sizes.lstm_units, sizes.lstm_vocabulary), batch, {"model": "lstm"})
    words, layers, width = sizes.gpt2_vocabulary, sizes.gpt2_layers, sizes.gpt2_width
    model = GPT2Decoder(words, layers, width, sizes.tokens, tied=False)
    about = {"model": "gpt2", "layers": layers, "heads": heads_of(width)}
    return Case(model, random_batch(sizes.gpt2_batch, sizes.tokens, words, features=1), about)


def measured(case: Case, repeats: int) -> dict[str, Any]:
    """Returns milliseconds a batch of each side, their ratios, and how far PyTorch's norms are from ours."""
    model = case.model
    inputs = {name: tf.constant(array) for name, array in case.batch.items()}
    flat = {**inputs, "tokens": inputs["tokens"][:, 0], "weights": inputs["weights"][:, 0]}
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    norms, step = GradientNorm(SelectionSettings()).compute(model, xla=True), loss_and_gradients(model, True, True)
    sides: dict[str, measure.Side] = {
        "ours": lambda: norms(*values, inputs).numpy(),
        "step_tensorflow": lambda: step(*values, flat)[0].numpy(),
    }
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = Path(folder) / "case.npz"
        _save(file, case)
        for side in _SIDES:
            sides[f"torch_{side}"] = measure.asking(
                stack.enter_context(measure.child([*_CHILD, str(file)])), side, answers, side
            )
        seconds = measure.interleaved(sides, repeats)
    ours = norms(*values, inputs).numpy()
    errors = {side: float(np.abs(np.array(answers[side]["norms"]) / ours - 1).max()) for side in ("func", "opacus")}
    ratios = [("ours", "torch_func"), ("ours", "torch_opacus"), ("ours", "step_tensorflow"), ("ours", "torch_step")]
    ratios += [(f"torch_{side}", "torch_step") for side in ("func", "opacus")]
    milliseconds = {name: [1000 * value for value in found] for name, found in seconds.items()}
    return {
        **measure.case(milliseconds, "ms", ratios),
        "largest_relative_difference": errors,
        "peak_memory_mib": {side: round(answers[side]["peak_memory_mib"], 1) for side in _SIDES},
        "parameters": model.count_params(),
        "batch": len(case.batch["tokens"]),
        "tokens": case.batch["tokens"].shape[-1],
    }


def _save(file: Path, case: Case) -> None:
    """Writes the model's parameters under names from the layer on, and the batch."""
    weights = {f"weights/{_name(variable.path)}": variable.numpy() for variable in case.model.trainable_variables}
    about = json.dumps({**case.about, "threads": measure.cores()})
    np.savez(file, about=about, features=case.batch["features"], tokens=case.batch["tokens"][:, 0], **weights)


def _name(path: str) -> str:
    return path.removeprefix("captioner/")


if __name__ == "__main__":
    main()
