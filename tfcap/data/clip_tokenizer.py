"""CLIP's tokenizer: byte-pair encoding of lower-cased text, from the files of a checkpoint's folder.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020, section 2.4; Sennrich et al. 2016,
https://arxiv.org/abs/1508.07909.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfcap.data.subword_files import read_subwords
from tfcap.data.subwords import SubwordTokenizer
from tfcap.data.text import PAD
from tfcap.errors import InputError

_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"


class ClipTokenizer:
    """Texts to the token ids of a CLIP.

    Attributes:
      max_tokens: begin and end included, 77 in every published CLIP.
      end: the id of the end of text, which also fills up shorter texts.
      highest: the highest id.
      hash: of what the files say and the length.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        """Reads the files of `read_subwords`; raises InputError as it does, and if they are not of a CLIP."""
        files = read_subwords(folder)
        if (files.names["bos_token"], files.names["eos_token"]) != (_BEGIN, _END):
            raise InputError(
                f"The tokenizer in {folder} is of another model",
                received=f"texts between {files.names['bos_token']} and {files.names['eos_token']}",
                expected=f"{_BEGIN} and {_END}",
            )
        self._subwords = SubwordTokenizer(files, max_tokens)
        self.max_tokens, self.end, self.highest = max_tokens, self._subwords.marks.end, len(self._subwords) - 1
        self.hash = self._subwords.hash

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns int32 [N, max_tokens]: begin, tokens, end, and ends after it; a longer text loses its last tokens."""
        tokens = self._subwords.encode(texts)
        return np.where(tokens == PAD, np.int32(self.end), tokens)

    def lengths(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the number of tokens up to the first end, int64 [N], of int32 [N, max_tokens]."""
        return (tokens == self.end).argmax(axis=1) + 1
