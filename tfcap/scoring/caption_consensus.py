"""Caption consensus: how well an image's captions agree, with no model at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from tfcap.data.caption_blocks import Texts
from tfcap.errors import InputError
from tfcap.evaluation.cider import GramWeights, consensus, grams_of
from tfcap.evaluation.tokenizer import tokenize
from tfcap.scoring.signal import TextSignal


class CaptionConsensus(TextSignal):
    """CIDEr-D of each caption against its siblings; low where it stands alone.

    Finds captions that do not belong to their siblings, not images all of whose captions are wrong alike.
    Source: the consensus that CIDEr is named after (Vedantam et al. 2015, https://arxiv.org/abs/1411.5726).
    Cost: O(words x captions of an image), in memory of the n-grams, of which those of a single image are counted
    and then forgotten.
    """

    unit = "CIDEr-D, in [0, 10]"

    def check_captions(self, captions: Sequence[Sequence[str]], start: int = 0) -> None:
        alone = [place for place, texts in enumerate(captions) if len(texts) < 2]
        if alone:
            raise InputError(
                f"The image of record {start + alone[0]} has a single caption, without others to agree with",
                received="caption_consensus",
                expected="at least two captions an image, or another score",
            )

    def count(self, texts: Texts) -> Counter[str]:
        self.check_captions(texts.captions, texts.start)
        counts: Counter[str] = Counter()
        for captions in _tokenized(texts):
            counts.update(grams_of(captions))
        return counts

    def scorer(self, counts: Iterable[tuple[str, int]], images: int) -> Callable[[Texts], np.ndarray]:
        weights = GramWeights(counts, images)
        return lambda texts: np.array([each for captions in _tokenized(texts) for each in consensus(captions, weights)])


def _tokenized(texts: Texts) -> Iterable[list[str]]:
    return tokenize(dict(enumerate(texts.captions)), java="never", following=texts.following)[0].values()
