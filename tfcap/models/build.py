"""From settings to an encoder and a captioner with their initial weights."""

from __future__ import annotations

import dataclasses

import tfcap.quiet  # noqa: F401

import keras

from tfcap import registry
from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.captioner import Captioner
from tfcap.models.encoders import Encoder
from tfcap.models.generation import Decoding
from tfcap.settings import Settings


def build_encoder(settings: Settings) -> Encoder:
    """Returns the image encoder that the settings name, with its weights."""
    model = settings.model
    regions = registry.CAPTIONERS[model.model].sees_regions(model)
    made_by = registry.ENCODERS[model.encoder]
    encoder: Encoder = made_by(model.encoder_weights, settings.data.image_size, regions, **made_by.options(model))
    encoder.trainable = not model.freeze_encoder
    return encoder


def build_captioner(
    settings: Settings, vocabulary_size: int, encoder: Encoder | None = None, marks: Marks | None = None
) -> Captioner:
    """Returns the captioner; its initial weights are a function of the settings' seed and checkpoints alone.

    Call it inside `strategy.scope()`.

    Args:
      encoder: shared, not copied; a new one if None.
      marks: of the vocabulary; if None those of the checkpoint, or of `WordTokenizer`.
    """
    keras.utils.set_random_seed(settings.run.seed)
    captioner: Captioner = registry.CAPTIONERS[settings.model.model].of(
        encoder or build_encoder(settings), vocabulary_size, settings
    )
    own = captioner.marks if settings.model.checkpoint else Marks()
    captioner.marks = (
        _checked(own, marks or own, captioner, vocabulary_size) if settings.model.checkpoint else marks or own
    )
    captioner.train_only(settings.model.train)
    return captioner


def _checked(own: Marks, marks: Marks, captioner: Captioner, vocabulary_size: int) -> Marks:
    """Returns the marks of a vocabulary for a pretrained decoder, which never says what has no word.

    Raises:
      InputError: they are not those that the decoder was trained with, or it has fewer words.
    """
    if marks.begin != own.begin or marks.end not in captioner.ends:
        raise InputError(
            "The tokenizer begins and ends captions otherwise than the checkpoint",
            received=f"begin {marks.begin} and end {marks.end}",
            expected=f"begin {own.begin} and end {' or '.join(map(str, captioner.ends))}",
            remedy="Name the checkpoint's own tokenizer with --tokenizer, or mend its config.json.",
        )
    words = captioner.logits_layer
    size = words.input_dim if hasattr(words, "input_dim") else words.units
    if vocabulary_size > size:
        raise InputError(
            "The tokenizer has more tokens than the checkpoint", received=vocabulary_size, expected=f"at most {size}"
        )
    return dataclasses.replace(marks, never=tuple(sorted({*marks.never, *range(vocabulary_size, size)})))


def decoding_of(settings: Settings) -> Decoding:
    """Returns how the settings want captions to be decoded."""
    evaluation = settings.evaluation
    return Decoding(
        beams=evaluation.beams,
        length_penalty=evaluation.length_penalty,
        early_stopping=evaluation.early_stopping,
        no_repeat_ngram=evaluation.no_repeat_ngram,
        temperature=evaluation.temperature,
        top_p=evaluation.top_p,
        seed=settings.run.seed,
    )


def greedy_of(settings: Settings) -> Decoding:
    """Returns the same without beams and draws: the quick way that validation takes."""
    return dataclasses.replace(decoding_of(settings), beams=1, temperature=0.0)
