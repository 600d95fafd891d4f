"""What frozen encoders make of a split's images and captions, and decoded pictures: once each, in memory-mapped files.

A folder's name holds the hash of the encoder and of the data, so none of them can be stale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.data.feature_cache import features
from tfcap.data.pipeline import Batch, Inputs, SequentialBatches
from tfcap.data.records import Records
from tfcap.data.resumable import Batches, fill
from tfcap.files import hash_of, locked
from tfcap.models.encoders import Encoder, as_one_vector
from tfcap.models.text_encoders import TextEncoder

_IMAGES_AT_ONCE, _TEXTS_AT_ONCE = 50, 64


def image_features(records: Records, image_size: int, encoder: Encoder, cache: Path, progress: bool) -> np.ndarray:
    """Returns what a frozen encoder makes of each image, float32 [N, D], memory-mapped."""

    @tf.function
    def forward(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(as_one_vector(encoder(encoder.preprocess(images))), tf.float32)

    def encode(batch: Batch) -> np.ndarray:
        return forward(tf.constant(batch["images"])).numpy()

    identity = encoder.weights_hash()
    found, _ = features(records, image_size, identity, encode, cache, _IMAGES_AT_ONCE, progress)
    return found


def decoded_images(records: Records, image_size: int, cache: Path, progress: bool) -> np.ndarray:
    """Returns the images uint8 [N, S, S, 3], memory-mapped."""
    batches = SequentialBatches(Inputs(records, image_size), np.arange(len(records)), _IMAGES_AT_ONCE)
    folder = cache / hash_of("decoded", image_size, records.fingerprint)[:16]
    return _once(folder, f"images-{records.split}", batches, lambda batch: batch["images"], progress)


def text_embeddings(records: Records, encoder: TextEncoder, cache: Path, progress: bool) -> np.ndarray:
    """Returns what the text encoder makes of each caption, float32 [C, E], memory-mapped."""

    @tf.function
    def forward(tokens: tf.Tensor) -> tf.Tensor:
        return encoder(tokens)

    texts = [text for captions in records.captions for text in captions]
    folder = cache / hash_of(encoder.identity(), records.fingerprint)[:16]
    batches = _Texts(texts, encoder.tokens)
    return _once(
        folder, f"texts-{records.split}", batches, lambda batch: forward(tf.constant(batch["tokens"])).numpy(), progress
    )


def _once(
    folder: Path, name: str, batches: Batches, compute: Callable[[Batch], np.ndarray], progress: bool
) -> np.ndarray:
    """Returns the array of that name, made by a pass over the batches where no process has made it before."""
    with locked(folder / f".{name}.lock"):
        if not (folder / f"{name}.npy").exists():
            fill(folder, name, batches, compute, progress=progress)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


class _Texts:
    """Batches of texts of like length, the last one padded to full size with its first text."""

    unit, batch_size = "caption", _TEXTS_AT_ONCE

    def __init__(self, texts: Sequence[str], tokens: Callable[[Sequence[str]], np.ndarray]) -> None:
        self.texts, self.tokens = texts, tokens
        self.positions = np.argsort([len(text) for text in texts], kind="stable")
        self.blocks = [self.positions[i : i + self.batch_size] for i in range(0, len(texts), self.batch_size)]

    def __len__(self) -> int:
        return len(self.blocks)

    def start(self, first_block: int) -> Iterator[Batch]:
        for block in self.blocks[first_block:]:
            whole = np.concatenate([block, np.repeat(block[:1], self.batch_size - len(block))])
            yield {"tokens": self.tokens([self.texts[position] for position in whole]), "position": whole}
