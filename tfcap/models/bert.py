"""BERT as a text encoder: bert-base-uncased, or one of sentence-transformers such as all-MiniLM-L6-v2.

Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805; the text side of Wu et al. 2024,
https://arxiv.org/abs/2308.07545, is its [CLS]. The blocks are KerasHub's; the weights come from a checkpoint
with the names of Hugging Face, and a test holds all of it against PyTorch. Shapes: B texts of T tokens, D hidden_size.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tfcap.quiet  # noqa: F401

import keras
import keras_hub
import numpy as np
from keras import ops

from tfcap.data.subword_files import read_subwords
from tfcap.data.subwords import SubwordTokenizer
from tfcap.data.text import PAD
from tfcap.errors import InputError
from tfcap.models.bert_table import block_rows
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.pooling import pooling_in
from tfcap.models.text_encoders import TextEncoder, filled_up, room_for
from tfcap.models.transformer_shapes import shape_of
from tfcap.models.weight_table import Row, fill, norm, row

Tensor = Any

_WORDS = "embeddings.word_embeddings.weight"
# What no embedding depends on: a buffer, the pooler, and heads of other tasks.
_UNUSED = r"(bert\.)?(embeddings\.position_ids|pooler\..*)|(cls|classifier|qa_outputs)\..*"


@dataclasses.dataclass(frozen=True)
class BertShape:
    """The transformer of a config.json, under its names; what is not said there is that of bert-base-uncased."""

    FAMILY: ClassVar[str] = "BERT"
    ONLY: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "model_type": ("bert",),
        "hidden_act": ("gelu",),
        "position_embedding_type": ("absolute",),
        "is_decoder": (False,),
    }

    vocab_size: int = 30522
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class Bert(keras.Model):
    """Tokens int32 [B, T], PAD behind a text, to hidden vectors float32 [B, T, D]; no dropout, and norms last."""

    def __init__(self, shape: BertShape) -> None:
        """Makes one with random weights."""
        super().__init__(name="bert", dtype="float32")
        self.shape, width = shape, shape.hidden_size
        self.words, self.kinds = (
            keras.layers.Embedding(count, width, dtype="float32", name=name)
            for count, name in ((shape.vocab_size, "words"), (shape.type_vocab_size, "kinds"))
        )
        self.positions = keras_hub.layers.PositionEmbedding(
            shape.max_position_embeddings, dtype="float32", name="positions"
        )
        self.norm = keras.layers.LayerNormalization(epsilon=shape.layer_norm_eps, dtype="float32", name="norm")
        self.blocks = [
            keras_hub.layers.TransformerEncoder(
                shape.intermediate_size,
                shape.num_attention_heads,
                activation="gelu",  # the exact one
                layer_norm_epsilon=shape.layer_norm_eps,
                dtype="float32",
                name=f"block_{index}",
            )
            for index in range(shape.num_hidden_layers)
        ]
        for layer in (self.words, self.kinds):
            layer.build((None, None))
        for layer in (self.positions, self.norm, *self.blocks):
            layer.build((None, None, width))
        self.built = True

    def call(self, tokens: Tensor) -> Tensor:
        real = tokens != PAD
        words = self.words(ops.maximum(tokens, 0))
        x = self.norm(words + self.positions(words) + self.kinds(ops.zeros_like(tokens)))
        for block in self.blocks:
            x = block(x, padding_mask=real)
        return x

    def rows(self, prefix: str = "") -> list[Row]:
        """Returns the table of its weights, all of whose names begin with the prefix."""
        heads = self.shape.num_attention_heads
        return [
            row(f"{prefix}{_WORDS}", self.words.embeddings),
            row(f"{prefix}embeddings.position_embeddings.weight", self.positions.position_embeddings),
            row(f"{prefix}embeddings.token_type_embeddings.weight", self.kinds.embeddings),
            *norm(f"{prefix}embeddings.LayerNorm", self.norm),
            *(
                one
                for index, block in enumerate(self.blocks)
                for one in block_rows(block, f"{prefix}encoder.layer.{index}.", heads)
            ),
        ]


class BertText(TextEncoder):
    """The BERT in a folder in the form of Hugging Face, or under hf://user/name[@revision].

    An embedding is the last hidden state of [CLS], unless the folder is of sentence-transformers and says otherwise:
    the mean over the tokens, say, then scaled to length 1. Token ids are those of transformers but for marks that a
    text spells out, which are text; a long text keeps its [SEP].
    """

    def __init__(self, weights: str, max_tokens: int) -> None:
        """Reads it.

        Args:
          weights: the folder, or its name on the hub.
          max_tokens: the most tokens of a text, the marks included.

        Raises:
          InputError: there is none, it is damaged, it is no BERT, or its tokenizer or pooling is not covered.
        """
        super().__init__(name="text_encoder", dtype="float32")
        checkpoint = open_checkpoint(weights, "text_weights")
        shape = shape_of(BertShape, checkpoint.config, checkpoint.origin)
        self.width, self.most_tokens = shape.hidden_size, room_for(max_tokens, shape.max_position_embeddings)
        self.pooling = pooling_in(checkpoint.folder)
        self.tokenizer = SubwordTokenizer(read_subwords(checkpoint.folder), self.most_tokens)
        if len(self.tokenizer) > shape.vocab_size:
            raise InputError(
                f"The tokenizer of {checkpoint.origin} is not that of its BERT",
                received=f"{len(self.tokenizer)} tokens",
                expected=f"at most vocab_size={shape.vocab_size}",
            )
        self.bert = Bert(shape)
        fill(_as_named_in(checkpoint, self.bert), checkpoint, self.bert.weights, _UNUSED)
        self.built = True

    def tokens(self, texts: Sequence[str]) -> np.ndarray:
        found = self.tokenizer.encode(texts)
        return filled_up(found, (found != PAD).sum(axis=1))

    def call(self, tokens: Tensor) -> Tensor:
        return self.pooling(self.bert(tokens), tokens != PAD)

    def settings(self) -> Any:
        return [dataclasses.asdict(self.bert.shape), dataclasses.asdict(self.pooling), self.tokenizer.hash]


def _as_named_in(checkpoint: Checkpoint, bert: Bert) -> list[Row]:
    """Returns the table under the checkpoint's names: with `bert.` in front, or norms of `gamma` and `beta`, or not."""
    rows = bert.rows(next((name.removesuffix(_WORDS) for name in checkpoint.shapes if name.endswith(_WORDS)), ""))
    if not any(name.endswith("LayerNorm.gamma") for name in checkpoint.shapes):
        return rows
    old = {"weight": "gamma", "bias": "beta"}
    return [
        dataclasses.replace(one, name=re.sub(r"(?<=LayerNorm\.)(weight|bias)$", lambda found: old[found[0]], one.name))
        for one in rows
    ]
