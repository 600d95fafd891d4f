"""Trajectory matching: pairs on which a student goes in a few steps where an expert went in an epoch.

Source: Wu et al. 2024, "Vision-Language Dataset Distillation", https://arxiv.org/abs/2308.07545.
"""

from __future__ import annotations

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.distillation.descent import Change, Objective
from tfcap.distillation.experts import Experts
from tfcap.distillation.students import batches_of
from tfcap.training.unrolled import Unrolling

_KEPT = 64  # points of trajectories in memory


class MatchedTrajectories(Objective):
    """Each step draws an expert and one of its epochs, and unrolls the student's descent from there.

    Cost of a step: `inner_steps` steps of gradient descent and their derivative, about three times as much.
    """

    has_rates = True

    def __init__(self, experts: Experts, xla: bool) -> None:
        asked = experts.problem.asked
        self.asked, self.experts = asked, experts
        experts.check(asked.experts, asked.latest_start + asked.expert_span)
        matched = ("image", "text") if asked.modalities == "both" else (asked.modalities,)
        unrolling = Unrolling(experts.problem.student, xla, matched)
        self._gradients = unrolling.recomputed if asked.low_memory else unrolling.plain
        self._state = [tf.constant(value) for value in experts.problem.state]
        self._points: dict[tuple[int, int], list[tf.Tensor]] = {}

    def change(self, images: tf.Tensor, texts: tf.Tensor, rates: tf.Tensor, rng: np.random.Generator) -> Change:
        expert = int(rng.integers(self.asked.experts))
        epoch = int(rng.integers(self.asked.latest_start + 1))
        start, target = self._point(expert, epoch), self._point(expert, epoch + self.asked.expert_span)
        count = int(texts.shape[0])
        batches = batches_of(count, self.asked.inner_batch or count, self.asked.inner_steps, rng)
        found = self._gradients(start, target, self._state, images, texts, rates, batches)
        parts = {f"loss_{name}": float(loss) for name, loss in zip(("image", "text"), found.losses, strict=True)}
        of_logarithms = found.rates * rates
        return Change(found.loss, found.images, found.texts, of_logarithms, parts)

    def _point(self, expert: int, epoch: int) -> list[tf.Tensor]:
        if (expert, epoch) not in self._points:
            if len(self._points) >= _KEPT:
                self._points.pop(next(iter(self._points)))
            parameters = self.experts.point(expert, epoch).parameters
            self._points[expert, epoch] = [tf.constant(value) for value in parameters]
        return self._points[expert, epoch]
