"""Gradient matching: pairs whose gradient is that of real ones, at every point of a student's training on the pairs.

Source: Zhao, Mopuri and Bilen 2021, "Dataset Condensation with Gradient Matching", https://arxiv.org/abs/2006.05929,
which study S4 tried first; here with the contrastive loss of pairs in the place of classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.distillation.descent import Change, Objective
from tfcap.distillation.problem import Problem
from tfcap.training.contrastive import descent_function
from tfcap.training.matching import gradient_distance


class MatchedGradients(Objective):
    """Each step matches gradients at a student, then trains this student a step on the pairs.

    A new student begins every `--restart_every` steps; its parameters are part of a checkpoint. Cost of a step: three
    gradients of a student and the derivative of one.
    """

    def __init__(self, problem: Problem, xla: bool) -> None:
        asked = problem.asked
        self.problem, self.asked = problem, asked
        matched = ("image", "text") if asked.modalities == "both" else (asked.modalities,)
        self._distance = gradient_distance(problem.student, xla, matched)
        self._descend = descent_function(problem.student, xla, momentum=0.0)
        self._state = [tf.constant(value) for value in problem.state]
        self._parameters: list[tf.Tensor] = []
        self._steps = 0

    def change(self, images: tf.Tensor, texts: tf.Tensor, rates: tf.Tensor, rng: np.random.Generator) -> Change:
        if self._steps % self.asked.restart_every == 0:
            seed = int(rng.integers(2**31))
            self._parameters = [tf.constant(value) for value in self.problem.initial(seed)]
        self._steps += 1
        train = self.problem.train
        rows = rng.choice(len(train), min(self.asked.batch_size, len(train)), replace=False)
        captions = train.one_caption_each(rng)[rows]
        real = tf.constant(train.pictures(rows)), tf.constant(train.texts[captions])
        change = Change(*self._distance(self._parameters, self._state, *real, images, texts))
        still = [tf.zeros_like(value) for value in self._parameters]
        _, self._parameters, _ = self._descend(self._parameters, still, self._state, images, texts, rates)
        return change

    def state(self) -> dict[str, np.ndarray]:
        named = {f"student/{place}": value.numpy() for place, value in enumerate(self._parameters)}
        return {**named, "student_steps": np.array(self._steps, np.int64)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._steps = int(state["student_steps"])
        count = len(self.problem.student.trainable_variables)
        self._parameters = [tf.constant(state[f"student/{place}"]) for place in range(count)]
