"""The word-level tokenizer: fitted on the train split, saved as text; it detokenises in a TensorFlow graph too."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfcap.errors import InputError
from tfcap.files import hash_of, write_text

if TYPE_CHECKING:
    import tensorflow as tf

SPECIAL = ("<pad>", "<begin>", "<end>", "<unk>")
_, BEGIN, END, UNKNOWN = range(4)
PAD = -1  # after a caption's end, whatever the vocabulary: 0 is a word of GPT-2's, which has no id for padding
_WORD = re.compile(r"\w+(?:['’]\w+)?", re.UNICODE)


@dataclasses.dataclass(frozen=True)
class Marks:
    """The ids of a vocabulary that are no words of a caption.

    Attributes:
      begin: what every caption starts with.
      end: what ends it; it may be the same.
      never: ids that are never generated.
    """

    begin: int = BEGIN
    end: int = END
    never: tuple[int, ...] = (0, BEGIN, UNKNOWN)


def words_of(caption: str) -> list[str]:
    """Returns the lower-case words of a caption, without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFC", caption).lower())


class WordTokenizer:
    """Maps captions to word ids and back.

    Attributes:
      words: the vocabulary; the four special tokens come first, the others by falling frequency.
      max_tokens: length of an encoded caption, <begin> and <end> included.
      marks: the ids that are no words.
    """

    saved_as = "vocabulary.txt"
    marks = Marks()

    def __init__(self, words: Sequence[str], max_tokens: int) -> None:
        if tuple(words[:4]) != SPECIAL:
            raise InputError(
                "A vocabulary starts with the special tokens", received=list(words[:4]), expected=list(SPECIAL)
            )
        self.words = tuple(words)
        self.max_tokens = max_tokens
        self._ids = {word: index for index, word in enumerate(self.words)}

    @classmethod
    def fit(cls, captions: Iterable[str], min_count: int, max_tokens: int) -> WordTokenizer:
        """Returns a tokenizer of the words that occur at least `min_count` times."""
        counts = collections.Counter(word for caption in captions for word in words_of(caption))
        known = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
        if not known:
            raise InputError(
                "No word is frequent enough for a vocabulary",
                received=f"--min_word_count={min_count} and {len(counts)} distinct words",
                expected="at least one word that occurs so often",
            )
        return cls((*SPECIAL, *known), max_tokens)

    @classmethod
    def load(cls, path: str | os.PathLike[str], max_tokens: int) -> WordTokenizer:
        """Returns the tokenizer saved at `path`."""
        return cls(Path(path).read_text(encoding="utf-8").split("\n")[:-1], max_tokens)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the vocabulary, one word a line, atomically."""
        write_text(path, "".join(f"{word}\n" for word in self.words))

    def __len__(self) -> int:
        return len(self.words)

    @property
    def hash(self) -> str:
        return hash_of(self.words, self.max_tokens)

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Returns int32 [N, max_tokens]: <begin> words <end> PAD...; longer captions lose their last words."""
        tokens = np.full([len(captions), self.max_tokens], PAD, np.int32)
        for row, caption in zip(tokens, captions, strict=True):
            ids = [self._ids.get(word, UNKNOWN) for word in words_of(caption)[: self.max_tokens - 2]]
            row[: len(ids) + 2] = [BEGIN, *ids, END]
        return tokens

    def decode(self, tokens: np.ndarray) -> list[str]:
        """Returns the caption of each row of int [B, T], up to its first <end>."""
        captions = []
        for row in np.asarray(tokens):
            ends = np.flatnonzero(row == END)
            row = row[: ends[0]] if len(ends) else row
            captions.append(" ".join(self.words[index] for index in row if index >= UNKNOWN))
        return captions

    def decode_in_graph(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns string [B] from int32 [B, T], as `decode` does, with TensorFlow ops alone."""
        import tensorflow as tf

        before_end = tf.cumsum(tf.cast(tf.equal(tokens, END), tf.int32), axis=1) == 0
        words = tf.gather(tf.constant(self.words), tf.maximum(tokens, 0))
        kept = tf.ragged.boolean_mask(words, before_end & (tokens >= UNKNOWN))
        return tf.strings.reduce_join(kept, axis=1, separator=" ")
