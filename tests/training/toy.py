"""Captioners of a few dozen parameters and batches for them, without any data set."""

import keras
import numpy as np

from tfcap.data.text import PAD
from tfcap.models.batch_norm import BatchNorm
from tfcap.models.captioner import Captioner
from tfcap.models.classifier import Classifier
from tfcap.models.encoders import Encoder
from tfcap.models.lstm import LSTMCaptioner

FEATURES, WORDS, UNITS, EMBEDDING, TOKENS, SIDE = 3, 7, 2, 2, 6, 4


class ToyEncoder(Encoder):
    """One dense layer over the pixels."""

    def __init__(self):
        super().__init__(name="encoder")
        pixels = keras.Input((SIDE, SIDE, 3))
        dense = keras.layers.Dense(FEATURES, activation="tanh", name="dense")
        self.backbone = keras.Model(pixels, dense(keras.layers.Flatten()(pixels)))

    def preprocess(self, images):
        return keras.ops.cast(images, "float32") / 127.5 - 1.0

    def call(self, images):
        return self.backbone(images)


class NormedEncoder(ToyEncoder):
    """The same with batch normalisation, moved off its beginnings, and Keras' own dropout after it."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        norm = BatchNorm(name="norm")
        self.backbone = keras.Sequential([self.backbone, norm, keras.layers.Dropout(dropout, seed=0)], name="normed")
        for variable in (norm.moving_mean, norm.moving_variance):
            variable.assign(np.random.default_rng(0).uniform(0.2, 0.6, variable.shape))


def captioner(*, encoder_trains: bool = False, dropout: float = 0.0, seed: int = 0, **more: bool) -> Captioner:
    """Returns a captioner with large enough initial weights for no gradient to vanish."""
    keras.utils.set_random_seed(seed)
    encoder = ToyEncoder()
    encoder.trainable = encoder_trains
    model = LSTMCaptioner(
        encoder,
        feature_size=FEATURES,
        vocabulary_size=WORDS,
        units=UNITS,
        embedding_size=EMBEDDING,
        dropout=dropout,
        image_dropout=dropout,
        **more,
    )
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return model


def classifier(*, seed: int = 0, norm: bool = False, **more: float) -> Classifier:
    """Returns a classifier of as many classes as there are words, with batch normalisation or without."""
    keras.utils.set_random_seed(seed)
    model = Classifier(NormedEncoder(**more) if norm else ToyEncoder(), classes=WORDS)
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return model


def classes(size: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns inputs of `size` pictures of one class each."""
    rng = np.random.default_rng(seed)
    return {
        "images": rng.integers(0, 256, (size, SIDE, SIDE, 3)).astype(np.uint8),
        "tokens": rng.integers(0, WORDS, (size, 1)).astype(np.int32),
        "weights": np.ones(size, np.float32),
    }


def tokens_of(lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns int32 [..., TOKENS]: <begin>, words, <end> and padding; a length counts all but the padding."""
    words = rng.integers(3, WORDS, [*lengths.shape, TOKENS])
    place = np.arange(TOKENS)
    words = np.where(place == 0, 1, np.where(place == lengths[..., None] - 1, 2, words))
    return np.where(place < lengths[..., None], words, PAD).astype(np.int32)


def batch(size: int, *, seed: int = 0, captions: int = 0, images: bool = False) -> dict[str, np.ndarray]:
    """Returns inputs of `size` examples with captions of unequal lengths; `captions` of them each, or one if 0."""
    rng = np.random.default_rng(seed)
    shape = (size, captions) if captions else (size,)
    found = {"tokens": tokens_of(rng.integers(3, TOKENS + 1, shape), rng), "weights": np.ones(shape, np.float32)}
    if images:
        return {"images": rng.integers(0, 256, (size, SIDE, SIDE, 3)).astype(np.uint8), **found}
    return {"features": rng.normal(size=(size, FEATURES)).astype(np.float32), **found}


class ToyRecords:
    """As much of `tfcap.data.records.Records` as features and captions in memory need."""

    split = "train"

    def __init__(self, count: int, captions: list[list[str]] | None = None, fingerprint: str = "f" * 64):
        self.ids = np.arange(100, 100 + count)
        self.captions = captions or [
            [f"word{i % 3} and word{(i + j) % 4}" for j in range(1 + i % 3)] for i in range(count)
        ]
        self.fingerprint = fingerprint

    def __len__(self):
        return len(self.ids)
