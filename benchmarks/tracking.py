"""What tracking costs: milliseconds of a training step that tracks signals of each example, over one that does not.

    python -m benchmarks.tracking [--quick]

The step is the whole one of the training loop: loss, gradients, clipping, AdamW. The model is the captioner on cached
features at the size of Flickr8k, at 16 and 32 tokens, with and without XLA.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from benchmarks import measure
from benchmarks.train_step import Sizes, measured
from tfcap.models.captioner import Captioner
from tfcap.models.lstm import LSTMCaptioner
from tfcap.scoring.tracking import tracking_of
from tfcap.settings import SelectionSettings
from tfcap.training.step import SummedAdamW, train_step

TRACKED = {
    "untracked": (),
    "loss": ("loss",),
    "words": ("forgetting", "aum"),
    "gradient_norm": ("gradient_norm",),
    "all": ("loss", "gradient_norm", "forgetting", "aum"),
}


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--steps", type=int, default=0, help="steps of one measured run")
    arguments = parser.parse_args()
    repeats = arguments.repeats or (3 if arguments.quick else 9)
    steps = arguments.steps or (2 if arguments.quick else 4)
    sizes = Sizes(batch=32, units=128, embedding=128, vocabulary=500) if arguments.quick else Sizes()
    cases = {f"tokens_{tokens}": case(sizes, tokens, repeats, steps) for tokens in (16, 32)}
    measure.report("tracking", arguments.quick, {**dataclasses.asdict(sizes), "steps_per_run": steps}, cases)


def case(sizes: Sizes, tokens: int, repeats: int, steps: int) -> dict[str, Any]:
    """Returns the milliseconds of each kind of step at one length of captions, and the ratios to the untracked one."""
    measure.say(f"{tokens} tokens")
    rng = np.random.default_rng(0)
    batch = {
        "features": rng.random([sizes.batch, sizes.features], np.float32),
        "tokens": rng.integers(4, sizes.vocabulary, [sizes.batch, tokens]).astype(np.int32),
        "weights": np.ones([sizes.batch], np.float32),
    }
    sides = {
        f"{name}_{compiler}": one_step(new_captioner(sizes), batch, names, xla=compiler == "xla")
        for name, names in TRACKED.items()
        for compiler in ("xla", "graph")
    }
    ratios = [
        (f"{name}_{compiler}", f"untracked_{compiler}")
        for name in TRACKED
        for compiler in ("xla", "graph")
        if name != "untracked"
    ]
    return measured(sides, ratios, repeats, steps)


def new_captioner(sizes: Sizes) -> Captioner:
    """Returns the captioner on cached features, with its initial weights."""
    keras.utils.set_random_seed(0)
    return LSTMCaptioner(
        keras.Sequential([keras.layers.Identity()]),  # the encoder's part is in the cache
        feature_size=sizes.features,
        vocabulary_size=sizes.vocabulary,
        units=sizes.units,
        embedding_size=sizes.embedding,
        dropout=0.3,
        image_dropout=0.3,
    )


def one_step(model: Captioner, batch: dict[str, np.ndarray], names: Sequence[str], xla: bool) -> Callable[[], float]:
    """Returns a function that does one step on the batch, fetches what is tracked and gives the step's loss."""
    optimizer = SummedAdamW(1e-3, weight_decay=0.01)
    optimizer.build(model.trainable_variables)
    tracking = tracking_of(names, model, SelectionSettings()) if names else None
    strategy = tf.distribute.get_strategy()
    step = train_step(model, optimizer, seed=0, clip_norm=1.0, xla=xla, strategy=strategy, tracking=tracking)
    inputs = {name: tf.convert_to_tensor(value) for name, value in batch.items()}

    def run() -> float:
        loss, _, *tracked = step(inputs, tf.constant(0))
        for values in tracked:
            values.numpy()
        return float(loss)

    return run


if __name__ == "__main__":
    main()
