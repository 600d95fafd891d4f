"""Distances between what real and synthetic pairs do to a student, differentiated with respect to the latter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import tensorflow as tf

from tfcap.training.contrastive import Tensors, contrastive_gradients

Found = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def gradient_distance(
    model: keras.Model, xla: bool, matched: Sequence[str] = ("image", "text")
) -> Callable[..., Found]:
    """Returns a compiled function (parameters, state, real images, real texts, images, texts) -> loss, two gradients.

    The loss is the sum over the matched kernels, and over their last axis, of 1 less the cosine between the gradients
    of real and of synthetic pairs; biases and the scale of the logits are left out. The gradients are at the synthetic
    images and texts.
    Source: Zhao et al. 2021, https://arxiv.org/abs/2006.05929, equations 9 and 10.
    """
    places = [
        place
        for place, (variable, modality) in enumerate(zip(model.trainable_variables, model.modalities(), strict=True))
        if modality in matched and len(variable.shape) > 1
    ]

    @tf.function(jit_compile=xla)
    def compute(
        parameters: Tensors,
        state: Tensors,
        real_images: tf.Tensor,
        real_texts: tf.Tensor,
        images: tf.Tensor,
        texts: tf.Tensor,
    ) -> Found:
        _, wanted = contrastive_gradients(model, parameters, state, real_images, real_texts)
        with tf.GradientTape() as tape:
            tape.watch([images, texts])
            _, given = contrastive_gradients(model, parameters, state, images, texts)
            loss = tf.add_n([_columns_apart(given[place], wanted[place]) for place in places])
        gradients = tape.gradient(loss, [images, texts], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)

    return compute


def _columns_apart(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the sum over the last axis of 1 less the cosine of two arrays [..., outputs]."""
    one, other = (tf.reshape(array, [-1, array.shape[-1]]) for array in (one, other))
    # Inside of the root, since the derivative of a norm at 0 is NaN: a pair alone has no gradient.
    lengths = [tf.sqrt(tf.reduce_sum(tf.square(array), axis=0) + 1e-24) for array in (one, other)]
    return tf.reduce_sum(1 - tf.reduce_sum(one * other, axis=0) / (lengths[0] * lengths[1]))


def covariance_distance(encode: Callable[[Any], tf.Tensor], xla: bool, mean_weight: float) -> Callable[..., Found]:
    """Returns a compiled function (images, texts, wanted, image mean, text mean, scale) -> loss, two gradients.

    The loss is the squared distance of the cross-covariance of M pairs, times the scale, to the wanted one [D, E], over
    the square of the latter, plus `mean_weight` times the squared distances of the means of both modalities.
    Source: Lee et al. 2025, "CovMatch", https://arxiv.org/abs/2510.18583: with linear projections and frozen encoders
    what a linearised contrastive loss learns is a function of the cross-covariance; the means are its regularisation.

    Args:
      encode: images to features [M, D], which may be the identity.
    """

    @tf.function(jit_compile=xla)
    def compute(
        images: tf.Tensor,
        texts: tf.Tensor,
        wanted: tf.Tensor,
        image_mean: tf.Tensor,
        text_mean: tf.Tensor,
        scale: tf.Tensor,
    ) -> Found:
        with tf.GradientTape() as tape:
            tape.watch([images, texts])
            features = encode(images)
            of_images, of_texts = tf.reduce_mean(features, 0), tf.reduce_mean(texts, 0)
            count = tf.cast(tf.shape(texts)[0], texts.dtype)
            covariance = tf.matmul(features - of_images, texts - of_texts, transpose_a=True) / count
            apart = tf.reduce_sum(tf.square(scale * covariance - wanted)) / tf.reduce_sum(tf.square(wanted))
            means = tf.reduce_sum(tf.square(of_images - image_mean)) + tf.reduce_sum(tf.square(of_texts - text_mean))
            loss = apart + mean_weight * means
        gradients = tape.gradient(loss, [images, texts], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, *(tf.convert_to_tensor(gradient) for gradient in gradients)

    return compute
