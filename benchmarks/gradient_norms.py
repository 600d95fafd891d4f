"""Exact per-example gradient norms against the ways of getting them that make each example's gradient.

Sides, on the same model and batch: our pass; one training step's forward and backward pass; a gradient tape over
one example after another; `tf.vectorized_map` of a gradient tape. The memory of the first two, with XLA and without, is
that of processes of their own (`benchmarks.norm_memory`).
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from benchmarks import measure
from tfcap.models import lstm
from tfcap.models.captioner import Captioner
from tfcap.models.encoders import SmallResNet
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.settings import SelectionSettings
from tfcap.training.step import example_gradient_norms, loss_and_gradients, values_of, weighted_loss

Side = Callable[[], Any]


class GPT2Decoder(Captioner):
    """GPT-2's blocks over words alone: what a prefix captioner spends its time in. Tied embeddings, as in GPT-2."""

    def __init__(self, vocabulary: int, layers: int, width: int, tokens: int, tied: bool = True) -> None:
        super().__init__(keras.Sequential([keras.layers.Identity()]))
        self.backbone = keras_hub.models.GPT2Backbone(
            vocabulary, layers, heads_of(width), width, 4 * width, dropout=0.0, max_sequence_length=tokens
        )
        self.vocabulary_logits = None
        if not tied:
            self.vocabulary_logits = keras.layers.Dense(vocabulary, use_bias=False, name="vocabulary_logits")
            self.vocabulary_logits.build((None, None, width))
        self.built = True

    def decoder_logits(self, features: Any, tokens: Any, training: bool) -> Any:
        seen = {"token_ids": tokens, "padding_mask": keras.ops.ones_like(tokens)}
        found = self.backbone(seen, training=training)
        if self.vocabulary_logits is not None:
            return self.vocabulary_logits(found)
        return self.backbone.token_embedding(found, reverse=True)


def heads_of(width: int) -> int:
    """Returns GPT-2's number of heads, each 64 wide."""
    return max(1, width // 64)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of the batch and of the models; the ResNet is that of the preset of `scenes`."""

    batch: int = 32
    tokens: int = 32
    lstm_units: int = 512
    lstm_vocabulary: int = 2550
    gpt2_batch: int = 8  # `tf.vectorized_map` makes each example's gradient of the word embedding: 154 MB
    gpt2_layers: int = 4
    gpt2_width: int = 768
    gpt2_vocabulary: int = 50257


QUICK = Sizes(8, 16, 64, 300, 8, 1, 64, 500)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and a batch of examples with one caption each."""

    model: Captioner
    batch: dict[str, np.ndarray]


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--cases", default="", help="comma-separated names of cases; all of them if empty")
    arguments = parser.parse_args()
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    sizes = QUICK if arguments.quick else Sizes()
    made = cases(sizes)
    wanted = arguments.cases.split(",") if arguments.cases else list(made)
    found = {}
    for name in wanted:
        measure.say(name)
        found[name] = measured(made[name](), repeats)
        if not arguments.quick or name == wanted[0]:  # a process takes seconds to start: too long for all cases
            found[name]["memory_mib"] = memory(name, arguments.quick)
    measure.report("gradient_norms", arguments.quick, dataclasses.asdict(sizes), found)


def cases(sizes: Sizes) -> dict[str, Callable[[], Case]]:
    """Returns the cases by name, each made when it is called."""
    batch, tokens, words = sizes.batch, sizes.tokens, sizes.gpt2_vocabulary
    return {
        "lstm": lambda: Case(
            lstm_captioner(sizes.lstm_units, sizes.lstm_vocabulary),
            random_batch(batch, tokens, sizes.lstm_vocabulary, features=1280),
        ),
        "gpt2": lambda: Case(
            GPT2Decoder(words, sizes.gpt2_layers, sizes.gpt2_width, tokens),
            random_batch(sizes.gpt2_batch, tokens, words, features=1),
        ),
        "resnet_lstm": lambda: Case(_resnet_lstm(), random_batch(batch, 16, 150, pixels=64)),
    }


def lstm_captioner(units: int, vocabulary: int) -> Captioner:
    """Returns a captioner on features of 1,280 dimensions, as MobileNetV2 gives them, words and logits untied."""
    encoder = keras.Sequential([keras.layers.Identity()])
    return lstm.LSTMCaptioner(encoder, 1280, vocabulary, units, units, dropout=0.0)


def _resnet_lstm() -> Captioner:
    encoder = SmallResNet("none", 64)
    return lstm.LSTMCaptioner(encoder, encoder.backbone.output_shape[-1], 150, 256, 128, dropout=0.0)


def random_batch(
    count: int, tokens: int, vocabulary: int, *, features: int = 0, pixels: int = 0
) -> dict[str, np.ndarray]:
    """Returns examples with one caption of random words each, and features of a width or pictures of a side."""
    rng = np.random.default_rng(0)
    batch = {
        "tokens": rng.integers(4, vocabulary, [count, 1, tokens]).astype(np.int32),
        "weights": np.ones([count, 1], np.float32),
    }
    if pixels:
        return {"images": rng.integers(0, 256, [count, pixels, pixels, 3]).astype(np.uint8), **batch}
    return {"features": rng.random([count, features], np.float32), **batch}


def measured(case: Case, repeats: int) -> dict[str, Any]:
    """Returns milliseconds a batch of each side, their ratios, and how far our norms are from exact ones."""
    made = sides(case)
    ours, exact = made["ours_xla"](), made["one_by_one"]()
    seconds = measure.interleaved(made, repeats)
    milliseconds = {name: [1000 * value for value in found] for name, found in seconds.items()}
    ratios = [("ours_xla", theirs) for theirs in made if theirs != "ours_xla"] + [("ours_graph", "step_graph")]
    error = float(np.abs(ours / exact - 1).max())
    return {
        **measure.case(milliseconds, "ms", ratios),
        "largest_relative_error": error,
        "parameters": case.model.count_params(),
        "batch": len(case.batch["tokens"]),
        "tokens": case.batch["tokens"].shape[-1],
    }


def memory(case: str, quick: bool) -> dict[str, float]:
    """Returns the MiB that our pass and the step take, each in a process of its own, and their ratios."""
    found: dict[str, float] = {}
    compilers = ("xla",) if quick else ("xla", "graph")
    for side in (f"{way}_{compiler}" for compiler in compilers for way in ("ours", "step")):
        job = json.dumps({"case": case, "side": side, "quick": quick})
        command = [sys.executable, "-m", "benchmarks.norm_memory", job]
        done = subprocess.run(command, cwd=measure.REPOSITORY, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{case}, {side}: {done.stderr[-1000:]}")
        found[side] = float(done.stdout)
        measure.say(f"{case}, {side}: {found[side]} MiB")
    for compiler in compilers:
        ours, theirs = found[f"ours_{compiler}"], found[f"step_{compiler}"]
        found[f"ours_{compiler}_over_step_{compiler}"] = round(ours / theirs, 3)
    return found


def sides(case: Case) -> dict[str, Side]:
    """Returns the sides by name, each of which computes one batch and returns its first result."""
    model = case.model
    inputs = {name: tf.constant(array) for name, array in case.batch.items()}
    values = values_of(model.trainable_variables), values_of(model.non_trainable_variables)
    flat = {**inputs, "tokens": inputs["tokens"][:, 0], "weights": inputs["weights"][:, 0]}
    compiled = {
        "ours_xla": GradientNorm(SelectionSettings()).compute(model, xla=True),
        "ours_graph": GradientNorm(SelectionSettings()).compute(model, xla=False),
        "one_by_one": example_gradient_norms(model, True),
    }
    made = {name: _side(compute, *values, inputs) for name, compute in compiled.items()}
    for compiler in ("xla", "graph"):
        made[f"step_{compiler}"] = _side(loss_and_gradients(model, compiler == "xla", training=True), *values, flat)
    return {**made, "vectorized_map": _side(_vectorized(model), *values, flat)}


def _side(compute: Callable[..., Any], *arguments: Any) -> Side:
    """Returns a function that computes and gives the first result; on a CPU all results are there when one is."""
    return lambda: tf.nest.flatten(compute(*arguments))[0].numpy()


def _vectorized(model: Captioner) -> Callable[..., tf.Tensor]:
    """Returns the norms by a gradient tape that TensorFlow vectorises over the examples."""

    @tf.function(jit_compile=True)
    def compute(parameters: Any, state: Any, inputs: Any) -> tf.Tensor:
        def one(example: Any) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(parameters)
                alone = {name: value[None] for name, value in example.items()}
                loss, tokens, _ = weighted_loss(model, parameters, state, alone, training=False)
                loss = loss / tokens
            gradients = tape.gradient(loss, parameters)
            return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(tf.convert_to_tensor(g))) for g in gradients]))

        return tf.vectorized_map(one, inputs)

    return compute


if __name__ == "__main__":
    main()
