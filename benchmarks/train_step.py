"""Milliseconds of a training step: with and without XLA, and with our LSTM against the one of Keras.

    python -m benchmarks.train_step [--quick]

The step is the whole one of the training loop: loss, gradients, clipping, AdamW. Cases: the captioner on cached
features at the size of Flickr8k, at 16 and 32 tokens, and the preset of `scenes`, which trains its image encoder too.
The first call of a side compiles it and is told apart, as `first_call_s`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from benchmarks import measure
from tfcap.models import lstm
from tfcap.models.build import build_captioner
from tfcap.models.captioner import Captioner
from tfcap.settings import Settings
from tfcap.training.step import SummedAdamW, train_step

SCENES_VOCABULARY, SCENES_TOKENS = 150, 16  # about what the tokenizer finds in the rendered scenes


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of the captioner on cached features."""

    batch: int = 128
    features: int = 1280
    units: int = 512
    embedding: int = 512
    vocabulary: int = 2550


class KerasLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` with the call of ours, to stand in its place."""

    def __init__(self, units: int, **more: Any) -> None:
        super().__init__(units, return_sequences=True, **more)

    def call(self, x: Any, h: Any = None, c: Any = None, **more: Any) -> Any:
        return super().call(x, initial_state=[h, c], **more)


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--steps", type=int, default=0, help="steps of one measured run")
    arguments = parser.parse_args()
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    steps = arguments.steps or (2 if arguments.quick else 5)
    sizes = Sizes(batch=32, units=128, embedding=128, vocabulary=500) if arguments.quick else Sizes()
    cases = {f"features_t{tokens}": features_case(sizes, tokens, repeats, steps) for tokens in (16, 32)}
    cases["scenes"] = scenes_case(repeats, steps)
    described = {**dataclasses.asdict(sizes), "steps_per_run": steps, "scenes_vocabulary": SCENES_VOCABULARY}
    measure.report("train_step", arguments.quick, described, cases)


def features_case(sizes: Sizes, tokens: int, repeats: int, steps: int) -> dict[str, Any]:
    """Returns the measurements of the captioner on cached features, with our LSTM and with Keras'."""
    measure.say(f"cached features, {tokens} tokens")
    rng = np.random.default_rng(0)
    batch = {"features": rng.random([sizes.batch, sizes.features], np.float32)}
    batch |= _captions(rng, sizes.batch, tokens, sizes.vocabulary)

    def new(layer: type[keras.layers.Layer]) -> Captioner:
        keras.utils.set_random_seed(0)
        with mock.patch.object(lstm, "HoistedLSTM", layer):
            return lstm.LSTMCaptioner(
                keras.Sequential([keras.layers.Identity()]),  # the encoder's part is in the cache
                feature_size=sizes.features,
                vocabulary_size=sizes.vocabulary,
                units=sizes.units,
                embedding_size=sizes.embedding,
                dropout=0.3,
                image_dropout=0.3,
            )

    layers = {"hoisted_lstm": lstm.HoistedLSTM, "keras_lstm": KerasLSTM}
    models = {f"{name}_{compiler}": new(layer) for name, layer in layers.items() for compiler in ("xla", "graph")}
    sides = {name: one_step(model, batch, xla=name.endswith("xla")) for name, model in models.items()}
    ratios = [
        ("hoisted_lstm_xla", "hoisted_lstm_graph"),
        ("hoisted_lstm_xla", "keras_lstm_xla"),
        ("hoisted_lstm_graph", "keras_lstm_graph"),
    ]
    parameters = {name: model.count_params() for name, model in models.items()}
    return {**measured(sides, ratios, repeats, steps), "parameters": parameters}


def scenes_case(repeats: int, steps: int) -> dict[str, Any]:
    """Returns the measurements of the preset of the embedded data set, image encoder and all."""
    measure.say("scenes")
    settings = Settings().resolve()
    size, count = settings.data.image_size, settings.training.batch_size
    rng = np.random.default_rng(0)
    batch = {"images": rng.integers(0, 256, [count, size, size, 3]).astype(np.uint8)}
    batch |= _captions(rng, count, SCENES_TOKENS, SCENES_VOCABULARY)
    sides = {
        name: one_step(build_captioner(settings, SCENES_VOCABULARY), batch, xla=name == "xla")
        for name in ("xla", "graph")
    }
    return measured(sides, [("xla", "graph")], repeats, steps)


def _captions(rng: np.random.Generator, count: int, tokens: int, vocabulary: int) -> dict[str, np.ndarray]:
    words = rng.integers(4, vocabulary, [count, tokens]).astype(np.int32)
    return {"tokens": words, "weights": np.ones([count], np.float32)}


def one_step(model: Captioner, batch: dict[str, np.ndarray], xla: bool) -> Callable[[], float]:
    """Returns a function that does one training step on the batch and gives its loss."""
    optimizer = SummedAdamW(1e-3, weight_decay=0.01)
    optimizer.build(model.trainable_variables)
    strategy = tf.distribute.get_strategy()
    step = train_step(model, optimizer, seed=0, clip_norm=1.0, xla=xla, strategy=strategy)
    inputs = {name: tf.convert_to_tensor(value) for name, value in batch.items()}
    return lambda: float(step(inputs, tf.constant(0))[0])


def measured(
    sides: dict[str, Callable[[], float]], ratios: list[tuple[str, str]], repeats: int, steps: int
) -> dict[str, Any]:
    """Returns the milliseconds of a step of each side, their ratios, and the first calls' seconds and losses."""
    first_call, losses = {}, {}
    for name, side in sides.items():
        began = time.perf_counter()
        losses[name] = round(side(), 4)
        first_call[name] = round(time.perf_counter() - began, 3)
        measure.say(f"{name}: first call {first_call[name]} s")

    def several(side: Callable[[], float]) -> measure.Side:
        return lambda: [side() for _ in range(steps)]

    seconds = measure.interleaved({name: several(side) for name, side in sides.items()}, repeats)
    steps_ms = {name: [1000 * value / steps for value in values] for name, values in seconds.items()}
    return {**measure.case(steps_ms, "ms", ratios), "first_call_s": first_call, "first_loss": losses}


if __name__ == "__main__":
    main()
