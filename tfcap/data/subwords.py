"""The tokenizer of a pretrained decoder, from the files of Hugging Face; it detokenises in a TensorFlow graph too."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfcap.data.classes import ClassNames
from tfcap.data.subword_files import SubwordFiles, read_subwords
from tfcap.data.subword_pieces import CLEAN_UP, bytes_of_pieces, cleaned_up
from tfcap.data.text import PAD, Marks, WordTokenizer
from tfcap.files import atomic_folder, hash_of, write_json

if TYPE_CHECKING:
    import tensorflow as tf

_SPACES = " \t\n\v\f\r"  # what tf.strings.strip takes away


class SubwordTokenizer:
    """Maps captions to the ids of a pretrained vocabulary and back: that of GPT-2, Llama, CLIP, BERT, Gemma, ...

    The ids are those of transformers' tokenizer without its special tokens, between the begin and the end. A caption
    that spells a mark out ("[SEP]") does not have it: that is text like any other.

    Decoded text is stripped of white space. Spaces before punctuation go where the folder says
    `clean_up_tokenization_spaces` and the kind is not BPE, as in transformers 5, and, as there, WordPiece loses those
    before .,!? in any case. Bytes that are not UTF-8 become U+FFFD, one for each maximal part of a letter, in every
    kind; transformers has one for each byte in the SentencePiece kinds.

    Attributes:
      max_tokens: length of an encoded caption, begin and end included.
      marks: begin, end, and what is never generated: special tokens but the end, and ids without a piece.
    """

    saved_as = "tokenizer"

    def __init__(self, files: SubwordFiles, max_tokens: int) -> None:
        """Raises InputError for a tokenizer whose text cannot be put together from pieces."""
        self.max_tokens = max_tokens
        self._files = files
        vocabulary = files.tokenizer.get_vocab(with_added_tokens=True)
        special = {index for index, token in files.tokenizer.get_added_tokens_decoder().items() if token.special}
        special |= {vocabulary[token] for token in files.names.values()}
        as_bytes = bytes_of_pieces(files.form)
        self._pieces = [b""] * (max(vocabulary.values()) + 1)
        for piece, index in vocabulary.items():
            self._pieces[index] = b"" if index in special else as_bytes(piece)
        ids = {role: vocabulary[token] for role, token in files.names.items()}
        never = special | (set(range(len(self))) - set(vocabulary.values()))
        self.marks = Marks(ids["bos_token"], ids["eos_token"], tuple(sorted(never - {ids["eos_token"]})))
        self._not_inside = {ids[role] for role in ("bos_token", "eos_token", "pad_token") if role in ids}

    @classmethod
    def load(cls, folder: str | os.PathLike[str], max_tokens: int) -> SubwordTokenizer:
        """Returns the tokenizer of a folder that `save` or Hugging Face wrote; raises InputError as `read_subwords`."""
        return cls(read_subwords(Path(folder)), max_tokens)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes tokenizer.json and tokenizer_config.json, which transformers reads too, atomically."""
        with atomic_folder(folder) as temporary:
            self._files.tokenizer.save(str(temporary / "tokenizer.json"))
            config = {**self._files.names, "clean_up_tokenization_spaces": self._files.cleans_up}
            write_json(temporary / "tokenizer_config.json", config)

    def __len__(self) -> int:
        return len(self._pieces)

    @functools.cached_property
    def hash(self) -> str:
        return hash_of(self._files.form, self._files.names, self._files.cleans_up, self.max_tokens)

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Returns int32 [N, max_tokens]: begin, tokens, end, PAD...; longer captions lose their last tokens."""
        tokens = np.full([len(captions), self.max_tokens], PAD, np.int32)
        found = self._files.tokenizer.encode_batch_fast(list(captions), add_special_tokens=False)
        for row, encoding in zip(tokens, found, strict=True):
            # A vocabulary's unknown token may be a mark (in CLIP the end), and a caption has no mark inside.
            ids = [index for index in encoding.ids if index not in self._not_inside][: self.max_tokens - 2]
            row[: len(ids) + 2] = [self.marks.begin, *ids, self.marks.end]
        return tokens

    def decode(self, tokens: np.ndarray) -> list[str]:
        """Returns the caption of each row of int [B, T], up to its first end after a begin; no id is an error."""
        captions = []
        for row in np.asarray(tokens):
            row = row[1:] if row[:1] == self.marks.begin else row
            ends = np.flatnonzero(row == self.marks.end)
            row = row[: ends[0]] if len(ends) else row
            joined = b"".join(self._pieces[index] for index in row if 0 <= index < len(self))
            text = joined.decode("utf-8", errors="replace").strip(_SPACES)
            captions.append(cleaned_up(text) if self._files.cleans_up else text)
        return captions

    def decode_in_graph(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns string [B] from int32 [B, T], as `decode` does, with TensorFlow ops alone."""
        import tensorflow as tf

        begins = tf.equal(tokens, self.marks.begin) & (tf.range(tf.shape(tokens)[1]) == 0)
        ends = tf.equal(tokens, self.marks.end) & ~begins
        kept = (tf.cumsum(tf.cast(ends, tf.int32), axis=1) == 0) & (tokens >= 0) & (tokens < len(self))
        pieces = tf.constant(np.array([*self._pieces, b""], dtype=object))  # numpy's own strings lose a last zero byte
        text = tf.strings.reduce_join(tf.gather(pieces, tf.where(kept, tokens, len(self))), axis=1)
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replacement_char=0xFFFD)
        text = tf.strings.strip(text)
        for found, instead in CLEAN_UP if self._files.cleans_up else ():
            text = tf.strings.regex_replace(text, re.escape(found), instead)
        return text


Tokenizer = WordTokenizer | SubwordTokenizer | ClassNames


def tokenizer_in(folder: str | os.PathLike[str], max_tokens: int) -> Tokenizer:
    """Returns what a run has saved in its folder, words, subwords or names of classes, or a checkpoint's tokenizer.

    Raises:
      InputError: the folder has none, or one that is damaged.
    """
    folder = Path(folder)
    if (folder / ClassNames.saved_as).is_file():
        return ClassNames.load(folder / ClassNames.saved_as)
    if (folder / WordTokenizer.saved_as).is_file():
        return WordTokenizer.load(folder / WordTokenizer.saved_as, max_tokens)
    saved = folder / SubwordTokenizer.saved_as
    return SubwordTokenizer.load(saved if saved.is_dir() else folder, max_tokens)
