"""Models of PyTorch whose captions part and end, and what `generate` returns, in the form that our decoding has."""

from typing import Any

import numpy as np
import torch

from tfcap.data.text import PAD


def with_noise(model: Any, scale: float = 0.3) -> Any:
    """Returns the model, to be used and not trained, with noise of that deviation added to every weight.

    A toy's logits then differ by some units, so that captions depend on the image and beams part; and norms and biases
    are not those of a start.
    """
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=scale)
    return model.eval()


def common_word(texts: np.ndarray, vocabulary: int, lowest: int = 0) -> int:
    """Returns the word, from `lowest` on, whose first places in int [B, T] are the most different: a good end."""
    never = texts.shape[1]
    firsts = [
        {int((row == word).argmax()) if word in row else never for row in texts} for word in range(lowest, vocabulary)
    ]
    return lowest + int(np.argmax([len(places) for places in firsts]))


def padded(found: Any, prompt: int, end: int | None, length: int) -> np.ndarray:
    """Returns int [B, length] of sequences [B, T]: PAD after the first end that follows a prompt of so many tokens."""
    found = np.asarray(found)
    tokens = np.full([len(found), length], PAD)
    tokens[:, : found.shape[1]] = found
    new = tokens[:, prompt:]
    ends = new == end
    new[np.cumsum(ends, axis=1) - ends > 0] = PAD
    return tokens
