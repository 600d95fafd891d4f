"""Which scenes a data set holds: how often each type recurs, and which images carry another image's captions.

Every number comes from a generator seeded by (seed, purpose, split, index), so an image of the train split looks
the same whatever the size of the data set; only the set of noisy captions depends on the size.
"""

from __future__ import annotations

import collections
import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from tfrecords_builder.scene_captions import write_captions
from tfrecords_builder.scene_drawing import render
from tfrecords_builder.scene_world import SceneType, sample_type

SPLITS = ("train", "validation", "test")
CAPTIONS_PER_IMAGE = 5
NOISY_SHARE = 0.05  # of the train images
JPEG_QUALITY = 90

# P(rank >= r) = (1 + r / _FLAT_RANKS) ** -_TAIL: a power law whose first few ranks are nearly equally frequent.
_TAIL = 0.3
_FLAT_RANKS = 15.0
_LAST_RANK = 2**40

_RANK, _TYPE, _PICTURE, _WORDS, _NOISE = range(5)  # the purposes a generator is seeded for


@dataclasses.dataclass(frozen=True)
class Scene:
    """One rendered scene with its captions and the truth about both."""

    image_id: int
    image: bytes  # JPEG, 96 x 96 RGB
    captions: tuple[str, ...]
    caption_ids: tuple[int, ...]
    content: SceneType
    copies: int  # train images that share its type, itself included
    caption_source: int  # the image the captions were written for

    @property
    def noisy(self) -> bool:
        """Whether the captions were written for another image."""
        return self.caption_source != self.image_id


def generator(seed: int, *key: int) -> np.random.Generator:
    """Returns the random generator that belongs to a data set's seed and a key."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, *key))))


def split_sizes(size: int) -> dict[str, int]:
    """Returns {split: images}: 0.8 / 0.1 / 0.1 of `size`, the rounding going to train."""
    tenth = size // 10
    return {"train": size - 2 * tenth, "validation": tenth, "test": tenth}


def split_types(size: int, seed: int, split: str) -> list[SceneType]:
    """Returns the type of every scene of a split, in order.

    The three splits draw from one power law, so validation and test mix types that train repeats with
    types it never shows (`copies` 0); a score can be split along that line.
    """
    types: dict[int, SceneType] = {}
    chosen = []
    for index in range(split_sizes(size)[split]):
        uniform = generator(seed, _RANK, SPLITS.index(split), index).random()
        rank = int(min(_FLAT_RANKS * ((1 - uniform) ** (-1 / _TAIL) - 1), _LAST_RANK))
        if rank not in types:
            types[rank] = sample_type(generator(seed, _TYPE, rank))
        chosen.append(types[rank])
    return chosen


def caption_sources(types: Sequence[SceneType], seed: int) -> dict[int, int]:
    """Returns {index: index of the image whose captions it carries} for the noisy images of train.

    Exactly round(NOISY_SHARE * N) images are noisy, as far as scenes of another type exist. A source is
    always a clean image of another type; it keeps its captions.
    """
    rng = generator(seed, _NOISE)
    order = rng.permutation(len(types)).tolist()
    count = round(NOISY_SHARE * len(types))
    noisy, clean = order[:count], order[count:]
    sources = {}
    for index in noisy:
        start = int(rng.integers(len(clean)))
        candidates = (clean[(start + step) % len(clean)] for step in range(len(clean)))
        source = next((other for other in candidates if types[other] != types[index]), None)
        if source is not None:
            sources[index] = source
    return sources


def _encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def generate(size: int, seed: int, split: str) -> Iterator[Scene]:
    """Yields the scenes of one split of a data set of `size` images, in order; equal arguments give equal bytes.

    Ids run through train, validation and test without a gap. The bytes also depend on the versions of NumPy and
    Pillow (its JPEG encoder).
    """
    number = SPLITS.index(split)
    sizes = split_sizes(size)
    first_id = sum(sizes[name] for name in SPLITS[:number])
    train = split_types(size, seed, "train")
    types = train if split == "train" else split_types(size, seed, split)
    copies = collections.Counter(train)
    sources = caption_sources(train, seed) if split == "train" else {}
    for index, content in enumerate(types):
        image_id = first_id + index
        source = sources.get(index, index)
        yield Scene(
            image_id=image_id,
            image=_encode(render(content, generator(seed, _PICTURE, number, index))),
            captions=write_captions(types[source], generator(seed, _WORDS, number, source)),
            caption_ids=tuple(image_id * CAPTIONS_PER_IMAGE + k for k in range(CAPTIONS_PER_IMAGE)),
            content=content,
            copies=copies[content],
            caption_source=first_id + source,
        )
