"""A split's captions, part after part: from memory, or from shards by processes that hold no index of the split."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tfcap.quiet  # noqa: F401

import numpy as np

import tensorflow as tf  # isort: skip

from tfcap.data.record_index import RecordIndex, Stretch, payloads

_PARSED = 512  # records at a time


class Texts(NamedTuple):
    """The captions of consecutive images.

    Attributes:
      start: position of the first image in the split.
      captions: of each image.
      following: the caption after the last, "" at the end of the split: a tokenizer may look ahead.
    """

    start: int
    captions: Sequence[Sequence[str]]
    following: str


class Block(NamedTuple):
    """Where consecutive records of one shard lie.

    Attributes:
      start: position of the first in the split.
      records: how many there are.
      place: of these.
      following: of the one record after them; None at the end of the split.
    """

    start: int
    records: int
    place: Stretch
    following: Stretch | None


def captions_of(serialised: Sequence[bytes]) -> list[list[str]]:
    """Returns the captions of each serialised record; what else it holds is skipped."""
    spec = {"captions/text": tf.io.RaggedFeature(tf.string)}
    parsed = tf.io.parse_example(tf.constant(serialised, dtype=tf.string), spec)["captions/text"].to_list()
    return [[text.decode() for text in texts] for texts in parsed]


def blocks_of(index: RecordIndex, most: int) -> list[Block]:
    """Returns a split as blocks, in order, none with more than `most` records or of two shards."""
    starts = np.union1d(np.arange(0, len(index), most), index.first_of_shards())
    return [
        Block(
            start,
            stop - start,
            index.stretch(start, stop),
            index.stretch(stop, stop + 1) if stop < len(index) else None,
        )
        for start, stop in itertools.pairwise([*starts.tolist(), len(index)])
    ]


def texts_of(block: Block) -> Iterator[Texts]:
    """Yields a block's captions, in memory for a few hundred images at a time.

    Raises:
      InputError: the shard is cut short.
    """
    after = captions_of(list(payloads(block.following)))[0][0] if block.following else ""
    return _with_following(block.start, _pieces(payloads(block.place)), after)


def texts_in(captions: Sequence[Sequence[str]]) -> Iterator[Texts]:
    """Yields all captions of a split, which are in memory."""
    pieces = (captions[start : start + _PARSED] for start in range(0, len(captions), _PARSED))
    return _with_following(0, pieces, "")


def _pieces(serialised: Iterator[bytes]) -> Iterator[list[list[str]]]:
    while piece := list(itertools.islice(serialised, _PARSED)):
        yield captions_of(piece)


def _with_following(start: int, pieces: Iterator[Sequence[Sequence[str]]], after: str) -> Iterator[Texts]:
    for piece, later in itertools.pairwise(itertools.chain(pieces, [[[after]]])):
        yield Texts(start, piece, later[0][0])
        start += len(piece)
