"""What `generate` of transformers returns, in the form that our decoding has."""

from typing import Any

import numpy as np

from tfcap.data.text import PAD


def padded(found: Any, prompt: int, end: int | None, length: int) -> np.ndarray:
    """Returns int [B, length] of sequences [B, T]: PAD after the first end that follows a prompt of so many tokens."""
    found = np.asarray(found)
    tokens = np.full([len(found), length], PAD)
    tokens[:, : found.shape[1]] = found
    new = tokens[:, prompt:]
    ends = new == end
    new[np.cumsum(ends, axis=1) - ends > 0] = PAD
    return tokens
