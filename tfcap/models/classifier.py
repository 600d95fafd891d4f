"""The classifier: a captioner of one word, the name of a picture's class.

So it is trained, scored, selected for and distilled by the parts that captioners share. It knows the classes and no
other word: what a mark begins and ends has no probability here.
"""

from __future__ import annotations

from typing import Any, Self

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.data.text import PAD
from tfcap.models.captioner import Captioner
from tfcap.models.encoders import Encoder, as_one_vector
from tfcap.models.generation import Decoding
from tfcap.settings import ModelSettings, Settings

Tensor = Any


class Classifier(Captioner):
    """An image encoder and a layer of logits, one for each of K classes.

    Its features are those of the last layer but one, which study S5 clusters. A token is the number of a class, as
    `tfcap.data.classes.ClassNames` has it: [B, 1], or [B, 1, 1] in scoring.
    """

    def __init__(self, encoder: keras.Model, *, classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__(encoder, label_smoothing)
        self.class_logits = keras.layers.Dense(classes, name="class_logits")
        self.class_logits.build((None, encoder.feature_size))
        self.built = True

    @classmethod
    def of(cls, encoder: Encoder, vocabulary_size: int, settings: Settings) -> Self:
        return cls(encoder, classes=vocabulary_size, label_smoothing=settings.training.label_smoothing)

    @classmethod
    def sees_regions(cls, model: ModelSettings) -> bool:
        return False

    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        return {"decoder": [self.class_logits]}

    @property
    def logits_layer(self) -> keras.layers.Layer:
        return self.class_logits

    def log_probs(self, features: Tensor) -> Tensor:
        """Returns float32 [B, K] from features [B, D], or from the mean of regions [B, R, D]."""
        return ops.log_softmax(ops.cast(self.class_logits(as_one_vector(features)), "float32"))

    def next_words(self, inputs: dict[str, Tensor], training: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Returns each class's log-probability [..., 1, K], the right class [..., 1], and 1 where there is one."""
        features = inputs["features"] if "features" in inputs else self.encode(inputs["images"], training)
        tokens = inputs["tokens"]
        found = self.log_probs(features)  # [B, K]
        log_probs = ops.reshape(found, [ops.shape(found)[0], *[1] * (len(tokens.shape) - 1), found.shape[-1]])
        return log_probs, ops.maximum(tokens, 0), ops.cast(tokens != PAD, "float32")

    def generate(
        self, features: Tensor, max_tokens: int, decoding: Decoding, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns the likeliest class int32 [B, 1] and its log-probability float32 [B]; nothing else is chosen by."""
        log_probs = self.log_probs(features)
        return ops.cast(ops.argmax(log_probs, axis=-1), "int32")[:, None], ops.max(log_probs, axis=-1)
