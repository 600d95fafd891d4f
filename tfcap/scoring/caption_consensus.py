"""Caption consensus: how well an image's captions agree, with no model at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfcap.evaluation.cider import CiderScorer
from tfcap.scoring.signal import TextSignal


class CaptionConsensus(TextSignal):
    """CIDEr-D of each caption against its siblings; low where it stands alone.

    Finds captions that do not belong to their siblings, not images all of whose captions are wrong alike.
    Source: the consensus that CIDEr is named after (Vedantam et al. 2015, https://arxiv.org/abs/1411.5726).
    Cost: O(words x captions of an image), in memory of all captions.
    """

    unit = "CIDEr-D, in [0, 10]"

    def of_captions(self, captions: Sequence[Sequence[str]]) -> np.ndarray:
        return CiderScorer(dict(enumerate(captions))).consensus()
