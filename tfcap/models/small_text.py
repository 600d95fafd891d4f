"""A small text encoder that is trained here, for data without pretrained weights.

It is BERT's transformer (Devlin et al. 2018, https://arxiv.org/abs/1810.04805) with two blocks of 128 over the words of
the data set, without dropout; an embedding is the mean over the text. It has positions, so that "red left of blue" is
not "blue left of red".
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap.data.text import PAD, WordTokenizer
from tfcap.errors import InputError
from tfcap.files import atomic_folder, write_json
from tfcap.models.bert import Bert, BertShape
from tfcap.models.checkpoints import Checkpoint, open_checkpoint
from tfcap.models.pooling import Pooling
from tfcap.models.text_encoders import TextEncoder, filled_up, room_for
from tfcap.models.transformer_shapes import shape_of
from tfcap.models.weight_table import fill, tensors_of

Tensor = Any

_KIND = "tfcap_small_text"
_SIZES = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}


class SmallText(TextEncoder):
    """Made as `SmallText(tokenizer, seed)`, trained by who makes it, written by `save` and read by `load`.

    Its trainable weights are 0.3 million and 128 a word; D = 128.
    """

    def __init__(self, tokenizer: WordTokenizer, seed: int, shape: BertShape | None = None) -> None:
        """Makes one with random weights.

        Args:
          tokenizer: its `max_tokens` is the most tokens of a text.
          seed: the weights are a function of it alone.
          shape: of one that was saved.

        Raises:
          InputError: the tokenizer leaves no room for a word.
        """
        super().__init__(name="text_encoder", dtype="float32")
        self.tokenizer, self.most_tokens = tokenizer, room_for(tokenizer.max_tokens, tokenizer.max_tokens)
        self.bert = Bert(
            shape or BertShape(vocab_size=len(tokenizer), max_position_embeddings=self.most_tokens, **_SIZES)
        )
        self.width, self.pooling = self.bert.shape.hidden_size, Pooling("mean")
        rng = np.random.default_rng(seed)
        for variable in self.bert.weights:
            if len(variable.shape) > 1 and "bias" not in variable.name:
                variable.assign(rng.normal(scale=self.width**-0.5, size=variable.shape))
        self.built = True

    @classmethod
    def load(cls, folder: str | os.PathLike[str], max_tokens: int | None = None) -> SmallText:
        """Returns the one that `save` wrote into a folder.

        Args:
          max_tokens: the most tokens of a text, where that is less than the folder's.

        Raises:
          InputError: there is none, or it is damaged.
        """
        checkpoint = open_checkpoint(os.fspath(folder), "text_weights")
        kind = checkpoint.config.get("model_type")
        if kind != _KIND:
            raise InputError(
                f"{checkpoint.origin} is no small text encoder",
                received=f"model_type {kind!r} in its config.json",
                expected=f"{_KIND!r}, as it is trained and saved here",
            )
        said = {name: value for name, value in checkpoint.config.items() if name != "model_type"}
        shape = shape_of(BertShape, said, checkpoint.origin)
        places = shape.max_position_embeddings
        tokenizer = _tokenizer_in(checkpoint, places if max_tokens is None else room_for(max_tokens, places))
        if len(tokenizer) != shape.vocab_size:
            raise InputError(
                f"The vocabulary of {checkpoint.origin} is of another model",
                received=f"{len(tokenizer)} words",
                expected=f"vocab_size={shape.vocab_size}",
            )
        encoder = cls(tokenizer, 0, shape)
        fill(encoder.bert.rows(), checkpoint, encoder.bert.weights)
        return encoder

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes config.json, model.safetensors and the vocabulary, atomically."""
        from safetensors.numpy import save_file

        with atomic_folder(folder) as temporary:
            write_json(temporary / "config.json", {"model_type": _KIND, **dataclasses.asdict(self.bert.shape)})
            save_file(tensors_of(self.bert.rows()), temporary / "model.safetensors")
            self.tokenizer.save(temporary / WordTokenizer.saved_as)

    def tokens(self, texts: Sequence[str]) -> np.ndarray:
        found = self.tokenizer.encode(texts)
        return filled_up(found, (found != PAD).sum(axis=1))

    def call(self, tokens: Tensor) -> Tensor:
        return self.pooling(self.bert(tokens), tokens != PAD)

    def settings(self) -> Any:
        return [dataclasses.asdict(self.bert.shape), self.tokenizer.hash]


def saved(weights: str, max_tokens: int) -> SmallText:
    """Returns the small text encoder that was trained and saved in a folder; raises InputError as `load` does."""
    return SmallText.load(weights, max_tokens)


def _tokenizer_in(checkpoint: Checkpoint, max_tokens: int) -> WordTokenizer:
    path: Path = checkpoint.folder / WordTokenizer.saved_as
    if not path.is_file():
        raise InputError(f"{checkpoint.origin} has no vocabulary", expected=WordTokenizer.saved_as)
    return WordTokenizer.load(path, max_tokens)
