"""Coresets: real pairs, chosen by the selectors of `tfcap.selection` among all images with one caption each."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfcap import registry
from tfcap.distillation.experts import Experts
from tfcap.distillation.method import OF_EXPERTS, Chosen, Method, Shown, real_pairs
from tfcap.distillation.problem import Problem
from tfcap.scoring.training_dynamics import Forgetting
from tfcap.selection import EMBEDDING, Signals
from tfcap.settings import SelectionSettings


class Coreset(Method):
    """The pairs that a selector keeps.

    A pair's embedding is its image's and its text's, each of length 1, side by side. Its loss is the mean, over the
    experts and their epochs, of the contrastive loss in its batch; learnt means that it was the likeliest of its batch
    both ways, and forgetting counts as in Toneva et al. 2019 (https://arxiv.org/abs/1812.05159), summed over experts.
    Pixels are embedded by the image encoder as it is pretrained or, where it starts at random, as an expert ends.
    """

    uses = (*OF_EXPERTS, "experts", "expert_epochs")

    def __init__(self, selector: str, problem: Problem, experts: Callable[[], Experts]) -> None:
        self.selector = registry.SELECTORS[selector]()
        self._by_expert = problem.has_random_start and EMBEDDING in self.selector.needs
        self.needs_experts = self._by_expert or bool(self.selector.scores)
        super().__init__(problem, experts)

    def distil(self, count: int, seed: int, folder: Path, xla: bool, shown: Shown) -> Chosen:
        rng = np.random.default_rng([seed, 0])
        captions = self.problem.train.one_caption_each(rng)
        ids = np.arange(len(self.problem.train))
        scores = {name: self._score(name) for name in self.selector.scores}
        embeddings = self._embeddings(captions) if EMBEDDING in self.selector.needs else None
        positions = self.selector(Signals(ids, scores, embeddings), count, rng)
        pairs = real_pairs(self.problem, positions, captions[positions])
        return Chosen(pairs, positions=positions, captions=captions[positions])

    def options(self) -> dict[str, object]:
        return super().options() if self.needs_experts else {}

    def _embeddings(self, captions: np.ndarray) -> np.ndarray:
        epochs = self.problem.asked.expert_epochs
        parameters = self.experts().point(0, epochs).parameters if self._by_expert else None
        images, texts = self.problem.encoded_images("train", parameters), self.problem.train.texts[captions]
        return np.concatenate([_of_length_one(images), _of_length_one(texts)], axis=1)

    def _score(self, name: str) -> np.ndarray:
        asked, experts = self.problem.asked, self.experts()
        dynamics = [experts.dynamics(expert, asked.expert_epochs) for expert in range(asked.experts)]
        if name == "loss":
            return np.nanmean(np.concatenate([losses for losses, _ in dynamics]), axis=0)
        forgetting = Forgetting(SelectionSettings())
        return np.nansum([forgetting.of_epochs(right) for _, right in dynamics], axis=0)


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


Random = functools.partial(Coreset, "random")
Herding = functools.partial(Coreset, "herding")
KCenter = functools.partial(Coreset, "k_center")
KMeans = functools.partial(Coreset, "k_means")
ForgettingEvents = functools.partial(Coreset, "forgetting")
Stratified = functools.partial(Coreset, "stratified")
