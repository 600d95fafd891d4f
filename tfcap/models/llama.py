"""Llama 3.2 as a decoder behind anything: vectors in front of words, and one word at a time with a cache.

Source: Grattafiori et al. 2024, https://arxiv.org/abs/2407.21783 (Llama 3). The blocks are KerasHub's; the weights come
from a checkpoint with the names of Hugging Face, and a test holds all of it against PyTorch. KerasHub's own reader of
such folders is not used: it takes neither the norms' epsilon nor, where transformers 5 wrote it, the scaling of the
rotary frequencies.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
from keras import ops

from tfcap.data.text import Marks
from tfcap.models.checkpoints import Checkpoint
from tfcap.models.decoder_state import State
from tfcap.models.llama_shape import LlamaShape, shape_of
from tfcap.models.weight_table import TRANSPOSED, Row, fill, into_heads, out_of_heads, row

Tensor = Any

# Frequencies that some versions of transformers saved, and a copy of the embedding where it makes the logits.
FREQUENCIES = r"(model\.)?layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
TIED = r"|lm_head\.weight"


class Llama(keras.Model):
    """Vectors [B, T, D] to hidden vectors and logits; words are vectors by an embedding, which may make the logits too.

    There is no dropout in the blocks, and places enter by rotation within them. Shapes: B rows, T tokens, P of a
    prefix, D = hidden_size, V = vocab_size.
    """

    def __init__(self, shape: LlamaShape, dtype: Any = None) -> None:
        """Makes a decoder with random weights.

        Args:
          shape: of a config.json, or LLAMA_3_2_1B or LLAMA_3_2_3B of `llama_shape`.
          dtype: the policy of its layers, the global one if None. "float32" takes 4 bytes a parameter, "bfloat16" 2,
            as the published weights are, and "mixed_bfloat16" 4, of which each layer computes with a copy of 2. Norms,
            attention's softmax and logits are float32 always, the logits from a copy of the table they are made by.
        """
        super().__init__(name="llama", dtype=dtype)
        self.shape = shape
        self.backbone = keras_hub.models.Llama3Backbone(
            vocabulary_size=shape.vocab_size,
            num_layers=shape.num_hidden_layers,
            num_query_heads=shape.num_attention_heads,
            num_key_value_heads=shape.num_key_value_heads,
            hidden_dim=shape.hidden_size,
            intermediate_dim=shape.intermediate_size,
            rope_max_wavelength=shape.rope_theta,
            layer_norm_epsilon=shape.rms_norm_eps,
            tie_word_embeddings=shape.tie_word_embeddings,
            dtype=dtype,
            name="backbone",
            **(shape.rope_scaling.arguments() if shape.rope_scaling else {}),
        )
        self.backbone.token_embedding.reverse_dtype = "float32"
        self.built = True

    @property
    def marks(self) -> Marks:
        """What begins and ends a text."""
        return Marks(self.shape.bos_token_id, self.shape.eos_token_id, never=())

    @property
    def width(self) -> int:
        """D, the width of its vectors."""
        return self.shape.hidden_size

    @property
    def embedding(self) -> keras.layers.Layer:
        """What makes words into vectors and vectors into logits."""
        return self.backbone.token_embedding

    def words(self, tokens: Tensor) -> Tensor:
        """Returns the vectors [B, T, D] of tokens int32 [B, T]."""
        return self.embedding(tokens)

    def call(self, vectors: Tensor, training: bool = False) -> Tensor:
        """Returns the hidden vectors [B, T, D] of vectors [B, T, D], each of which sees those before it."""
        x = vectors
        for block in self.backbone.transformer_layers:
            x = block(x, training=training)
        return self.backbone.layer_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Returns the next word's logits float32 [..., V] of hidden vectors [..., D]."""
        return self.embedding(hidden, reverse=True)

    def empty_state(self, batch: Any, tokens: int) -> State:
        """Returns the state in which nothing was seen yet, with room for so many tokens of each of the batch's rows.

        Each block has a cache [B, 2, tokens, key and value heads, head size] of keys and values; the last part, int32
        [B], counts what is in it.
        """
        shape = self.shape
        size = [batch, 2, tokens, shape.num_key_value_heads, shape.hidden_size // shape.num_attention_heads]
        caches = [ops.zeros(size, dtype=self.compute_dtype) for _ in self.backbone.transformer_layers]
        return State([*caches, ops.zeros([batch], dtype="int32")], [])

    def extend(self, vectors: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns the hidden vectors [B, P, D] and the state after vectors [B, P, D] that follow what it has seen."""
        *caches, seen = state.changing
        x, moved = vectors, []
        for block, cache in zip(self.backbone.transformer_layers, caches, strict=True):
            x, cache = block(x, self_attention_cache=cache, self_attention_cache_update_index=seen[0])
            moved.append(cache)
        return self.backbone.layer_norm(x), State([*moved, seen + vectors.shape[1]], [])

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns the next word's logits float32 [B, V] after the tokens int32 [B], and the state."""
        hidden, state = self.extend(self.words(tokens[:, None]), state)
        return self.logits(hidden[:, 0]), state

    def config(self) -> dict[str, Any]:
        """Returns what config.json says of it."""
        shape = dataclasses.asdict(self.shape)
        scaling = shape.pop("rope_scaling")
        if shape.pop("more_ends"):
            shape["eos_token_id"] = list(self.shape.ends)
        rope = {"rope_scaling": {"rope_type": "llama3", **scaling}} if scaling else {}
        head = {"head_dim": self.shape.hidden_size // self.shape.num_attention_heads, "hidden_act": "silu"}
        return {"model_type": "llama", "architectures": ["LlamaForCausalLM"], **shape, **head, **rope}

    def rows(self, prefix: str = "model.") -> list[Row]:
        """Returns the table of its weights; all names but that of the logits' own begin with the prefix."""
        embedding = self.backbone.token_embedding
        rows = [row(f"{prefix}embed_tokens.weight", embedding.embeddings)]
        for index, block in enumerate(self.backbone.transformer_layers):
            rows += _block_rows(block, f"{prefix}layers.{index}.", self.shape)
        rows.append(row(f"{prefix}norm.weight", self.backbone.layer_norm.scale))
        if not self.shape.tie_word_embeddings:
            rows.append(row("lm_head.weight", embedding.reverse_embeddings, TRANSPOSED))
        return rows


def load_llama(checkpoint: Checkpoint, dtype: Any = None) -> Llama:
    """Returns the Llama of a checkpoint, of the dtype policy; raises InputError if it holds something else."""
    model = Llama(shape_of(checkpoint.config, checkpoint.origin), dtype)
    prefix = "model." if "model.embed_tokens.weight" in checkpoint.shapes else ""  # a decoder without its logits
    fill(model.rows(prefix), checkpoint, model.weights, FREQUENCIES + TIED * model.shape.tie_word_embeddings)
    return model


def _block_rows(block: Any, name: str, shape: LlamaShape) -> list[Row]:
    attention, heads, groups = block._self_attention_layer, shape.num_attention_heads, shape.num_key_value_heads
    return [
        row(f"{name}input_layernorm.weight", block._self_attention_layernorm.scale),
        row(f"{name}self_attn.q_proj.weight", attention._query_dense.kernel, into_heads(heads)),
        row(f"{name}self_attn.k_proj.weight", attention._key_dense.kernel, into_heads(groups)),
        row(f"{name}self_attn.v_proj.weight", attention._value_dense.kernel, into_heads(groups)),
        row(f"{name}self_attn.o_proj.weight", attention._output_dense.kernel, out_of_heads(heads)),
        row(f"{name}post_attention_layernorm.weight", block._feedforward_layernorm.scale),
        row(f"{name}mlp.gate_proj.weight", block._feedforward_gate_dense.kernel, TRANSPOSED),
        row(f"{name}mlp.up_proj.weight", block._feedforward_intermediate_dense.kernel, TRANSPOSED),
        row(f"{name}mlp.down_proj.weight", block._feedforward_output_dense.kernel, TRANSPOSED),
    ]
