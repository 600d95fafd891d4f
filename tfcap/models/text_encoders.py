"""Text encoders: captions to one vector each, with the tokens that the weights expect.

Shapes: B texts of T tokens each, D = `width`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import keras
import numpy as np

from tfcap.errors import InputError
from tfcap.files import hash_of

Tensor = Any

_SHORTEST, _FEWEST = 16, 3  # tokens that are computed, and tokens with a word among them


class TextEncoder(keras.Model):
    """Turns tokens int32 [B, T] into embeddings float32 [B, D]; always in float32.

    Attributes:
      width: D.
      most_tokens: of a text, its marks included; a longer text loses its last words.
    """

    width: int
    most_tokens: int

    def tokens(self, texts: Sequence[str]) -> np.ndarray:
        """Returns int32 [B, T] of texts, filled up to one of few lengths T, so that few are compiled."""
        raise NotImplementedError

    def settings(self) -> Any:
        """Returns what changes an embedding beside the weights, as JSON has it."""
        raise NotImplementedError

    def identity(self) -> str:
        """Returns a digest of the kind, the configuration, every weight, the tokenizer and the pooling."""
        digest = hashlib.sha256()
        for variable in self.weights:
            digest.update(np.ascontiguousarray(variable.numpy()).tobytes())
        return hash_of(type(self).__name__, self.settings(), digest.hexdigest())


def filled_up(tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the first columns of tokens [B, most]: as many as the longest text has, up to the next power of two.

    Args:
      tokens: with whatever fills a text up behind it.
      lengths: of the texts, int [B].
    """
    columns = _SHORTEST
    while columns < lengths.max(initial=1):
        columns *= 2
    return tokens[:, :columns]


def room_for(max_tokens: int, places: int) -> int:
    """Returns the most tokens of a text: those asked for, and no more than there are places.

    Raises:
      InputError: between the marks there would be no word.
    """
    most = min(max_tokens, places)
    if most < _FEWEST:
        raise InputError("A text has no room for a word", received=f"{most} tokens", expected=f"at least {_FEWEST}")
    return most
