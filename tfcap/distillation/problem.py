"""What is distilled and for whom: the pairs of a data set as a student sees them, and the student."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import tfrecords_builder
from tfcap import registry
from tfcap.command_settings import DistillSettings
from tfcap.data.records import Records
from tfcap.distillation.representations import decoded_images, image_features, text_embeddings
from tfcap.distillation.text_training import SMALL, trained_text_encoder
from tfcap.errors import InputError
from tfcap.files import hash_of, read_json, write_json
from tfcap.models.encoders import Encoder
from tfcap.models.student import Student, with_low_rank
from tfcap.models.text_encoders import TextEncoder
from tfcap.settings import DataSettings, Settings

PROBLEM = "problem.json"  # of a folder
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Centres vectors and divides them by one number, so that their mean squared length in train is 1.

    Attributes:
      mean: float32 [D].
      length: root of the mean squared distance to the mean.
    """

    mean: np.ndarray
    length: float

    @classmethod
    def of(cls, vectors: np.ndarray) -> Scaling:
        """Returns the scaling of vectors [N, D]; of vectors that are all alike it divides by 1."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        length = float(np.sqrt(np.mean(np.sum(np.square(vectors - mean), axis=1))))
        return cls(mean.astype(np.float32), length or 1.0)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors - self.mean) / np.float32(self.length)


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """A split of a data set, in record order.

    Attributes:
      records: of the split.
      images: features float32 [N, D], or pixels uint8 [N, S, S, 3].
      texts: embeddings of all captions, float32 [C, E].
      start: int64 [N + 1]; the captions of image n are rows start[n] to start[n + 1].
    """

    records: Records
    images: np.ndarray
    texts: np.ndarray
    start: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @functools.cached_property
    def image_of_text(self) -> np.ndarray:
        """The position of each caption's image, int64 [C]."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    @functools.cached_property
    def captions(self) -> list[str]:
        """All captions, in the order of `texts`."""
        return [text for texts in self.records.captions for text in texts]

    def one_caption_each(self, rng: np.random.Generator) -> np.ndarray:
        """Returns the row of one caption of each image, drawn evenly: int64 [N]."""
        return self.start[:-1] + rng.integers(0, np.diff(self.start))

    def pictures(self, positions: np.ndarray) -> np.ndarray:
        """Returns what a student is given of images, float32 [k, ...]."""
        return np.asarray(self.images[positions], np.float32)


class Problem:
    """A data set, frozen encoders of its texts and perhaps of its images, and a student to train on pairs of it.

    Attributes:
      asked: the settings of the command.
      settings: those of the data, the image encoder and the process.
      splits: by name.
      text_encoder: frozen.
      image_scaling, text_scaling: of features and of embeddings, by their train split; images of pixels have none.
    """

    def __init__(self, asked: DistillSettings, settings: Settings) -> None:
        """Builds the data set where it is absent, and makes what frozen encoders give, or reads it from caches."""
        self.asked, self.settings = asked, settings
        data, progress = settings.data, settings.run.progress
        encoder = pretrained_encoder(settings)  # first of all, since its weights may be missing
        self._encoder_hash = "" if self.has_random_start else encoder.weights_hash()
        pretrained = pretrained_text_encoder(asked, data)
        built, cache = tfrecords_builder.build(data, progress), Path(data.data_dir) / "features"
        records = {split: Records(built, split, data.limit) for split in SPLITS}
        if self.of_pixels:
            self.image_scaling = None
            images = {split: decoded_images(records[split], data.image_size, cache, progress) for split in SPLITS}
        else:
            images = {
                split: image_features(records[split], data.image_size, encoder, cache, progress) for split in SPLITS
            }
            self.image_scaling = Scaling.of(images["train"])
            images = {split: self.image_scaling(images[split]) for split in SPLITS}
        self.text_encoder = pretrained or trained_text_encoder(
            asked, settings, records["train"], images["train"], build_encoder, self._encoder_hash, cache
        )
        texts = {split: text_embeddings(records[split], self.text_encoder, cache, progress) for split in SPLITS}
        self.text_scaling = Scaling.of(texts["train"])
        self.splits = {
            split: Split(
                records[split],
                images[split],
                self.text_scaling(texts[split]),
                np.concatenate([[0], np.cumsum([len(captions) for captions in records[split].captions])]),
            )
            for split in SPLITS
        }

    def asking(self, **changes: Any) -> Problem:
        """Returns the same problem for other settings of the method, with all that is made of the data shared."""
        other = copy.copy(self)
        other.asked = dataclasses.replace(self.asked, **changes)
        return other

    @property
    def of_pixels(self) -> bool:
        """True where pairs hold pictures, because the image encoder, or low-rank pairs in it, are trained."""
        return self.asked.trains != "projections"

    @property
    def has_random_start(self) -> bool:
        """True where the image encoder trains from random weights, which are others of each seed."""
        return self.of_pixels and self.settings.model.encoder_weights == "none"

    @property
    def train(self) -> Split:
        """The train split."""
        return self.splits["train"]

    @functools.cached_property
    def student(self) -> Student:
        """The student whose variables name the parameters; their values are of no meaning."""
        return self._new_student(0)

    @functools.cached_property
    def state(self) -> list[np.ndarray]:
        """What of the student is not trained."""
        return [variable.numpy() for variable in self.student.non_trainable_variables]

    def initial(self, seed: int) -> list[np.ndarray]:
        """Returns a student's initial parameters, a function of the seed and of pretrained weights."""
        return [variable.numpy() for variable in self._new_student(seed).trainable_variables]

    def _new_student(self, seed: int) -> Student:
        keras.utils.set_random_seed(seed)
        encoder = build_encoder(self.asked, self.settings) if self.of_pixels else None
        width = encoder.feature_size if encoder else self.train.images.shape[-1]
        return Student(width, self.train.texts.shape[-1], self.asked.projection_size, self.asked.temperature, encoder)

    def encoding(self, parameters: Sequence[np.ndarray] | None = None) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the function from a student's images to features [B, D]; of features it is the identity.

        Args:
          parameters: of the student whose image encoder it is; a new student's where there are none.
        """
        if not self.of_pixels:
            return lambda images: images
        student = self._new_student(0)
        if parameters is not None:
            for variable, value in zip(student.trainable_variables, parameters, strict=True):
                variable.assign(value)
        return student.features

    def encoded_images(self, split: str, parameters: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Returns what `encoding` makes of a split's images, float32 [N, D]."""
        images = self.splits[split].images
        if not self.of_pixels:
            return images
        encode = tf.function(self.encoding(parameters))
        blocks = (self.splits[split].pictures(np.arange(len(images))[i : i + 100]) for i in range(0, len(images), 100))
        return np.concatenate([encode(tf.constant(block)).numpy() for block in blocks])

    def fingerprints(self) -> dict[str, str]:
        """Returns that of each split."""
        return {split: self.splits[split].records.fingerprint for split in SPLITS}

    @functools.cached_property
    def identity(self) -> str:
        """A digest of all that experts and features depend on but the experts' own settings."""
        asked, model = self.asked, self.settings.model
        return hash_of(
            self.fingerprints(),
            [
                model.encoder,
                self._encoder_hash,
                self.text_encoder.identity(),
                asked.trains,
                self.settings.data.image_size,
            ],
            [asked.projection_size, asked.temperature, asked.lora_rank if asked.trains == "lora" else 0],
        )

    def described(self) -> dict[str, Any]:
        """Returns in words what `identity` is of."""
        asked, model, data = self.asked, self.settings.model, self.settings.data
        return {
            "dataset": data.dataset,
            "fingerprints": self.fingerprints(),
            "encoder": model.encoder,
            "encoder_weights": self._encoder_hash,
            "text_encoder": asked.text_encoder,
            "text_weights": self.text_encoder.identity(),
            "image_size": data.image_size,
            **{name: getattr(asked, name) for name in ("trains", "projection_size", "temperature")},
            **({"lora_rank": asked.lora_rank} if asked.trains == "lora" else {}),
        }

    def check_bound(self, out: Path) -> None:
        """Raises InputError where a folder is another problem's."""
        path, described = out / PROBLEM, self.described()
        known = read_json(path) if path.exists() else described
        other = [name for name in {**known, **described} if known.get(name) != described.get(name)]
        if other == ["fingerprints"]:
            raise InputError(f"{out} is of other data", remedy="Say what it was begun with, or choose another --out.")
        if other:
            raise InputError(
                f"{out} is of another --{other[0]}",
                received=described.get(other[0]),
                expected=known.get(other[0]),
                remedy="Say what it was begun with, or choose another --out.",
            )

    def bind(self, out: Path) -> None:
        """Makes a folder this problem's."""
        if not (out / PROBLEM).exists():
            write_json(out / PROBLEM, self.described())

    def check_pairs(self, count: int) -> None:
        """Raises InputError where there are not as many images in train."""
        if count > len(self.train):
            raise InputError(
                "There are fewer images than pairs are asked for",
                received=f"--pairs={count} of {len(self.train)} images",
                expected=f"1 to {len(self.train)}",
            )


def pretrained_encoder(settings: Settings) -> Encoder:
    """Returns the image encoder with its weights."""
    model = settings.model
    made = registry.ENCODERS[model.encoder]
    made.check_image_size(settings.data.image_size)
    encoder: Encoder = made(model.encoder_weights, settings.data.image_size, False, **made.options(model))
    return encoder


def build_encoder(asked: DistillSettings, settings: Settings) -> Encoder:
    """Returns the image encoder with its weights, trainable where `--trains` says so."""
    encoder = pretrained_encoder(settings)
    if asked.trains == "lora":
        return with_low_rank(encoder, asked.lora_rank)
    encoder.trainable = asked.trains == "encoder"
    return encoder


def pretrained_text_encoder(asked: DistillSettings, data: DataSettings) -> TextEncoder | None:
    """Returns the text encoder that the settings name with its weights, or None where one is trained here."""
    if asked.text_encoder == SMALL and not asked.text_weights:
        return None
    return registry.TEXT_ENCODERS[asked.text_encoder](asked.text_weights, data.max_tokens)
