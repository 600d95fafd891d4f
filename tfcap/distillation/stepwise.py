"""Methods that change pairs step by step, from real pairs, from noise or from another method's set."""

from __future__ import annotations

import abc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfcap import registry
from tfcap.distillation.asked import NOISE
from tfcap.distillation.descent import Descent, Objective
from tfcap.distillation.experts import Experts
from tfcap.distillation.gradients import MatchedGradients
from tfcap.distillation.method import OF_EXPERTS, Chosen, Method, Shown
from tfcap.distillation.pairs import Pairs
from tfcap.distillation.problem import Problem
from tfcap.distillation.trajectory import MatchedTrajectories


class Stepwise(Method):
    """Descends from where `--start` says on an objective."""

    steps = True
    uses: tuple[str, ...] = ("start", "steps", "optimizer", "image_rate", "text_rate")

    def __init__(self, problem: Problem, experts: Callable[[], Experts]) -> None:
        """Raises InputError where the method, or its start, cannot be had for the problem."""
        super().__init__(problem, experts)
        self.start: Method | None = None
        if problem.asked.start != NOISE:
            of_start = problem.asking(method=problem.asked.start, start=NOISE)
            self.start = registry.DISTILLERS[problem.asked.start](of_start, experts)
            self.needs_experts = self.needs_experts or self.start.needs_experts
            self.least_pairs = max(self.least_pairs, self.start.least_pairs)

    def most_pairs(self) -> int:
        return min(super().most_pairs(), self.start.most_pairs()) if self.start else super().most_pairs()

    def options(self) -> dict[str, object]:
        return {**(self.start.options() if self.start else {}), **super().options()}

    @abc.abstractmethod
    def objective(self, xla: bool) -> Objective:
        """Returns what is made smaller."""

    def distil(self, count: int, seed: int, folder: Path, xla: bool, shown: Shown) -> Chosen:
        asked = self.problem.asked
        if self.start:
            start = self.start.distil(count, seed, folder, xla, shown).pairs
        else:
            start = _noise(self.problem.train.images, self.problem.train.texts, count, seed)
        descent = Descent(start, asked, self.problem.of_pixels, self.problem.settings.run.progress)
        return Chosen(descent.run(self.objective(xla), asked.steps, seed, folder, shown), start=start)


def _noise(images: np.ndarray, texts: np.ndarray, count: int, seed: int) -> Pairs:
    """Returns normal noise with train's mean and deviation of each feature and embedding, or uniform pixels."""
    rng = np.random.default_rng([seed, 2])

    def like(vectors: np.ndarray) -> np.ndarray:
        noise = rng.normal(size=(count, vectors.shape[1]))
        return (vectors.mean(axis=0) + vectors.std(axis=0) * noise).astype(np.float32)

    if images.ndim == 2:
        return Pairs(like(images), like(texts))
    return Pairs(rng.uniform(0, 255, size=(count, *images.shape[1:])).astype(np.float32), like(texts))


class TrajectoryMatching(Stepwise):
    """Pairs on which a student goes where experts went: see `tfcap.distillation.trajectory`."""

    needs_experts = True
    uses = (
        *Stepwise.uses,
        *OF_EXPERTS,
        *("rate_rate", "student_rate", "experts", "latest_start", "expert_span", "inner_steps", "inner_batch"),
        "modalities",
    )

    def objective(self, xla: bool) -> Objective:
        return MatchedTrajectories(self.experts(), xla)


class GradientMatching(Stepwise):
    """Pairs whose gradients are those of real ones, along a student's training: see `tfcap.distillation.gradients`."""

    uses = (*Stepwise.uses, "batch_size", "modalities", "student_rate", "restart_every")

    def objective(self, xla: bool) -> Objective:
        return MatchedGradients(self.problem, xla)
