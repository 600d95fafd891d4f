"""Scores from a captioner's predictions of each word: how wrong they are, or how unsure, in one forward pass."""

from __future__ import annotations

import abc
from collections.abc import Callable

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

from tfcap.scoring.signal import Signal
from tfcap.training.step import Inputs, Tensors, example_word_means


class _WordStatistic(Signal):
    """Mean over an image's captions of the mean, or sum, over a caption's words; higher is harder.

    Cost: O(N) forward passes.
    """

    @staticmethod
    @abc.abstractmethod
    def statistic(log_probs: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        """Returns one number a word [..., T] from log-probabilities [..., T, V] and the words [..., T]."""

    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        return example_word_means(model, xla, self.statistic, self.settings.token_reduction)


class EL2N(_WordStatistic):
    """Error L2 norm: the distance from the predicted distribution to the word itself, in [0, sqrt 2].

    Source: Paul et al. 2021, https://arxiv.org/abs/2107.07075, definition 2.2; early in training, as published.
    """

    quantity = "distance of probabilities per {}"

    def default_epochs(self, epochs: int) -> int:
        return max(1, round(epochs / 5))

    @staticmethod
    def statistic(log_probs: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        probs = tf.exp(log_probs)
        right = tf.gather(probs, words, batch_dims=len(words.shape))
        # |p - e|^2 = sum of p^2, less p_right^2, plus (1 - p_right)^2
        return tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(probs), -1) + 1 - 2 * right, 0.0))


class Entropy(_WordStatistic):
    """Entropy of the predicted distribution, whatever the word is.

    Source: uncertainty sampling, Settles 2009, section 3.1.
    """

    quantity = "nats per {}"

    def default_epochs(self, epochs: int) -> int:
        return epochs

    @staticmethod
    def statistic(log_probs: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(tf.exp(log_probs) * log_probs, -1)


class Margin(_WordStatistic):
    """One less the gap between the two likeliest words' probabilities: 1 where the captioner cannot decide.

    Source: margin sampling, Scheffer et al. 2001; Settles 2009, section 3.1.
    """

    quantity = "probability per {}"

    def default_epochs(self, epochs: int) -> int:
        return epochs

    @staticmethod
    def statistic(log_probs: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
        best = tf.exp(tf.math.top_k(log_probs, 2).values)
        return 1 - (best[..., 0] - best[..., 1])
