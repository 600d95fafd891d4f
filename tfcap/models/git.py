"""GIT: one transformer over the tokens of an image and of its caption, each word of which sees both.

Source: Wang et al. 2022, https://arxiv.org/abs/2205.14100. The blocks are KerasHub's; the weights come from a
checkpoint with the names of Hugging Face (`git_checkpoint`), and a test holds all of it against PyTorch.

Shapes: B images, R tokens of an image, T of a caption, N rows of either, F the width of a feature, D = hidden_size,
V = vocab_size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
from keras import ops

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.bert_table import block_rows
from tfcap.models.cached_blocks import empty_state, extend, pass_image
from tfcap.models.decoder_state import State
from tfcap.models.weight_table import Row, linear, norm, row

Tensor = Any


@dataclasses.dataclass(frozen=True)
class GITShape:
    """The transformer of a config.json, under its names; what is not said there is that of every published GIT."""

    FAMILY: ClassVar[str] = "GIT"
    ONLY: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model_type": ("git",),
        "hidden_act": ("gelu",),
        "position_embedding_type": ("absolute",),
        "pad_token_id": (0,),
        "tie_word_embeddings": (False,),
    }

    vocab_size: int = 30522
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    max_position_embeddings: int = 1024
    bos_token_id: int = 101
    eos_token_id: int = 102
    layer_norm_eps: float = 1e-12


SHAPES = {
    "tiny": GITShape(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2),
    "mini": GITShape(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4),
    "small": GITShape(hidden_size=256, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=4),
    "base": GITShape(),  # that of git-base, and of git-large, whose image tower alone is larger
}


class GIT(keras.Model):
    """Tokens of an image [B, R, D] and words [B, T, D] to hidden vectors of the words, by blocks that norm last.

    The tokens of an image see each other and no word; a word sees the image, itself and the words before it. There is
    no dropout in the blocks.
    """

    def __init__(self, shape: GITShape, feature_size: int, image_epsilon: float = 1e-5, dtype: Any = None) -> None:
        """Makes a decoder with random weights.

        Args:
          feature_size: F, the width of the image features.
          image_epsilon: of the norm after their projection, which config.json says of the image tower.
          dtype: the policy of all but the logits; the global one if None.
        """
        super().__init__(name="git", dtype=dtype)
        self.shape = shape
        self.projection = keras.layers.Dense(shape.hidden_size, dtype=dtype, name="visual_projection")
        self.image_norm = keras.layers.LayerNormalization(epsilon=image_epsilon, dtype=dtype, name="image_norm")
        self.embedding = keras.layers.Embedding(shape.vocab_size, shape.hidden_size, dtype=dtype, name="embedding")
        self.positions = keras_hub.layers.PositionEmbedding(
            shape.max_position_embeddings, dtype=dtype, name="positions"
        )
        self.word_norm = keras.layers.LayerNormalization(epsilon=shape.layer_norm_eps, dtype=dtype, name="word_norm")
        self.blocks = [
            keras_hub.layers.TransformerDecoder(
                shape.intermediate_size,
                shape.num_attention_heads,
                activation="gelu",
                layer_norm_epsilon=shape.layer_norm_eps,
                dtype=dtype,
                name=f"block_{index}",
            )
            for index in range(shape.num_hidden_layers)
        ]
        self.vocabulary_logits = keras.layers.Dense(shape.vocab_size, dtype="float32", name="vocabulary_logits")
        self.projection.build((None, None, feature_size))
        self.embedding.build((None, None))
        for layer in (self.image_norm, self.positions, self.word_norm, *self.blocks, self.vocabulary_logits):
            layer.build((None, None, shape.hidden_size))
        self.built = True

    @property
    def marks(self) -> Marks:
        """What begins and ends a caption."""
        return Marks(self.shape.bos_token_id, self.shape.eos_token_id, never=())

    def image_tokens(self, features: Tensor) -> Tensor:
        """Returns the tokens [B, R, D] of an image with the features [B, R, F]."""
        return self.image_norm(self.projection(features))

    def words(self, tokens: Tensor, first: Any = 0) -> Tensor:
        """Returns the vectors [N, T, D] of tokens int32 [N, T], with the positions from `first` on."""
        vectors = self.embedding(tokens)
        return self.word_norm(vectors + self.positions(vectors, start_index=first))

    def call(self, image: Tensor, words: Tensor, training: bool = False) -> Tensor:
        """Returns the words' hidden vectors [B, T, D], of `image_tokens` [B, R, D] and `words` [B, T, D]."""
        regions = image.shape[1]
        x = ops.concatenate([image, words], axis=1)
        places = ops.arange(x.shape[1])
        seen = ops.logical_or(places < regions, places <= places[:, None])
        for block in self.blocks:
            x = block(x, decoder_attention_mask=seen[None], use_causal_mask=False, training=training)
        return x[:, regions:]

    def logits(self, hidden: Tensor) -> Tensor:
        """Returns the next word's logits float32 [..., V] of hidden vectors [..., D]."""
        return self.vocabulary_logits(hidden)

    def check_room(self, tokens: int) -> None:
        """Raises InputError if there are no positions for so many tokens of a caption."""
        if tokens > self.shape.max_position_embeddings:
            raise InputError(
                "Captions are longer than GIT has positions for",
                received=f"{tokens} tokens",
                expected=f"at most {self.shape.max_position_embeddings}",
            )

    def start(self, features: Tensor, room: int) -> State:
        """Returns the state after the image and before the first word, with room for so many words.

        Keys and values of words are what changes, those of the image what is constant.
        """
        self.check_room(room)
        x, images = self.image_tokens(features), []
        for block in self.blocks:
            x, image = pass_image(block, x)
            images.append(image)
        return empty_state(self.blocks, ops.shape(x)[0], room, images)

    def extend(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns the hidden vectors [N, P, D] and the state after tokens int32 [N, P] that follow what it has seen."""
        return extend(self.blocks, self.words(tokens, state.changing[-1][0]), state)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns the next word's logits float32 [N, V] after the tokens int32 [N], and the state."""
        hidden, state = self.extend(tokens[:, None], state)
        return self.logits(hidden[:, 0]), state

    def rows(self) -> list[Row]:
        """Returns the table of its weights."""
        blocks = [
            one
            for index, block in enumerate(self.blocks)
            for one in block_rows(block, f"git.encoder.layer.{index}.", self.shape.num_attention_heads)
        ]
        return [
            row("git.embeddings.word_embeddings.weight", self.embedding.embeddings),
            row("git.embeddings.position_embeddings.weight", self.positions.position_embeddings),
            *norm("git.embeddings.LayerNorm", self.word_norm),
            *linear("git.visual_projection.visual_projection.0", self.projection),
            *norm("git.visual_projection.visual_projection.1", self.image_norm),
            *blocks,
            *linear("output", self.vocabulary_logits),
        ]
