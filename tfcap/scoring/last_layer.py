"""Gradient norm over the last layer alone: what can be had of an example's gradient without going back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

from tfcap.errors import InputError
from tfcap.scoring.gradient_norms import GradientNorm
from tfcap.scoring.rules import RULES
from tfcap.scoring.taps import Taps, recording, without_rule
from tfcap.training.step import Inputs, Tensors, example_output_gradients, token_weights


class LastLayerGradientNorm(GradientNorm):
    """L2 norm of the gradient of each image's loss over the weights that make the logits, bias included.

    Exact, and without a backward pass: the loss's gradient at the logits is the predicted probabilities less the word
    itself, times what the word counts in its example; the layer's input is the other factor.
    The last layer is the captioner's `logits_layer`. Where that is the word embedding in reverse (tied embeddings), the
    gradient is that of the matrix as it makes the logits; the part through the look-up of words would need a way back.
    Source: what DeepCore (Guo et al. 2022, https://arxiv.org/abs/2204.08499) computes under the name of GraNd.
    Cost: O(N) forward passes.
    """

    FAULT = "the probabilities are not the softmax of what `logits_layer` returns"

    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        layer = _checked(model)
        values = [*model.trainable_variables, *model.non_trainable_variables]

        @tf.function(jit_compile=xla)
        def compute(parameters: Tensors, state: Tensors, inputs: Inputs) -> tf.Tensor:
            examples = inputs["weights"].shape[0]
            mapping = list(zip(values, [*parameters, *state], strict=True))
            with keras.StatelessScope(state_mapping=mapping), _record(layer, examples, _unwatched) as taps:
                log_probs, words, mask = model.next_words(dict(inputs), training=False)
                weights = token_weights(mask, inputs["weights"], self.settings.token_reduction)
                wrong = tf.exp(log_probs) - tf.one_hot(words, log_probs.shape[-1])
                return _norms(layer, taps, tf.reshape(wrong * weights[..., None], taps.outputs[-1].shape))

        return compute

    def check_captioner(self, model: keras.Model) -> None:
        _checked(model)

    def by_tape(self, model: keras.Model) -> Callable[..., tf.Tensor]:
        """Returns a function like that of `compute`, with the gradient at the logits from a gradient tape."""
        layer = _checked(model)

        def finish(taps: Taps, gradients: list[tf.Tensor]) -> tf.Tensor:
            return _norms(layer, taps, gradients[-1])

        record, reduction = functools.partial(_record, layer), self.settings.token_reduction
        compute = example_output_gradients(model, False, record, finish, reduction)
        return lambda *arguments: compute(*arguments)[0]


def _checked(model: keras.Model) -> keras.layers.Layer:
    """Returns the layer that makes the logits; raises InputError if its weights have no gradient, or no rule."""
    layer = model.logits_layer
    form = without_rule(layer, RULES) or type(layer).__name__
    if not layer.trainable_variables or without_rule(layer, RULES):
        raise InputError(
            "The layer that makes the logits has no gradient norm of its own",
            received=f"{layer.path} ({form}, {len(layer.trainable_variables)} trainable weights)",
            expected="trainable weights in a layer of type " + ", ".join(sorted(kind.__name__ for kind in RULES)),
            remedy="--selection_score=gradient_norm is of all layers.",
        )
    return layer


def _record(
    layer: keras.layers.Layer, examples: int, watch: Callable[[tf.Tensor], None]
) -> AbstractContextManager[Taps]:
    return recording({layer: RULES[type(layer)].rule}, examples, watch)


def _unwatched(tensor: tf.Tensor) -> None:
    """Takes the place of a gradient tape."""


def _norms(layer: keras.layers.Layer, taps: Taps, gradient: tf.Tensor) -> tf.Tensor:
    """Returns the norms [B] from the gradient at the layer's last output: at the logits, not at words looked up."""
    taps.taps = taps.taps[-1:]
    return taps.norms([gradient], layer.trainable_variables)
