"""Embeddings of images by the encoder that a scoring captioner trained, for selectors, where no encoder is frozen."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from tfcap.scoring.signal import Signal
from tfcap.training.step import Inputs, Tensors


class Embedding(Signal):
    """What the encoder of a captioner trained on all of train makes of an image, its mean where that is a map: [N, D].

    Source: study S5, which clusters the features of its teacher's last layer but one. Cost: O(N) passes of the encoder.
    """

    quantity = "activation"
    averages = False

    def default_epochs(self, epochs: int) -> int:
        return epochs

    def compute(self, model: keras.Model, xla: bool) -> Callable[[Tensors, Tensors, Inputs], tf.Tensor]:
        encoder = model.encoder
        trainable, fixed = (
            [position for position, one in enumerate(of_model) if any(one is other for other in of_encoder)]
            for of_model, of_encoder in (
                (model.trainable_variables, encoder.trainable_variables),
                (model.non_trainable_variables, encoder.non_trainable_variables),
            )
        )

        @tf.function(jit_compile=xla)
        def forward(parameters: Tensors, state: Tensors, images: tf.Tensor) -> tf.Tensor:
            features, _ = encoder.stateless_call(parameters, state, encoder.preprocess(images))
            features = tf.cast(features, tf.float32)
            return features if features.shape.rank == 2 else tf.reduce_mean(features, axis=1)

        def of_images(parameters: Tensors, state: Tensors, inputs: Inputs) -> tf.Tensor:
            ours = [parameters[position] for position in trainable], [state[position] for position in fixed]
            return forward(*ours, inputs["images"])

        return of_images
