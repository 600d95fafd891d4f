"""GPT-2 as a decoder behind anything: vectors in front of words, and one word at a time with a cache.

Source: Radford et al. 2019, https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
The blocks are KerasHub's; the weights come from a checkpoint with the names of Hugging Face, and a test holds all of it
against PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
import numpy as np
from keras import ops

from tfcap.data.text import Marks
from tfcap.errors import InputError
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.weight_table import Arrays, Row, Transform, bias_of_heads, fill, norm, row

Tensor = Any

# Masks and a copy of the tied embedding, which some versions of transformers saved.
BUFFERS = r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)|lm_head\.weight"
# What else a config.json may say, and how these blocks do it.
_ONLY = {
    "activation_function": "gelu_new",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "tie_word_embeddings": True,
}
_MAY_BE_0 = ("n_inner", "bos_token_id", "eos_token_id")


@dataclasses.dataclass(frozen=True)
class GPT2Shape:
    """The decoder of a config.json, under its names; what is not said there is the small GPT-2."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int = 0  # 0 is four times n_embd
    bos_token_id: int = 50256
    eos_token_id: int = 50256
    layer_norm_epsilon: float = 1e-5


def shape_of(said: Mapping[str, Any], origin: str) -> GPT2Shape:
    """Returns the shape that config.json says; raises InputError if that is no GPT-2, or one that is not covered."""
    fields = dataclasses.fields(GPT2Shape)
    shape = GPT2Shape(**{field.name: said[field.name] for field in fields if said.get(field.name) is not None})
    values = {field.name: getattr(shape, field.name) for field in fields}
    wrong = [
        f"{field.name}={values[field.name]!r}"
        for field in fields
        if type(values[field.name]) is not type(field.default)
        or values[field.name] < 0
        or (values[field.name] == 0 and field.name not in _MAY_BE_0)
    ]
    if not wrong and shape.n_embd % shape.n_head:
        wrong = [f"n_embd={shape.n_embd}, n_head={shape.n_head}"]
    if not wrong and max(shape.bos_token_id, shape.eos_token_id) >= shape.vocab_size:
        wrong = [f"{name}={values[name]}" for name in ("vocab_size", "bos_token_id", "eos_token_id")]
    wrong += [f"{name}={said[name]!r}" for name, only in _ONLY.items() if said.get(name, only) != only]
    if wrong:
        raise InputError(
            f"config.json of {origin} describes no GPT-2, or one that is not covered",
            received=", ".join(wrong),
            expected="sizes above 0, n_embd that n_head divides, ids below vocab_size, and "
            + ", ".join(f"{name}={only!r}" for name, only in _ONLY.items()),
        )
    return shape


class GPT2(keras.Model):
    """Vectors [B, T, D] to hidden vectors and logits; words are vectors by the embedding that also makes the logits.

    There is no dropout in the blocks. Shapes: B rows, T tokens, P of a prefix, D = n_embd, V = vocab_size.
    """

    def __init__(self, shape: GPT2Shape, dtype: Any = None) -> None:
        """Makes a decoder with random weights; dtype is the policy of its blocks, the global one if None."""
        super().__init__(name="gpt2")
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
        for layer in (self.positions, *self.blocks, self.norm):
            layer.build((None, None, shape.n_embd))
        self.built = True

    @property
    def marks(self) -> Marks:
        """What begins and ends a text."""
        return Marks(self.shape.bos_token_id, self.shape.eos_token_id, never=())

    def words(self, tokens: Tensor) -> Tensor:
        """Returns the vectors [B, T, D] of tokens int32 [B, T], without their positions."""
        return self.embedding(tokens)

    def call(self, vectors: Tensor, training: bool = False) -> Tensor:
        """Returns the hidden vectors [B, T, D] of vectors [B, T, D], each of which sees those before it."""
        x = vectors + self.positions(vectors)
        for block in self.blocks:
            x = block(x, training=training)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Returns the next word's logits float32 [..., V] of hidden vectors [..., D]."""
        return self.embedding(hidden, reverse=True)

    def empty_state(self, batch: Any, tokens: int) -> list[Tensor]:
        """Returns the state in which nothing was seen yet, with room for so many tokens of each of the batch's rows.

        Each block has a cache [B, 2, tokens, heads, D / heads] of keys and values; the last part, int32 [B], counts
        what is in it.
        """
        heads = self.shape.n_head
        size = [batch, 2, tokens, heads, self.shape.n_embd // heads]
        caches = [ops.zeros(size, dtype=self.compute_dtype) for _ in self.blocks]
        return [*caches, ops.zeros([batch], dtype="int32")]

    def extend(self, vectors: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Returns the hidden vectors [B, P, D] and the state after vectors [B, P, D] that follow what it has seen."""
        *caches, seen = state
        place = seen[0]
        x, moved = vectors + self.positions(vectors, start_index=place), []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block(x, self_attention_cache=cache, self_attention_cache_update_index=place)
            moved.append(cache)
        return self.norm(x), [*moved, seen + vectors.shape[1]]

    def step(self, tokens: Tensor, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Returns the next word's logits float32 [B, V] after the tokens int32 [B], and the state."""
        hidden, state = self.extend(self.words(tokens[:, None]), state)
        return self.logits(hidden[:, 0]), state

    def rows(self, prefix: str = "transformer.") -> list[Row]:
        """Returns the table of its weights; all names begin with the prefix."""
        rows = [row(f"{prefix}wte.weight", self.embedding.embeddings)]
        rows += [row(f"{prefix}wpe.weight", self.positions.position_embeddings)]
        for index, block in enumerate(self.blocks):
            rows += _block_rows(block, f"{prefix}h.{index}.", self.shape.n_head)
        return [*rows, *norm(f"{prefix}ln_f", self.norm)]


def load_gpt2(checkpoint: Checkpoint) -> GPT2:
    """Returns the GPT-2 of a checkpoint; raises InputError if it holds something else."""
    model = GPT2(shape_of(checkpoint.config, checkpoint.origin))
    prefix = "transformer." if "transformer.wte.weight" in checkpoint.shapes else ""  # the first ones have none
    fill(model.rows(prefix), checkpoint, model.weights, BUFFERS)
    return model


def _gelu_new(x: Tensor) -> Tensor:
    return keras.activations.gelu(x, approximate=True)


def _block_rows(block: Any, name: str, heads: int) -> list[Row]:
    attention = block._self_attention_layer
    three = (attention.query_dense, attention.key_dense, attention.value_dense)
    out, bias = attention.output_dense, _joined(bias_of_heads(heads))
    wide, narrow = block._feedforward_intermediate_dense, block._feedforward_output_dense
    return [
        *norm(f"{name}ln_1", block._self_attention_layer_norm),
        Row(f"{name}attn.c_attn.weight", tuple(layer.kernel for layer in three), _joined(_heads_last(heads))),
        Row(f"{name}attn.c_attn.bias", tuple(layer.bias for layer in three), bias),
        row(f"{name}attn.c_proj.weight", out.kernel, _heads_first(heads)),
        row(f"{name}attn.c_proj.bias", out.bias),
        *norm(f"{name}ln_2", block._feedforward_layer_norm),
        row(f"{name}mlp.c_fc.weight", wide.kernel),
        row(f"{name}mlp.c_fc.bias", wide.bias),
        row(f"{name}mlp.c_proj.weight", narrow.kernel),
        row(f"{name}mlp.c_proj.bias", narrow.bias),
    ]


def _heads_last(heads: int) -> Transform:
    """Returns the transform of a projection [D, D], which GPT-2 keeps as [in, out], to [D, heads, D / heads]."""
    return Transform(
        lambda w: [w.reshape(w.shape[0], heads, -1)], lambda values: values[0].reshape(values[0].shape[0], -1)
    )


def _heads_first(heads: int) -> Transform:
    """Returns the transform of the attention's output [in, out] to [heads, D / heads, D]."""
    return Transform(
        lambda w: [w.reshape(heads, -1, w.shape[1])], lambda values: values[0].reshape(-1, values[0].shape[-1])
    )


def _joined(one: Transform) -> Transform:
    """Returns the transform of queries, keys and values side by side in one tensor to three variables."""

    def there(tensor: np.ndarray) -> Arrays:
        return [one.to_variables(part)[0] for part in np.split(tensor, 3, axis=-1)]

    def back(values: Arrays) -> np.ndarray:
        return np.concatenate([one.to_checkpoint([value]) for value in values], axis=-1)

    return Transform(there, back)
