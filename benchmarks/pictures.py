"""JPEGs to measure with, real or made up, and TFRecords built from them by the product's own builder."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

import tfrecords_builder
from tfcap.data.records import Records
from tfcap.settings import DataSettings

_QUALITY = 87  # of the re-encoded pictures; what Flickr and COCO store is close to it
_WORDS = (
    "a",
    "dog",
    "child",
    "runs",
    "jumps",
    "across",
    "the",
    "grass",
    "water",
    "red",
    "ball",
    "two",
    "men",
    "street",
)


def jpegs(count: int, size: tuple[int, int], source: str = "") -> list[bytes]:
    """Returns `count` JPEGs of `size` (width, height).

    Args:
      source: a folder with an `images/` of photographs; a picture of another size is resized, one of that size kept
        byte for byte. Without it the pictures are made up.
    """
    if not source:
        return [_encoded(_made_up(number, size)) for number in range(count)]
    paths = sorted((Path(source).expanduser() / "images").glob("*.jpg"))
    if not paths:
        raise SystemExit(f"error: --source={source} has no images/*.jpg")
    return [_fitted(path, size) for path in (paths * (count // len(paths) + 1))[:count]]


def records(encoded: Sequence[bytes], folder: Path) -> Records:
    """Returns the train split of a data set in `folder` that was built of these pictures with made-up captions.

    Some tenths of the pictures go to the other splits: a random split of 0.8/0.1/0.1.
    """
    source = folder / "source"
    (source / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["image,caption"]
    for number, jpeg in enumerate(encoded):
        name = f"{number:06d}.jpg"
        (source / "images" / name).write_bytes(jpeg)
        lines += [f"{name},{' '.join(rng.choice(_WORDS, rng.integers(6, 16)))}" for _ in range(2)]
    (source / "captions.txt").write_text("\n".join(lines) + "\n")
    settings = DataSettings(dataset="flickr8k", source=str(source), data_dir=str(folder / "data"))
    return Records(tfrecords_builder.build(settings, progress=False), "train")


def _fitted(path: Path, size: tuple[int, int]) -> bytes:
    encoded = path.read_bytes()
    image = Image.open(io.BytesIO(encoded))
    if image.size == size and image.mode == "RGB":
        return encoded
    return _encoded(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def _encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _made_up(number: int, size: tuple[int, int]) -> Image.Image:
    """Returns patches of colour under a grain, which take about the bytes of a photograph of that size."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = _grain(size)
    shift = tuple(rng.integers(0, 64, 2))
    pixels = np.asarray(coarse, np.float32) + np.roll(grain, shift, (0, 1))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@functools.cache
def _grain(size: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    smooth = Image.fromarray(noise).filter(ImageFilter.GaussianBlur(0.8))
    return np.asarray(smooth, np.float32) - 127.5
