"""The contrastive loss of a student on pairs, its gradients, and steps of gradient descent, functional and compiled.

Experts and students are trained by them, and the loops that distillation differentiates are made of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

Tensors = Sequence[tf.Tensor]
MODALITIES = ("image", "text")  # what has a rate of its own; the scale of the logits moves with the text's


def rate_places(model: keras.Model) -> list[int]:
    """Returns for each trainable variable which of the two rates is its own."""
    return [0 if modality == "image" else 1 for modality in model.modalities()]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a contrastive loss gives of its B pairs.

    Attributes:
      loss: mean over pairs and directions, nats.
      each: of a pair, the mean of its directions, float32 [B].
      right: whether a pair's own text and its own image are the likeliest, float32 [B], 0 or 1.
    """

    loss: tf.Tensor
    each: tf.Tensor
    right: tf.Tensor


def contrastive(
    model: keras.Model, parameters: Tensors, state: Tensors, images: tf.Tensor, texts: tf.Tensor
) -> Outcome:
    """Returns the bidirectional InfoNCE loss of B pairs.

    Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020, figure 3: the logits are the cosines times
    exp(log_scale).
    """
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    with keras.StatelessScope(state_mapping=list(zip(variables, [*parameters, *state], strict=True))):
        of_images, of_texts = model({"images": images, "texts": texts})
        logits = model.scale() * tf.matmul(of_images, of_texts, transpose_b=True)
    own = tf.linalg.diag_part(logits)
    each = (tf.reduce_logsumexp(logits, 1) + tf.reduce_logsumexp(logits, 0)) / 2 - own
    best = tf.logical_and(own >= tf.reduce_max(logits, 1), own >= tf.reduce_max(logits, 0))
    return Outcome(tf.reduce_mean(each), each, tf.cast(best, each.dtype))


def contrastive_gradients(
    model: keras.Model, parameters: Tensors, state: Tensors, images: tf.Tensor, texts: tf.Tensor
) -> tuple[Outcome, list[tf.Tensor]]:
    """Returns the outcome of B pairs and the gradient of the loss at every parameter."""
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        outcome = contrastive(model, parameters, state, images, texts)
    gradients = tape.gradient(outcome.loss, list(parameters), unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return outcome, [tf.convert_to_tensor(gradient) for gradient in gradients]


def gradient_function(model: keras.Model, xla: bool) -> Callable[..., tuple[Any, list[tf.Tensor]]]:
    """Returns a compiled function (parameters, state, images, texts) -> (loss, each, right), gradients."""

    @tf.function(jit_compile=xla)
    def compute(parameters: Tensors, state: Tensors, images: tf.Tensor, texts: tf.Tensor) -> Any:
        found, gradients = contrastive_gradients(model, parameters, state, images, texts)
        return (found.loss, found.each, found.right), gradients

    return compute


def descent_function(model: keras.Model, xla: bool, momentum: float) -> Callable[..., Any]:
    """Returns a compiled step of gradient descent.

    The function is (parameters, velocities, state, images, texts, rates [2]) -> (loss, each, right), parameters,
    velocities. Source: Polyak 1964, with the velocity as a decaying sum of gradients.
    """
    places = rate_places(model)

    @tf.function(jit_compile=xla)
    def step(
        parameters: Tensors, velocities: Tensors, state: Tensors, images: tf.Tensor, texts: tf.Tensor, rates: tf.Tensor
    ) -> Any:
        found, gradients = contrastive_gradients(model, parameters, state, images, texts)
        faster = [momentum * velocity + gradient for velocity, gradient in zip(velocities, gradients, strict=True)]
        moved = [
            value - rates[place] * velocity for value, velocity, place in zip(parameters, faster, places, strict=True)
        ]
        return (found.loss, found.each, found.right), moved, faster

    return step


def vectors_function(model: keras.Model, xla: bool) -> Callable[..., tf.Tensor]:
    """Returns a compiled function (parameters, state, inputs, of_images) -> unit vectors [B, P]."""

    @tf.function(jit_compile=xla)
    def compute(parameters: Tensors, state: Tensors, inputs: tf.Tensor, of_images: bool) -> tf.Tensor:
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        with keras.StatelessScope(state_mapping=list(zip(variables, [*parameters, *state], strict=True))):
            return model.image_vectors(inputs) if of_images else model.text_vectors(inputs)

    return compute
