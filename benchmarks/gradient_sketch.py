"""How far the inner products of gradient sketches are from those of the gradients themselves.

    python -m benchmarks.gradient_sketch [--quick] [--run_dir=RUN] [--examples=64]

Exact gradients are made one example at a time by a gradient tape and kept whole. An error is that of an inner product
of two different examples, over the product of their norms; an ideal map errs by 1 / sqrt(S). Of bits, which keep no
norm, the cosine is estimated. Without a run, a small untrained captioner on random features stands in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from benchmarks import measure
from benchmarks.gradient_norms import lstm_captioner, random_batch
from tfcap.data.pipeline import SequentialBatches
from tfcap.models.captioner import Captioner
from tfcap.preparation import Preparation
from tfcap.scoring.gradient_sketch import GradientSketch
from tfcap.scoring.sketch_files import unpacked
from tfcap.settings import SelectionSettings, Settings
from tfcap.training import checkpoint
from tfcap.training.step import values_of, weighted_loss

DIMENSIONS = (256, 1024, 4096)


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--run_dir", default="", help="folder of a finished run; its validation images are sketched")
    parser.add_argument("--examples", type=int, default=0, help="images; each one's whole gradient is kept in memory")
    arguments = parser.parse_args()
    count = arguments.examples or (16 if arguments.quick else 64)
    if arguments.run_dir:
        model, batch = of_run(Path(arguments.run_dir), count)
    else:
        model, batch = lstm_captioner(64, 300), random_batch(count, 16, 300, features=1280)
    inputs = {name: tf.constant(array) for name, array in batch.items() if name != "position"}
    measure.say("exact gradients")
    exact = exact_gradients(model, inputs)
    norms = np.linalg.norm(exact, axis=1)
    cosines = exact @ exact.T / np.outer(norms, norms)
    cases = {}
    for dimensions in DIMENSIONS:
        for kind in ("float16", "bits"):
            measure.say(f"{dimensions} dimensions, {kind}")
            cases[f"{kind}_{dimensions}"] = errors(sketched(model, inputs, dimensions, kind), kind, cosines, norms)
    sizes = {"run": arguments.run_dir or "untrained", "examples": count, "parameters": exact.shape[1]}
    measure.report("gradient_sketch", arguments.quick, sizes, cases)


def of_run(folder: Path, count: int) -> tuple[Captioner, dict[str, np.ndarray]]:
    """Returns the best captioner of a run, and its first validation images with all their captions."""
    settings = Settings.from_json(json.loads((folder / "experiment.json").read_text())["settings"])
    prep = Preparation(settings.replace(progress=False, run_dir=str(folder)))
    model = prep.new_captioner()
    path = checkpoint.find(folder / "checkpoints", checkpoint.BEST)
    if path is None:
        raise SystemExit(f"error: {folder} has no best checkpoint")
    checkpoint.restore(path, model)
    batches = SequentialBatches(prep.inputs("validation"), np.arange(count), count, prep.captions["validation"])
    return model, next(iter(batches))


def exact_gradients(model: Captioner, inputs: dict[str, tf.Tensor]) -> np.ndarray:
    """Returns each example's gradient of the mean over its captions of their mean token loss, [B, parameters]."""
    parameters, state = values_of(model.trainable_variables), values_of(model.non_trainable_variables)

    @tf.function
    def gradient(example: dict[str, tf.Tensor]) -> tf.Tensor:
        captions = int(example["tokens"].shape[1])
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            losses = []
            for caption in range(captions):
                alone = {**example, "tokens": example["tokens"][:, caption], "weights": tf.ones([1])}
                loss, tokens, _ = weighted_loss(model, parameters, state, alone, training=False)
                losses.append(loss / tokens)
            mean = tf.reduce_sum(tf.stack(losses) * example["weights"][0]) / tf.reduce_sum(example["weights"])
        found = tape.gradient(mean, parameters, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.concat([tf.reshape(tf.convert_to_tensor(part), [-1]) for part in found], 0)

    count = len(inputs["weights"])
    rows = [gradient({name: value[row : row + 1] for name, value in inputs.items()}) for row in range(count)]
    return np.stack([row.numpy() for row in rows])


def sketched(model: Captioner, inputs: dict[str, tf.Tensor], dimensions: int, kind: str) -> np.ndarray:
    """Returns the sketches as numbers, [B, dimensions]."""
    signal = GradientSketch(SelectionSettings(sketch_dimensions=dimensions, sketch_type=kind))
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    return unpacked(signal.stored(signal.compute(model, False)(*values, inputs).numpy())).astype(np.float64)


def errors(sketches: np.ndarray, kind: str, cosines: np.ndarray, norms: np.ndarray) -> dict[str, Any]:
    """Returns the errors over all pairs of different examples, beside what theory says of float sketches."""
    dimensions, products = sketches.shape[1], sketches @ sketches.T
    if kind == "bits":  # two signs agree with probability 1 - angle / pi (Charikar 2002)
        estimates = np.sin(np.pi / 2 * products / dimensions)
    else:
        estimates = products / np.outer(norms, norms)
    pairs = np.triu_indices(len(norms), 1)
    wrong = (estimates - cosines)[pairs]
    return {
        "root_mean_square_error": float(np.sqrt(np.mean(wrong**2))),
        "largest_error": float(np.abs(wrong).max()),
        "inverse_square_root_of_dimensions": dimensions**-0.5,
        "correlation": float(np.corrcoef(estimates[pairs], cosines[pairs])[0, 1]),
        "standard_deviation_of_cosines": float(cosines[pairs].std()),
        "bytes_per_example": dimensions // 8 if kind == "bits" else 2 * dimensions,
    }


if __name__ == "__main__":
    main()
