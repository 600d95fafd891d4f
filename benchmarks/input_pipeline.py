"""Images a second of the input pipeline, against what the same cores do when they only decode.

    python -m benchmarks.input_pipeline [--quick] [--source=FLICKR8K]

Ours reads TFRecords by position in a new order, parses, decodes, resizes, batches and hands over arrays. The other side
is the limit: a bare tf.data map of `tf.io.decode_jpeg` (and the same resize) over the same bytes, already in memory.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from benchmarks import measure, pictures
from tfcap.data import images
from tfcap.data.pipeline import Captions, Inputs, TrainingBatches
from tfcap.data.records import Records
from tfcap.data.text import WordTokenizer

SIDE = 224
STORED = {"stored_224x224": (SIDE, SIDE), "stored_320x240": (320, 240)}


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--source", default="", help="folder of Flickr8k; without it the pictures are made up")
    parser.add_argument("--images", type=int, default=0, help="pictures of each case")
    parser.add_argument("--batch_size", type=int, default=128)
    arguments = parser.parse_args()
    count = arguments.images or (1000 if arguments.quick else 5000)
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    cases = {}
    for name, size in STORED.items():
        measure.say(name)
        with tempfile.TemporaryDirectory() as folder:
            records = pictures.records(pictures.jpegs(count, size, arguments.source), Path(folder))
            cases[name] = measured(records, arguments.batch_size, repeats)
    sizes = {
        "images": len(records),
        "batch_size": arguments.batch_size,
        "image_size": SIDE,
        "pictures": "Flickr8k" if arguments.source else "made up",
        "raw_parallel_calls": measure.cores(),
    }
    measure.report("input_pipeline", arguments.quick, sizes, cases)


def measured(records: Records, batch_size: int, repeats: int) -> dict[str, object]:
    """Returns the images a second of both sides over the same pictures, in whole batches, and their ratio."""
    positions = np.arange(len(records) // batch_size * batch_size)
    batches = training_batches(records, positions, batch_size)
    raw = raw_decode(encoded_images(records, positions))
    epochs = itertools.count()

    def pipeline() -> None:
        for _ in batches.epoch(next(epochs)):
            pass

    def raw_side() -> None:
        raw.reduce(np.int64(0), lambda seen, _: seen + 1).numpy()

    seconds = measure.interleaved({"pipeline": pipeline, "raw_decode": raw_side}, repeats)
    rates = {name: [len(positions) / value for value in values] for name, values in seconds.items()}
    return measure.case(rates, "images/s", [("pipeline", "raw_decode")])


def training_batches(records: Records, positions: np.ndarray, batch_size: int) -> TrainingBatches:
    """Returns what the training loop reads: batches of decoded images with one caption each."""
    words = (text for texts in records.captions for text in texts)
    captions = Captions(records, WordTokenizer.fit(words, min_count=1, max_tokens=32))
    return TrainingBatches(Inputs(records, SIDE), captions, positions, batch_size, seed=0)


def encoded_images(records: Records, positions: np.ndarray) -> list[bytes]:
    """Returns the JPEGs as the records hold them."""
    serialised = tf.constant(records.raw(positions), tf.string)
    return list(tf.io.parse_example(serialised, {"image": tf.io.FixedLenFeature([], tf.string)})["image"].numpy())


def raw_decode(encoded: Sequence[bytes]) -> tf.data.Dataset:
    """Returns the limit: the pictures decoded, and resized where their size differs, on every core and nothing else."""

    def decode(jpeg: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(jpeg, channels=3)
        return image if stored_at_side else images.resize(image, SIDE)

    stored_at_side = tuple(tf.io.extract_jpeg_shape(encoded[0]).numpy()[:2]) == (SIDE, SIDE)
    return tf.data.Dataset.from_tensor_slices(list(encoded)).map(
        decode, num_parallel_calls=measure.cores(), deterministic=True
    )


if __name__ == "__main__":
    main()
