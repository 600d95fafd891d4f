"""CLIP's tokenizer: byte-pair encoding of lower-cased text, from the files of a checkpoint's folder.

Source: Radford et al. 2021, https://arxiv.org/abs/2103.00020, section 2.4; Sennrich et al. 2016,
https://arxiv.org/abs/1508.07909.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfcap.errors import InputError
from tfcap.files import file_hash, hash_of

_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"
_FORMS = (("vocab.json", "merges.txt"), ("tokenizer.json",))


class ClipTokenizer:
    """Texts to the token ids of a CLIP.

    Attributes:
      max_tokens: begin and end included, 77 in every published CLIP.
      end: the id of the end of text, which also fills up shorter texts.
      highest: the highest id.
      hash: of the files and the length.
    """

    def __init__(self, folder: Path, max_tokens: int) -> None:
        """Reads vocab.json with merges.txt, or tokenizer.json; raises InputError where they are missing or damaged."""
        from transformers import CLIPTokenizer

        files = next((form for form in _FORMS if all((folder / name).is_file() for name in form)), None)
        if files is None:
            raise InputError(
                f"{folder} has no tokenizer", expected="vocab.json and merges.txt, or tokenizer.json, of a CLIP"
            )
        try:
            self._tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)
            known = self._tokenizer.get_vocab()
        except Exception as error:  # noqa: BLE001 - the Rust library behind it raises bare Exception for damaged files
            raise InputError(
                f"The tokenizer in {folder} cannot be read ({str(error)[:160]})",
                expected=" and ".join(files) + " of a CLIP",
            ) from None
        if _BEGIN not in known or _END not in known or len(known) <= 2:
            raise InputError(
                f"The tokenizer in {folder} is of another model",
                received=f"{len(known)} tokens",
                expected=f"tokens with {_BEGIN} and {_END} among them",
            )
        self.max_tokens, self.end, self.highest = max_tokens, int(known[_END]), max(known.values())
        present = [folder / name for form in _FORMS for name in form if (folder / name).is_file()]
        self.hash = hash_of([file_hash(path) for path in present], max_tokens)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Returns int32 [N, max_tokens]: begin, tokens, end, and ends after it; a longer text loses its last tokens."""
        tokens = np.full([len(texts), self.max_tokens], self.end, np.int32)
        if texts:
            found = self._tokenizer(list(texts), truncation=True, max_length=self.max_tokens)["input_ids"]
            for row, ids in zip(tokens, found, strict=True):
                row[: len(ids)] = ids
        return tokens

    def lengths(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the number of tokens up to the first end, int64 [N], of int32 [N, max_tokens]."""
        return (tokens == self.end).argmax(axis=1) + 1
