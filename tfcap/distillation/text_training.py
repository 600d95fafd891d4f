"""The small text encoder, trained beside an image encoder on all pairs and then frozen, where no weights are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from tfcap.command_settings import DistillSettings
from tfcap.data.records import Records
from tfcap.data.text import WordTokenizer
from tfcap.errors import TrainingDiverged
from tfcap.files import hash_of, locked
from tfcap.models.encoders import Encoder
from tfcap.models.small_text import SmallText
from tfcap.models.student import JointStudent
from tfcap.progress import progress_bar
from tfcap.settings import Settings
from tfcap.training.contrastive import gradient_function

SMALL = "small"
# Rate of Adam; seed of weights and order; pairs a step; times that a word is seen in train to be one.
_RATE, _SEED, _BATCH, _LEAST = 1e-3, 0, 128, 2


def trained_text_encoder(
    asked: DistillSettings,
    settings: Settings,
    records: Records,
    images: np.ndarray,
    build: Callable[[DistillSettings, Settings], Encoder],
    encoder_hash: str,
    cache: Path,
) -> SmallText:
    """Returns the small text encoder, trained by the contrastive loss; it is kept in the cache.

    It is one for all experts, students and seeds, as a pretrained one would be. The image encoder beside it, of which
    nothing is kept, begins as a student of seed 0 would.

    Args:
      images: of train, as students see them: float32 [N, D] or uint8 [N, S, S, 3].
      build: makes the image encoder, where images are pixels.
      encoder_hash: of its weights; "" where they are random.
    """
    of_pixels = asked.trains != "projections"
    model, data = settings.model, settings.data
    made_of = [model.encoder, encoder_hash, data.image_size, asked.trains, data.max_tokens, asked.text_epochs]
    made_of += [asked.projection_size, asked.temperature, asked.lora_rank, _RATE, _SEED, _BATCH, _LEAST]
    made_of += [asked.projection_size, asked.temperature, asked.lora_rank if asked.trains == "lora" else 0]
    folder = cache / hash_of("small text", made_of, records.fingerprint)[:16]
    with locked(folder / ".lock"):
        if not (folder / "encoder").is_dir():
            tokenizer = WordTokenizer.fit(
                (text for texts in records.captions for text in texts), _LEAST, data.max_tokens
            )
            encoder = SmallText(tokenizer, _SEED)
            keras.utils.set_random_seed(_SEED)  # of the image encoder too
            of_images = build(asked, settings) if of_pixels else None
            _train(encoder, of_images, records, images, asked, settings)
            encoder.save(folder / "encoder")
    return SmallText.load(folder / "encoder")


def _train(
    encoder: SmallText,
    of_images: Encoder | None,
    records: Records,
    images: np.ndarray,
    asked: DistillSettings,
    settings: Settings,
) -> None:
    width = of_images.feature_size if of_images else images.shape[-1]
    model = JointStudent(width, encoder, asked.projection_size, asked.temperature, of_images)
    optimizer = keras.optimizers.Adam(_RATE)
    optimizer.build(model.trainable_variables)
    gradients = gradient_function(model, settings.training.xla)
    size = min(_BATCH, len(images))
    total = asked.text_epochs * (len(images) // size)
    with progress_bar(total, "text encoder", "step", shown=settings.run.progress) as bar:
        for epoch in range(asked.text_epochs):
            rng = np.random.default_rng([_SEED, epoch])
            order = rng.permutation(len(images))
            for first in range(0, len(order) - size + 1, size):
                rows = order[first : first + size]
                texts = [records.captions[row][rng.integers(len(records.captions[row]))] for row in rows]
                loss = _step(model, optimizer, gradients, np.asarray(images[rows], np.float32), encoder.tokens(texts))
                if not np.isfinite(loss):
                    raise TrainingDiverged(f"The text encoder's loss was {loss} in epoch {epoch + 1}")
                bar.update()


def _step(model: JointStudent, optimizer: Any, gradients: Any, images: np.ndarray, tokens: np.ndarray) -> float:
    parameters = [variable.value for variable in model.trainable_variables]
    state = [variable.value for variable in model.non_trainable_variables]
    (loss, _, _), found = gradients(parameters, state, tf.constant(images), tf.constant(tokens))
    optimizer.apply(found, model.trainable_variables)
    return float(loss)
