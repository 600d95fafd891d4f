"""Seconds that an epoch's input takes when a mask keeps a part of the images, against filtering after decoding.

    python -m benchmarks.masked_epoch [--quick] [--source=FLICKR8K]

Ours applies the mask before a byte of an unwanted record is read. The other side does what is usually written: it
reads, parses, decodes and resizes every record, and then drops those that the mask does not keep.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from benchmarks import measure, pictures
from benchmarks.input_pipeline import SIDE, training_batches
from tfcap.data import images
from tfcap.data.records import Records

FRACTIONS = (1.0, 0.75, 0.5, 0.25)


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--source", default="", help="folder of Flickr8k; without it the pictures are made up")
    parser.add_argument("--images", type=int, default=0, help="pictures; eight tenths of them are the train split")
    parser.add_argument("--batch_size", type=int, default=128)
    arguments = parser.parse_args()
    count = arguments.images or (1600 if arguments.quick else 8000)
    repeats = arguments.repeats or (3 if arguments.quick else 5)
    with tempfile.TemporaryDirectory() as folder:
        encoded = pictures.jpegs(count, (SIDE, SIDE), arguments.source)
        records = pictures.records(encoded, Path(folder))
        cases = measured(records, arguments.batch_size, repeats)
    sizes = {
        "images": len(records),
        "batch_size": arguments.batch_size,
        "image_size": SIDE,
        "pictures": "Flickr8k" if arguments.source else "made up",
    }
    measure.report("masked_epoch", arguments.quick, sizes, cases)


def measured(records: Records, batch_size: int, repeats: int) -> dict[str, dict[str, object]]:
    """Returns the seconds of one epoch at each fraction, of both sides, and their ratios."""
    order = np.random.default_rng(0).permutation(len(records))
    sides = {}
    for fraction in FRACTIONS:
        kept = np.sort(order[: int(fraction * len(records))])
        sides[f"masked {fraction}"] = masked_epoch(records, kept, batch_size)
        sides[f"filtered {fraction}"] = filtered_epoch(records, kept, batch_size)
    seconds = measure.interleaved(sides, repeats)
    ratios = [("masked", "full"), ("masked", "filtered_after_decode")]
    return {
        f"fraction_{fraction}": measure.case(
            {
                "masked": seconds[f"masked {fraction}"],
                "full": seconds["masked 1.0"],
                "filtered_after_decode": seconds[f"filtered {fraction}"],
            },
            "s",
            ratios,
        )
        for fraction in FRACTIONS
    }


def masked_epoch(records: Records, kept: np.ndarray, batch_size: int) -> measure.Side:
    """Returns a function that reads one epoch of the kept records as the training loop does."""
    batches = training_batches(records, kept, batch_size)
    epochs = itertools.count()

    def run() -> None:
        for _ in batches.epoch(next(epochs)):
            pass

    return run


def filtered_epoch(records: Records, kept: np.ndarray, batch_size: int) -> measure.Side:
    """Returns a function that reads, decodes and resizes every record, and batches the kept ones."""
    mask = tf.constant(np.isin(np.arange(len(records)), kept))
    shards = [str(path) for path in sorted(records.folder.glob(f"*-{records.split}.tfrecord*"))]

    def decoded(number: tf.Tensor, serialised: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded = tf.io.parse_single_example(serialised, {"image": tf.io.FixedLenFeature([], tf.string)})["image"]
        return number, images.decode(encoded, SIDE)

    dataset = (
        tf.data.TFRecordDataset(shards)
        .enumerate()
        .map(decoded, num_parallel_calls=tf.data.AUTOTUNE)
        .filter(lambda number, _: mask[number])
        .map(lambda _, image: image)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )

    def run() -> None:
        for _ in dataset.as_numpy_iterator():
            pass

    return run


if __name__ == "__main__":
    main()
