"""Stratified (coverage-centric): without the hardest, which may be noise, the range of the score is covered evenly.

Zheng et al. 2023 (https://arxiv.org/abs/2210.15809): the hardest `noise_cut` of the examples are set aside, the rest
falls into strata of equal width, the budget is spread from the smallest stratum on, and inside a stratum the draw is
random. Spreading it so is the same as giving the strata equal turns, the largest first, which makes an order of it.
What was set aside comes last, the easiest first, for a budget above 1 - noise_cut. Cost O(N log N).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfcap.selection.selector import Selector, Signals
from tfcap.selection.turns import split, take_turns


@dataclasses.dataclass(frozen=True)
class Stratified(Selector):
    score: str = "loss"
    strata: int = 50
    noise_cut: float = 0.1

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.score,)

    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        score = signals.score(self.score, finite=True).astype(np.float64)
        hardest_first = signals.descending(score)
        cut = int(self.noise_cut * len(score) + 1e-9)
        aside, covered = hardest_first[:cut], hardest_first[cut:]
        if len(covered) == 0:
            return aside[::-1]
        low, high = score[covered].min(), score[covered].max()
        part = (score - low) / (high - low) if high > low else np.zeros(len(score))
        stratum = np.clip(part * self.strata, 0, self.strata - 1).astype(np.int64)
        stratum = rng.permutation(self.strata)[stratum]  # which of two equally large strata comes first is drawn
        return np.concatenate([take_turns(split(stratum, rng.permutation(covered))), aside[::-1]])
