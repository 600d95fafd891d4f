"""Scores that need captions alone, in this process: two passes over a split, part after part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from tfcap.data.caption_blocks import Texts
from tfcap.progress import progress_bar
from tfcap.scoring.signal import TextSignal, image_means


def score_texts(
    signal: TextSignal, parts: Callable[[], Iterator[Texts]], images: int, pairs: bool, progress: bool
) -> np.ndarray:
    """Returns the scores of a split's images, float32 [N], or pairs, [P].

    Args:
      parts: begins a pass over the split's captions; called twice.
      images: of the split.
    """
    counts: Counter[str] = Counter()
    with progress_bar(2 * images, "captions, in two passes", "image", shown=progress) as bar:
        for texts in parts():
            counts.update(signal.count(texts))
            bar.update(len(texts.captions))
        scorer, found = signal.scorer(counts.items(), images), []
        del counts
        for texts in parts():
            found.append(scores_of_part(scorer, texts, pairs))
            bar.update(len(texts.captions))
    return np.concatenate(found)


def scores_of_part(scorer: Callable[[Texts], np.ndarray], texts: Texts, pairs: bool) -> np.ndarray:
    """Returns the scores of a part's images, float32 [n], or pairs."""
    values = scorer(texts)
    return (values if pairs else image_means(values, texts.captions)).astype(np.float32)
