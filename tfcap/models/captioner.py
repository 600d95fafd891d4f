"""The contract that every captioner keeps: losses per token, and one decoding step."""

from __future__ import annotations

import math
from typing import Any, Self

import tfcap.quiet  # noqa: F401

import keras
from keras import ops

from tfcap.data.text import PAD, Marks
from tfcap.errors import InputError
from tfcap.models.batch_norm import moving_statistics
from tfcap.models.decoder_state import State
from tfcap.models.encoders import Encoder
from tfcap.models.generation import Decoding, generate
from tfcap.models.hugging_face import HuggingFace
from tfcap.settings import ModelSettings, Settings

# The parts that --train lets learn.
_TRAINED = {
    "all": ("encoder", "projection", "decoder"),
    "encoder": ("encoder",),
    "decoder": ("projection", "decoder"),
    "projection": ("projection",),
    "lora": ("projection", "lora"),
}

Tensor = Any


class Captioner(keras.Model):
    """An image encoder and a caption decoder.

    A subclass gives `of`, `parts`, `decoder_logits`, `logits_layer`, `start` and `step`; the rest is here. Shapes: B
    images, C captions an image, T tokens, V words, D feature width.

    Attributes:
      marks: the ids of its vocabulary that are no words; those of `WordTokenizer` unless another is set.
      max_tokens: of a caption at most, begin and end included, where the decoder's state has room for so many only.
    """

    marks = Marks()
    max_tokens: int | None = None

    def __init__(self, encoder: keras.Model, label_smoothing: float = 0.0) -> None:
        super().__init__(name="captioner")
        self.encoder = encoder
        self.label_smoothing = label_smoothing

    @classmethod
    def of(cls, encoder: Encoder, vocabulary_size: int, settings: Settings) -> Self:
        """Returns the captioner that the settings describe; its decoder is pretrained where they name a checkpoint."""
        raise NotImplementedError

    @classmethod
    def sees_regions(cls, model: ModelSettings) -> bool:
        """Returns whether it is made for features [B, R, D], of the regions of an image."""
        raise NotImplementedError

    def parts(self) -> dict[str, list[keras.layers.Layer]]:
        """Returns its layers but the encoder as "decoder" and "projection", and as "lora" where it has adapters."""
        raise NotImplementedError

    def hugging_face(self) -> HuggingFace:
        """Returns its form at Hugging Face; raises InputError if it has none. It may train no more after that."""
        raise InputError("There is no form at Hugging Face for this captioner", received=type(self).__name__)

    def train_only(self, train: str) -> None:
        """Freezes all but the parts that --train names; raises InputError if it has no adapters that were to train."""
        parts = self.parts()
        if train == "lora" and "lora" not in parts:
            raise InputError(f"{type(self).__name__} has no adapters to train", received="--train=lora")
        if not any(layer.variables for name in _TRAINED[train] for layer in parts.get(name, [self.encoder])):
            raise InputError("The part that is to train has no weights", received=f"--train={train}")
        self.encoder.trainable = "encoder" in _TRAINED[train]
        for name, layers in parts.items():
            if train == "lora" and name == "decoder":
                continue  # which they lie in, and which is frozen since they were put there
            for layer in layers:
                layer.trainable = name in _TRAINED[train]

    @property
    def ends(self) -> tuple[int, ...]:
        """What a tokenizer may end captions with: the mark, or several of which a pretrained decoder knows each."""
        return (self.marks.end,)

    @property
    def parameters(self) -> int:
        """How many numbers its weights are, which dropout's counters and statistics that training moves are not."""
        moved = {id(variable) for variable in moving_statistics(self)}
        weights = (one for one in self.variables if "float" in one.dtype and id(one) not in moved)
        return sum(math.prod(variable.shape) for variable in weights)

    @property
    def parameters_trained(self) -> int:
        """How many numbers training changes."""
        return sum(math.prod(variable.shape) for variable in self.trainable_variables)

    def encode(self, images: Tensor, training: bool = False) -> Tensor:
        """Returns the features float32 [B, D], or [B, R, D] of R regions, of images uint8 [B, S, S, 3]."""
        return ops.cast(self.encoder(self.encoder.preprocess(images), training=training), "float32")

    def decoder_logits(self, features: Tensor, tokens: Tensor, training: bool) -> Tensor:
        """Returns the next word's logits float32 [B, T, V] after each of the tokens int32 [B, T], none of them PAD."""
        raise NotImplementedError

    def start(self, features: Tensor) -> State:
        """Returns the decoder's state before the first token of one caption an image."""
        raise NotImplementedError

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns logits float32 [N, V] and the next state, after the tokens int32 [N], none of them PAD.

        N is B, or B * K for K captions of each image, which lie in a row; what is constant in the state has B rows.
        """
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
          predictions: returns also the log-probabilities and the words that `next_words` gives.
        """
        log_probs, words, mask = self.next_words(inputs, training)
        losses = self.cross_entropy(log_probs, words, training)
        return (losses * mask, mask, log_probs, words) if predictions else (losses * mask, mask)

    def cross_entropy(self, log_probs: Tensor, words: Tensor, training: bool) -> Tensor:
        """Returns the losses float32 [..., T] in nats of words int32 [..., T] by log-probabilities [..., T, V]."""
        losses = -ops.take_along_axis(log_probs, words[..., None], axis=-1)[..., 0]
        if training and self.label_smoothing:
            losses = (1 - self.label_smoothing) * losses - self.label_smoothing * ops.mean(log_probs, axis=-1)
        return losses

    def next_words(self, inputs: dict[str, Tensor], training: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Returns each next word's log-probabilities, the words themselves and where there is one.

        Args:
          inputs: as of `call`; tokens [B, T] or [B, C, T] give the leading axes.

        Returns:
          float32 [..., T-1, V]; int32 [..., T-1], 0 in padding; float32 [..., T-1], 0 in padding, else 1.
        """
        features = inputs["features"] if "features" in inputs else self.encode(inputs["images"], training)
        tokens = inputs["tokens"]
        shape = ops.shape(tokens)
        if len(shape) == 3:
            features = ops.repeat(features, shape[1], axis=0)
            tokens = ops.reshape(tokens, [-1, shape[2]])
        words = ops.maximum(tokens, 0)
        log_probs = ops.log_softmax(ops.cast(self.decoder_logits(features, words[:, :-1], training), "float32"))
        mask = ops.cast(tokens[:, 1:] != PAD, "float32")
        of_words = [*shape[:-1], shape[-1] - 1]
        return (
            ops.reshape(log_probs, [*of_words, -1]),
            ops.reshape(words[:, 1:], of_words),
            ops.reshape(mask, of_words),
        )

    def generate(
        self, features: Tensor, max_tokens: int, decoding: Decoding, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns token ids int32 [B, max_tokens], the begin mark first, and scores float32 [B].

        A score is the sum of the log-probabilities of a caption's tokens / their number ** length_penalty.
        Raises InputError for more tokens than there is room for.

        Args:
          features: as of `encode`.
          max_tokens: begin and end included.
          decoding: how the next word is chosen.
          rows: int32 [B], numbers of the images, of which draws are a function; their places in the batch if None.
        """
        if self.max_tokens is not None and max_tokens > self.max_tokens:
            raise InputError(
                "The captioner was made for shorter captions",
                received=f"{max_tokens} tokens",
                expected=f"at most {self.max_tokens}",
            )
        prompt = ops.full([ops.shape(features)[0], 1], self.marks.begin, dtype="int32")
        return generate(self.start(features), self.step, prompt, self.marks, max_tokens - 1, decoding, rows)
