"""GPT-2 as a decoder: behind vectors in front of the words, or beside a memory; one word at a time with a cache.

Source: Radford et al. 2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf;
with attention to a memory in every block as in Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 3.2.3.
The blocks are KerasHub's; the weights come from a checkpoint with the names of Hugging Face, and a test
holds all of it, at toy size, against PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import tfcap.quiet  # noqa: F401

import keras
import keras_hub

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.cached_blocks import empty_state, extend, keys_and_values
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.decoder_state import State
from tfcap.models.gpt2_table import block_rows
from tfcap.models.transformer_shapes import check_room, shape_of
from tfcap.models.weight_table import Row, fill, norm, row
from tfcap.settings import Settings

Tensor = Any

# Masks and a copy of the tied embedding, which some versions of transformers saved.
BUFFERS = r"(decoder\.)?((transformer\.)?h\.\d+\.(attn|crossattention)\.(bias|masked_bias)|lm_head\.weight)"


@dataclasses.dataclass(frozen=True)
class GPT2Shape:
    """The decoder of a config.json, under its names; what is not said there is the small GPT-2."""

    FAMILY: ClassVar[str] = "GPT-2"
    ONLY: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "activation_function": ("gelu_new",),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "tie_word_embeddings": (True,),
    }

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int = 0  # 0 is four times n_embd
    bos_token_id: int = 50256
    eos_token_id: int = 50256
    layer_norm_epsilon: float = 1e-5
    add_cross_attention: bool = False

    def check_room(self, tokens: int) -> None:
        """Raises InputError if there are no positions for so many tokens, a prefix included."""
        check_room(tokens, "n_positions", self.n_positions)


SHAPES = {
    "tiny": GPT2Shape(n_positions=128, n_embd=64, n_layer=2, n_head=2),
    "mini": GPT2Shape(n_positions=256, n_embd=128, n_layer=4, n_head=4),
    "small": GPT2Shape(n_positions=256, n_embd=256, n_layer=4, n_head=4),
    "base": GPT2Shape(),  # that of the smallest published one: 124 million weights
    "large": GPT2Shape(n_embd=1024, n_layer=24, n_head=16),  # gpt2-medium: 355 million
}


class GPT2(keras.Model):
    """Vectors [B, T, D] to hidden vectors and logits; words are vectors by the embedding that also makes the logits.

    With `add_cross_attention` each block attends, between its own attention and its feed-forward layer, to a memory
    [B, R, D], such as an image's regions; every pass is then given one. There is no dropout in the blocks.
    Shapes: B rows, T tokens, P of a prefix, R places of a memory, D = n_embd, V = vocab_size; N = B, or B * K where K
    captions are begun about each image.
    """

    def __init__(self, shape: GPT2Shape, dtype: Any = None) -> None:
        """Makes a decoder with random weights; dtype is the policy of its blocks, the global one if None."""
        super().__init__(name="gpt2", dtype=dtype)
        self.shape = shape
        self.embedding = keras.layers.ReversibleEmbedding(
            shape.vocab_size, shape.n_embd, dtype=dtype, reverse_dtype="float32", name="embedding"
        )
        self.positions = keras_hub.layers.PositionEmbedding(shape.n_positions, dtype=dtype, name="positions")
        self.blocks = [
            keras_hub.layers.TransformerDecoder(
                shape.n_inner or 4 * shape.n_embd,
                shape.n_head,
                activation=_gelu_new,
                layer_norm_epsilon=shape.layer_norm_epsilon,
                normalize_first=True,
                dtype=dtype,
                name=f"block_{index}",
            )
            for index in range(shape.n_layer)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=shape.layer_norm_epsilon, dtype=dtype, name="norm")
        self.embedding.build((None, None))
        vectors = (None, None, shape.n_embd)
        for layer in (self.positions, self.norm):
            layer.build(vectors)
        for block in self.blocks:
            block.build(vectors, vectors if shape.add_cross_attention else None)
        self.built = True

    @property
    def marks(self) -> Marks:
        """What begins and ends a text."""
        return Marks(self.shape.bos_token_id, self.shape.eos_token_id, never=())

    @property
    def width(self) -> int:
        """D, the width of its vectors."""
        return self.shape.n_embd

    def words(self, tokens: Tensor) -> Tensor:
        """Returns the vectors [B, T, D] of tokens int32 [B, T], without their positions."""
        return self.embedding(tokens)

    def call(self, vectors: Tensor, memory: Tensor | None = None, training: bool = False) -> Tensor:
        """Returns the hidden vectors [B, T, D] of vectors [B, T, D], each of which sees those before it.

        Args:
          memory: [B, R, D], all of which every vector sees; None without cross-attention.

        Raises:
          InputError: there are no positions for so many vectors.
        """
        self.shape.check_room(vectors.shape[1])
        x = vectors + self.positions(vectors)
        for block in self.blocks:
            x = block(x, memory, training=training)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Returns the next word's logits float32 [..., V] of hidden vectors [..., D]."""
        return self.embedding(hidden, reverse=True)

    def empty_state(self, batch: Any, tokens: int, memory: Tensor | None = None) -> State:
        """Returns the state in which nothing was seen yet, with room for so many tokens of each of the batch's rows.

        Keys and values of tokens are what changes, those of the memory [B, R, D] what is constant.

        Raises:
          InputError: there are no positions for so many tokens.
        """
        self.shape.check_room(tokens)
        attends = [] if memory is None else [block._cross_attention_layer for block in self.blocks]
        return empty_state(self.blocks, batch, tokens, [keys_and_values(layer, memory) for layer in attends])

    def extend(self, vectors: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns the hidden vectors [N, P, D] and the state after vectors [N, P, D] that follow what it has seen."""
        seen = state.changing[-1]
        x, state = extend(self.blocks, vectors + self.positions(vectors, start_index=seen[0]), state)
        return self.norm(x), state

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns the next word's logits float32 [N, V] after the tokens int32 [N], and the state."""
        hidden, state = self.extend(self.words(tokens[:, None]), state)
        return self.logits(hidden[:, 0]), state

    def config(self) -> dict[str, Any]:
        """Returns what config.json says of it."""
        said = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], **dataclasses.asdict(self.shape)}
        return {**said, "n_inner": self.shape.n_inner or None}

    def rows(self, prefix: str = "transformer.") -> list[Row]:
        """Returns the table of its weights; all names begin with the prefix."""
        rows = [row(f"{prefix}wte.weight", self.embedding.embeddings)]
        rows += [row(f"{prefix}wpe.weight", self.positions.position_embeddings)]
        for index, block in enumerate(self.blocks):
            rows += block_rows(block, f"{prefix}h.{index}.", self.shape.n_head)
        return [*rows, *norm(f"{prefix}ln_f", self.norm)]


def load_gpt2(checkpoint: Checkpoint) -> GPT2:
    """Returns the GPT-2 of a checkpoint; raises InputError if it holds something else."""
    model = GPT2(shape_of(GPT2Shape, checkpoint.config, checkpoint.origin))
    prefix = "transformer." if "transformer.wte.weight" in checkpoint.shapes else ""  # the first ones have none
    fill(model.rows(prefix), checkpoint, model.weights, BUFFERS)
    return model


def gpt2_of(settings: Settings, vocabulary_size: int, room: int, *, attends: bool = False) -> GPT2:
    """Returns the GPT-2 of --checkpoint, or a random one of --shape, with cross-attention or without.

    Args:
      room: tokens that it must have positions for.

    Raises:
      InputError: it has not, or a checkpoint attends to something where nothing is to be attended to.
    """
    if settings.model.checkpoint:
        decoder = load_gpt2(open_checkpoint(settings.model.checkpoint, "checkpoint"))
    else:
        shape = SHAPES[settings.model.shape]
        decoder = GPT2(dataclasses.replace(shape, vocab_size=vocabulary_size, add_cross_attention=attends))
    if decoder.shape.add_cross_attention != attends:
        raise InputError(
            "The checkpoint is a GPT-2 with cross-attention, which a prefix has nothing for",
            received=f"--checkpoint={settings.model.checkpoint}",
            expected="a GPT-2 alone, or --model=vit_gpt2",
        )
    decoder.shape.check_room(room)
    return decoder


def _gelu_new(x: Tensor) -> Tensor:
    return keras.activations.gelu(x, approximate=True)
