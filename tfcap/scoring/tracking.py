"""What a training can track of each example as a by-product of its own steps, one number an epoch.

Everything is of the caption that the example was trained on in that epoch, as training saw it: in training mode,
dropout and label smoothing included, and with the parameters before the step.
"""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

from tfcap import registry
from tfcap.scoring.gradient_norms import rules_of
from tfcap.scoring.taps import Taps, recording
from tfcap.settings import SelectionSettings
from tfcap.training.step import Seen, Tracking


class Tracked(abc.ABC):
    """A number of each example of a training step.

    Attributes:
      unit: of the number.
      norms: it is made of the norms of the examples' gradients.
      predictions: it is made of the words' probabilities.
    """

    unit: str
    norms = False
    predictions = False

    @abc.abstractmethod
    def of(self, seen: Seen, norms: tf.Tensor | None) -> tf.Tensor:
        """Returns float32 [B] from the forward pass and the norms [B] of the gradients of each summed caption loss."""


class Loss(Tracked):
    """Mean token loss."""

    unit = "nats per token"

    def of(self, seen: Seen, norms: tf.Tensor | None) -> tf.Tensor:
        return _mean(seen, seen.losses)


class TrackedGradientNorm(Tracked):
    """L2 norm of the gradient of the mean token loss over all trainable parameters, by the rules of `gradient_norm`."""

    unit = "nats per token per unit of parameter"
    norms = True

    def of(self, seen: Seen, norms: tf.Tensor | None) -> tf.Tensor:
        return tf.math.divide_no_nan(norms, tf.reduce_sum(seen.mask, -1))


class WordAccuracy(Tracked):
    """Part of the words that have the highest probability where they stand, after the right words before them."""

    unit = "part of the words, in [0, 1]"
    predictions = True

    def of(self, seen: Seen, norms: tf.Tensor | None) -> tf.Tensor:
        return _mean(seen, tf.cast(_margins(seen) > 0, tf.float32))


class WordMargin(Tracked):
    """Mean over the words of the right word's logit less the highest of the others."""

    unit = "nats per token"
    predictions = True

    def of(self, seen: Seen, norms: tf.Tensor | None) -> tf.Tensor:
        return _mean(seen, _margins(seen))


def _mean(seen: Seen, values: tf.Tensor) -> tf.Tensor:
    return tf.math.divide_no_nan(tf.reduce_sum(values * seen.mask, -1), tf.reduce_sum(seen.mask, -1))


def _margins(seen: Seen) -> tf.Tensor:
    """Returns each word's margin [B, T]; log-probabilities differ from one another as logits do."""
    right = tf.gather(seen.log_probs, seen.words, batch_dims=2)
    is_right = tf.range(tf.shape(seen.log_probs)[-1]) == seen.words[..., None]  # [B, T, V]
    return right - tf.reduce_max(tf.where(is_right, seen.log_probs.dtype.min, seen.log_probs), -1)


class _NoTaps:
    outputs: Sequence[tf.Tensor] = ()


@contextlib.contextmanager
def _nothing(examples: int, watch: Callable[[tf.Tensor], None]) -> Iterator[_NoTaps]:
    yield _NoTaps()


def tracking_of(names: Sequence[str], model: keras.Model, settings: SelectionSettings) -> Tracking:
    """Returns what a training step of the model tracks.

    Args:
      names: of `registry.TRACKED`.
      settings: say what `gradient_norm` does at a layer without a rule.

    Raises:
      InputError: a layer has no rule.
    """
    signals = [registry.TRACKED[name]() for name in names]
    variables = model.trainable_variables
    norms = needs_norms(names)

    def finish(seen: Seen, taps: Taps, gradients: list[tf.Tensor]) -> tf.Tensor:
        found = taps.norms(gradients, variables) if norms else None
        return tf.stack([signal.of(seen, found) for signal in signals], -1)

    return Tracking(
        tuple(names),
        functools.partial(recording, rules_of(model, settings)) if norms else _nothing,
        finish,
        any(signal.predictions for signal in signals),
    )


def needs_norms(names: Sequence[str]) -> bool:
    """Returns whether one of the tracked signals is made of gradients, whose rules must be checked for the model."""
    return any(registry.TRACKED[name].norms for name in names)
