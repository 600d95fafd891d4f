"""A student's gradient descent on a few pairs, differentiated with respect to the pairs: trajectory matching."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tfcap.quiet  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

from tfcap.training.contrastive import MODALITIES, Tensors, contrastive_gradients, rate_places


@dataclasses.dataclass(frozen=True)
class Unrolled:
    """The matching loss of an unrolled descent and its gradients.

    Attributes:
      loss: sum over the modalities that are matched.
      losses: of the image parameters and of the text parameters, float32 [2].
      images, texts: gradients at the pairs.
      rates: gradient at the student's rates of image and text parameters, float32 [2].
    """

    loss: tf.Tensor
    losses: tf.Tensor
    images: tf.Tensor
    texts: tf.Tensor
    rates: tf.Tensor


class Unrolling:
    """A student's descent on pairs from one point of a trajectory, and how far it ends from a later one.

    The loss of a modality is the squared distance of its parameters to the later point, over that between the two
    points; both losses are added. The scale of the logits moves with the text's rate and is not matched.
    Source: Wu et al. 2024, https://arxiv.org/abs/2308.07545, equations 3 and 4; Cazenavette et al. 2022,
    https://arxiv.org/abs/2203.11932, equation 2.
    """

    def __init__(self, model: keras.Model, xla: bool, matched: Sequence[str] = ("image", "text")) -> None:
        """Takes the student whose variables give the parameters' order, and the modalities whose distance counts."""
        self.model, self.matched = model, tuple(matched)
        self.modalities, self._places = model.modalities(), rate_places(model)
        self._plain = tf.function(self._plain_gradients, jit_compile=xla)
        self._step = tf.function(self._next, jit_compile=xla)
        self._back = tf.function(self._one_step_back, jit_compile=xla)
        self._end = tf.function(self._distance_and_gradient, jit_compile=xla)

    def plain(
        self,
        start: Tensors,
        target: Tensors,
        state: Tensors,
        images: tf.Tensor,
        texts: tf.Tensor,
        rates: tf.Tensor,
        batches: np.ndarray,
    ) -> Unrolled:
        """Returns the loss and its gradients, with all steps' activations in memory at once.

        Args:
          start, target: the parameters at the two points.
          state: what of the model is not trained.
          images, texts: of the M pairs.
          rates: of image and of text parameters, float32 [2].
          batches: the pairs of each step, int [steps, b].
        """
        return Unrolled(*self._plain(start, target, state, images, texts, rates, tf.constant(batches, tf.int32)))

    def recomputed(
        self,
        start: Tensors,
        target: Tensors,
        state: Tensors,
        images: tf.Tensor,
        texts: tf.Tensor,
        rates: tf.Tensor,
        batches: np.ndarray,
    ) -> Unrolled:
        """Returns what `plain` does, with one step's activations in memory: each is computed again on the way back.

        What is kept of a step are its parameters. The gradient is the whole one, unlike that of TESLA (Cui et al. 2023,
        https://arxiv.org/abs/2211.10586), which leaves out how a step's parameters depend on the steps before.
        """
        points = [list(start)]
        for batch in batches:
            points.append(self._step(points[-1], state, tf.gather(images, batch), tf.gather(texts, batch), rates))
        losses, adjoint = self._end(points.pop(), start, target)
        # Sums in memory of their own: a step's batch is a few of the pairs.
        of_images, of_texts = np.zeros(images.shape, images.dtype.name), np.zeros(texts.shape, texts.dtype.name)
        of_rates = tf.zeros_like(rates)
        for batch in batches[::-1]:
            adjoint, one, other, rate = self._back(
                points.pop(), state, tf.gather(images, batch), tf.gather(texts, batch), rates, adjoint
            )
            np.add.at(of_images, batch, one.numpy())
            np.add.at(of_texts, batch, other.numpy())
            of_rates += rate
        return Unrolled(
            tf.reduce_sum(losses), losses, tf.convert_to_tensor(of_images), tf.convert_to_tensor(of_texts), of_rates
        )

    def _next(
        self, parameters: Tensors, state: Tensors, images: tf.Tensor, texts: tf.Tensor, rates: tf.Tensor
    ) -> list[tf.Tensor]:
        """Returns the parameters after one step of plain gradient descent."""
        _, gradients = contrastive_gradients(self.model, parameters, state, images, texts)
        return [
            value - rates[place] * gradient
            for value, place, gradient in zip(parameters, self._places, gradients, strict=True)
        ]

    def _distances(self, end: Tensors, start: Tensors, target: Tensors) -> tf.Tensor:
        """Returns the normalised squared distances of the modalities that are matched, [2], 0 for one that is not."""
        found = []
        for modality in MODALITIES:
            of = [place for place, name in enumerate(self.modalities) if name == modality]
            left = tf.add_n([tf.reduce_sum(tf.square(end[place] - target[place])) for place in of])
            whole = tf.add_n([tf.reduce_sum(tf.square(start[place] - target[place])) for place in of])
            found.append(left / whole if modality in self.matched else tf.zeros_like(left))
        return tf.stack(found)

    def _plain_gradients(
        self,
        start: Tensors,
        target: Tensors,
        state: Tensors,
        images: tf.Tensor,
        texts: tf.Tensor,
        rates: tf.Tensor,
        batches: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            tape.watch([images, texts, rates])
            parameters = list(start)
            for step in range(batches.shape[0]):
                batch = tf.gather(images, batches[step]), tf.gather(texts, batches[step])
                parameters = self._next(parameters, state, *batch, rates)
            losses = self._distances(parameters, start, target)
            loss = tf.reduce_sum(losses)
        gradients = tape.gradient(loss, [images, texts, rates], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return loss, losses, *(tf.convert_to_tensor(gradient) for gradient in gradients)

    def _distance_and_gradient(
        self, end: Tensors, start: Tensors, target: Tensors
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(end)
            losses = self._distances(end, start, target)
            loss = tf.reduce_sum(losses)
        return losses, tape.gradient(loss, list(end), unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def _one_step_back(
        self,
        parameters: Tensors,
        state: Tensors,
        images: tf.Tensor,
        texts: tf.Tensor,
        rates: tf.Tensor,
        adjoint: Tensors,
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the adjoint before a step, and what the step adds to the gradients at its pairs and at the rates."""
        with tf.GradientTape() as tape:
            tape.watch([parameters, images, texts, rates])
            moved = self._next(parameters, state, images, texts, rates)
        found = tape.gradient(
            moved,
            [list(parameters), images, texts, rates],
            output_gradients=list(adjoint),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return found[0], *(tf.convert_to_tensor(one) for one in found[1:])
