"""Scoring batches without any data set: images with one to three captions, the most of any image being three."""

import numpy as np

from tests.training.toy import FEATURES, SIDE, ToyRecords
from tfcap.data.pipeline import Captions, Inputs, SequentialBatches
from tfcap.data.text import WordTokenizer

WORDS = ["<pad>", "<begin>", "<end>", "<unk>", "word0", "word1", "and"]


class ToyImages:
    """As much of `Inputs` as scoring reads, with pixels in memory."""

    def __init__(self, images):
        self.images = images

    def stream(self, blocks, seed=0, epoch=-1):
        for block in blocks:
            yield "images", self.images[block]


def batches(count: int, size: int, *, images: bool = False, backwards: bool = False) -> SequentialBatches:
    """Returns `count` examples in record order or backwards, `size` at a time; image n has 1 + n % 3 captions."""
    rng, records = np.random.default_rng(0), ToyRecords(count)
    if images:
        inputs = ToyImages(rng.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.uint8))
    else:
        inputs = Inputs(records, 16, features=rng.normal(size=(count, FEATURES)).astype(np.float32))
    captions = Captions(records, WordTokenizer(WORDS, max_tokens=6))
    return SequentialBatches(inputs, np.arange(count)[:: -1 if backwards else 1], size, captions)
