"""The contract that every captioner keeps: losses per token, and one decoding step."""

from __future__ import annotations

from typing import Any

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.models.generation import Decoding, Marks, generate

PAD = 0

Tensor = Any


class Captioner(keras.Model):
    """An image encoder and a caption decoder.

    A subclass gives `decoder_logits`, `logits_layer`, `start` and `step`; the rest is here. Shapes: B images, C
    captions an image, T tokens, V words, D feature width.

    Attributes:
      marks: the ids of its vocabulary that are no words; those of `tfcap.data.text` unless a subclass says otherwise.
    """

    marks = Marks()

    def __init__(self, encoder: keras.Model, label_smoothing: float = 0.0) -> None:
        super().__init__(name="captioner")
        self.encoder = encoder
        self.label_smoothing = label_smoothing

    def encode(self, images: Tensor) -> Tensor:
        """Returns the features float32 [B, D], or [B, R, D] of R regions, of images uint8 [B, S, S, 3]."""
        return ops.cast(self.encoder(self.encoder.preprocess(images)), "float32")

    def decoder_logits(self, features: Tensor, tokens: Tensor, training: bool) -> Tensor:
        """Returns the next word's logits float32 [B, T, V] after each of the tokens int32 [B, T]."""
        raise NotImplementedError

    def start(self, features: Tensor) -> list[Tensor]:
        """Returns the decoder's state before the first token, each part [B, ...]."""
        raise NotImplementedError

    def step(self, tokens: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Returns logits float32 [B, V] and the next state, after the tokens int32 [B]."""
        raise NotImplementedError

    @property
    def logits_layer(self) -> keras.layers.Layer:
        """The layer whose output `decoder_logits` returns: with tied embeddings the embedding, used in reverse."""
        raise NotImplementedError

    def call(self, inputs: dict[str, Tensor], training: bool = False, predictions: bool = False) -> tuple[Tensor, ...]:
        """Returns the token losses and their mask, both float32 [B, T-1], or [B, C, T-1] for tokens [B, C, T].

        The loss of a token is its cross-entropy in nats; label smoothing applies in training alone.

        Args:
          inputs: `tokens` int32 with `features` [B, D] or `images` uint8 [B, S, S, 3].
          predictions: returns also what `next_words` gives.
        """
        log_probs, targets = self.next_words(inputs, training)
        losses = -ops.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
        if training and self.label_smoothing:
            losses = (1 - self.label_smoothing) * losses - self.label_smoothing * ops.mean(log_probs, axis=-1)
        mask = ops.cast(targets != PAD, "float32")
        return (losses * mask, mask, log_probs, targets) if predictions else (losses * mask, mask)

    def next_words(self, inputs: dict[str, Tensor], training: bool = False) -> tuple[Tensor, Tensor]:
        """Returns each next word's log-probabilities float32 [..., T-1, V] and the words int32 [..., T-1] themselves.

        Args:
          inputs: as of `call`; tokens [B, T] or [B, C, T] give the leading axes.
        """
        features = inputs["features"] if "features" in inputs else self.encode(inputs["images"])
        tokens = inputs["tokens"]
        shape = ops.shape(tokens)
        if len(shape) == 3:
            features = ops.repeat(features, shape[1], axis=0)
            tokens = ops.reshape(tokens, [-1, shape[2]])
        log_probs = ops.log_softmax(ops.cast(self.decoder_logits(features, tokens[:, :-1], training), "float32"))
        targets = tokens[:, 1:]
        length = shape[-1] - 1
        return ops.reshape(log_probs, [*shape[:-1], length, -1]), ops.reshape(targets, [*shape[:-1], length])

    def generate(
        self, features: Tensor, max_tokens: int, decoding: Decoding, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns token ids int32 [B, max_tokens], the begin mark first, and scores float32 [B].

        A score is the sum of the log-probabilities of a caption's tokens / their number ** length_penalty.

        Args:
          features: as of `encode`.
          max_tokens: begin and end included.
          decoding: how the next word is chosen.
          rows: int32 [B], numbers of the images, of which draws are a function; their places in the batch if None.
        """
        prompt = ops.full([ops.shape(features)[0], 1], self.marks.begin, dtype="int32")
        return generate(self.start(features), self.step, prompt, self.marks, max_tokens - 1, decoding, rows)
