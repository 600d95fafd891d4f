"""Batches of texts alone, tokenised when they are asked for, so that no array of all tokens is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from tfcap.data.pipeline import LENGTH_STEP, Batch


class Tokenizer(Protocol):
    """Texts to token ids of one length, and how many of those are the text's own."""

    max_tokens: int

    def encode(self, texts: Sequence[str]) -> np.ndarray: ...

    def lengths(self, tokens: np.ndarray) -> np.ndarray: ...


class TextBatches:
    """Texts of like length together, each after the prompt; the last batch is padded to full size with its first text.

    A batch holds `tokens` int32 [B, T], T cut to the longest of the batch, and `position` int64 [B] among the texts.
    """

    unit = "caption"

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer, batch_size: int, prompt: str = "") -> None:
        self.texts, self.tokenizer, self.batch_size, self.prompt = texts, tokenizer, batch_size, prompt
        self.positions = np.argsort([len(text) for text in texts], kind="stable")
        self.blocks = [self.positions[i : i + batch_size] for i in range(0, len(texts), batch_size)]

    def __len__(self) -> int:
        return len(self.blocks)

    def start(self, first_block: int) -> Iterator[Batch]:
        """Yields the batches from block `first_block` on."""
        for block in self.blocks[first_block:]:
            whole = np.concatenate([block, np.repeat(block[:1], self.batch_size - len(block))])
            tokens = self.tokenizer.encode([self.prompt + self.texts[position] for position in whole])
            longest = -(-int(self.tokenizer.lengths(tokens).max()) // LENGTH_STEP) * LENGTH_STEP
            yield {"tokens": tokens[:, :longest], "position": whole}
