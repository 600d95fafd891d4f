"""Batches for training, scoring and decoding: the only place where a tf.data pipeline is put together.

A batch is a dict of arrays of fixed shape:
  images   uint8 [B, S, S, 3], or features float32 [B, ...] where the encoder is frozen
  tokens   int32 [B, T] (training) or [B, C, T] (scoring: all captions of an image)
  weights  float32 [B] or [B, C]; 0 marks padding
  position int64 [B], positions among the split's records
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow as tf  # isort: skip

from tfcap.data import draws
from tfcap.data.images import Augmentation, decode
from tfcap.data.records import Records
from tfcap.data.subwords import Tokenizer
from tfcap.data.text import PAD

Batch = dict[str, np.ndarray]

LENGTH_STEP = 8  # captions are cut to a multiple of this, so that XLA compiles few shapes
_BLOCKS_AHEAD = 2  # blocks read, and batches decoded, before they are asked for
_IMAGES_AT_ONCE = 2 * (os.cpu_count() or 1)  # fixed: tf.data's own tuning starts at one and lasts longer than an epoch


class Captions:
    """The captions of a split as token ids, all in memory (75 MB for all of COCO).

    Attributes:
      tokens: int32 [captions, T].
      start: int64 [N + 1]; the captions of record n are rows start[n] to start[n + 1].
    """

    def __init__(self, records: Records, tokenizer: Tokenizer) -> None:
        counts = [len(texts) for texts in records.captions]
        self.start = np.concatenate([[0], np.cumsum(counts)])
        self.tokens = tokenizer.encode([text for texts in records.captions for text in texts])
        self.most = max(counts)

    def longest(self) -> np.ndarray:
        """Returns the number of tokens of each record's longest caption, int64 [N]."""
        return np.maximum.reduceat((self.tokens != PAD).sum(axis=1), self.start[:-1])

    def images(self, positions: np.ndarray) -> np.ndarray:
        """Returns the positions of the images that have these captions: themselves."""
        return positions

    def only(self, kept: np.ndarray) -> Captions:
        """Returns these captions without those that are False in `kept`, bool [captions]."""
        fewer = copy.copy(self)
        fewer.tokens = self.tokens[kept]
        fewer.start = np.concatenate([[0], np.cumsum(kept)])[self.start]
        fewer.most = int(np.diff(fewer.start).max())
        return fewer

    def draw(self, ids: np.ndarray, positions: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Returns one caption per record, drawn by (seed, epoch, id): int32 [len(positions), T]."""
        first, last = self.start[positions], self.start[positions + 1]
        choice = draws.draw("caption", seed, epoch, ids[positions]) % (last - first).astype(np.uint64)
        return self.tokens[first + choice.astype(np.int64)]

    def all(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns every caption of each record, padded to the most of any record: int32 [B, C, T], float32 [B, C]."""
        tokens = np.full([len(positions), self.most, self.tokens.shape[1]], PAD, np.int32)
        weights = np.zeros([len(positions), self.most], np.float32)
        for row, position in enumerate(positions):
            count = self.start[position + 1] - self.start[position]
            tokens[row, :count] = self.tokens[self.start[position] : self.start[position + 1]]
            weights[row, :count] = 1.0
        return tokens, weights


class SingleCaptions:
    """The same captions with each an example of its own; positions are among the captions."""

    def __init__(self, captions: Captions) -> None:
        self.tokens = captions.tokens
        self._images = np.repeat(np.arange(len(captions.start) - 1), np.diff(captions.start))

    def longest(self) -> np.ndarray:
        """Returns the number of tokens of each caption, int64 [P]."""
        return (self.tokens != PAD).sum(axis=1)

    def images(self, positions: np.ndarray) -> np.ndarray:
        """Returns the position of each caption's image."""
        return self._images[positions]

    def all(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns int32 [B, 1, T] and float32 [B, 1]."""
        return self.tokens[positions][:, None], np.ones([len(positions), 1], np.float32)


class Inputs:
    """What the encoder or, where it is frozen, the decoder sees of each record, in any order asked for."""

    def __init__(
        self, records: Records, image_size: int, augment: str = "none", features: np.ndarray | None = None
    ) -> None:
        self.records, self.features, self.image_size = records, features, image_size
        self._augmentation = Augmentation(augment, image_size)
        self._augments = augment != "none"
        # Traced once, not for every epoch: tracing takes as long as decoding a hundred images.
        self._read, self._plain, self._augmented = (
            tf.function(part) for part in (self._read_block, self._plain_image, self._augmented_image)
        )

    def stream(self, blocks: list[np.ndarray], seed: int = 0, epoch: int = -1) -> Iterator[tuple[str, np.ndarray]]:
        """Yields ("features" or "images", array [len(block), ...]) for each block of positions, all of one length."""
        if self.features is not None:
            for block in blocks:
                yield "features", np.asarray(self.features[block])
        elif blocks:
            for images in self._decoded(blocks, seed, epoch).as_numpy_iterator():
                yield "images", images

    def _decoded(self, blocks: list[np.ndarray], seed: int, epoch: int) -> tf.data.Dataset:
        positions = np.stack(blocks)  # [blocks, B]
        hashes = draws.draw("augment", seed, max(epoch, 0), self.records.ids[positions])
        augments = self._augments and epoch >= 0
        return (
            tf.data.Dataset.from_tensor_slices((positions, hashes.view(np.int32).reshape(*positions.shape, 2)))
            .map(self._read)
            .prefetch(_BLOCKS_AHEAD)
            .unbatch()
            .map(self._augmented if augments else self._plain, num_parallel_calls=_IMAGES_AT_ONCE, deterministic=True)
            .batch(positions.shape[1], num_parallel_calls=_BLOCKS_AHEAD, deterministic=True)
            .prefetch(_BLOCKS_AHEAD)
        )

    def _read_block(self, positions: tf.Tensor, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the encoded images string [B] of a block of positions int64 [B], and its seeds."""
        serialised = tf.numpy_function(
            lambda block: np.array(self.records.raw(block), dtype=object), [positions], tf.string, stateful=False
        )
        serialised = tf.ensure_shape(serialised, positions.shape)
        return tf.io.parse_example(serialised, {"image": tf.io.FixedLenFeature([], tf.string)})["image"], seeds

    def _plain_image(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return decode(encoded, self.image_size)

    def _augmented_image(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return self._augmentation(decode(encoded, self._augmentation.decoded_size), seed)


class TrainingBatches:
    """The training batches of a subset of records.

    Batches of an epoch are a function of (seed, epoch) alone; a worker decodes only its share of each.

    Args:
      inputs: images or features by position.
      captions: the captions of the same records.
      positions: int64 [k], the kept records.
      batch_size: images of one optimizer step, over all workers; a multiple of workers x replicas.
      seed: of order, captions and augmentation.
      worker: (index, count) of this process among the workers.
    """

    def __init__(
        self,
        inputs: Inputs,
        captions: Captions,
        positions: np.ndarray,
        batch_size: int,
        seed: int,
        worker: tuple[int, int] = (0, 1),
    ) -> None:
        self.inputs, self.captions, self.positions = inputs, captions, positions
        self.batch_size, self.seed, self.worker = batch_size, seed, worker
        self.steps_per_epoch = -(-len(positions) // batch_size)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """Yields the batches of one epoch from its step `first_step` on."""
        ids = self.inputs.records.ids
        order = self.positions[draws.permutation("order", self.seed, epoch, ids[self.positions])]
        tokens = self.captions.draw(ids, order, self.seed, epoch)
        steps = self._by_length((tokens != PAD).sum(axis=1), epoch)[first_step:]
        # Filled up with its own images over and over, so that batch normalisation sees no image much more than others.
        padded = [np.resize(step, self.batch_size) for step in steps]
        index, count = self.worker
        share = slice(index * self.batch_size // count, (index + 1) * self.batch_size // count)
        stream = self.inputs.stream([order[step[share]] for step in padded], self.seed, epoch)
        for step, whole, (name, array) in zip(steps, padded, stream, strict=True):
            weights = (np.arange(self.batch_size) < len(step)).astype(np.float32)
            length = _rounded_length(tokens[step])  # of the whole batch, so that all workers compile one shape
            yield {
                name: array,
                "tokens": tokens[whole[share], :length],
                "weights": weights[share],
                "position": order[whole[share]],
            }

    def _by_length(self, lengths: np.ndarray, epoch: int) -> list[np.ndarray]:
        """Cuts an epoch's order into steps of captions of like length (sorted within 16 batches), in random order."""
        window = 16 * self.batch_size
        steps: list[np.ndarray] = []
        for start in range(0, len(lengths), window):
            by_length = start + np.argsort(lengths[start : start + window], kind="stable")
            steps.extend(by_length[i : i + self.batch_size] for i in range(0, len(by_length), self.batch_size))
        shuffled = draws.permutation("steps", self.seed, epoch, np.arange(len(steps)))
        return [steps[index] for index in shuffled]


class SequentialBatches:
    """Batches in the order of `positions` for scoring and decoding, the last one padded to full size with weight 0.

    With `captions` each batch also holds `tokens` [B, C, T] and `weights` [B, C]; otherwise `weights` is [B]. Positions
    are among what the captions belong to: images, or single captions.
    """

    def __init__(
        self,
        inputs: Inputs,
        positions: np.ndarray,
        batch_size: int,
        captions: Captions | SingleCaptions | None = None,
    ) -> None:
        self.inputs, self.positions, self.captions = inputs, positions, captions
        self.batch_size = batch_size
        self.unit = "pair" if isinstance(captions, SingleCaptions) else "image"
        self.blocks = [positions[i : i + batch_size] for i in range(0, len(positions), batch_size)]

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self) -> Iterator[Batch]:
        return self.start(0)

    def start(self, first_block: int) -> Iterator[Batch]:
        """Yields the batches from block `first_block` on."""
        blocks = self.blocks[first_block:]
        padded = [np.concatenate([block, np.repeat(block[:1], self.batch_size - len(block))]) for block in blocks]
        images = padded if self.captions is None else [self.captions.images(block) for block in padded]
        for block, whole, (name, array) in zip(blocks, padded, self.inputs.stream(images), strict=True):
            present = (np.arange(self.batch_size) < len(block)).astype(np.float32)
            batch = {name: array, "position": whole, "weights": present}
            if self.captions is not None:
                tokens, weights = self.captions.all(whole)
                batch["tokens"] = tokens[..., : _rounded_length(tokens)]
                batch["weights"] = weights * present[:, None]
            yield batch


def _rounded_length(tokens: np.ndarray) -> int:
    """Returns the length of the longest caption of int32 [..., T], rounded up to LENGTH_STEP or T."""
    longest = int((tokens != PAD).sum(axis=-1).max())
    return min(-(-longest // LENGTH_STEP) * LENGTH_STEP, tokens.shape[-1])
