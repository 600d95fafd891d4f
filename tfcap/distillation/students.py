"""Training a new student on a set of pairs, and how well it then retrieves: what a distilled set is judged by."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.distillation.pairs import Pairs
from tfcap.distillation.problem import Problem, Split
from tfcap.errors import TrainingDiverged
from tfcap.evaluation.retrieval import Ranks, ranks_of
from tfcap.training.contrastive import descent_function, vectors_function

_AT_ONCE = 256  # images or texts of a forward pass

Parameters = list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a student is trained on a set: gradient descent with momentum, its rate decaying by half a cosine to 0.

    Attributes:
      rates: of image and of text parameters.
      steps: of gradient descent.
      batch_size: pairs a step, all of them where there are fewer.
      momentum: of the descent.
    """

    rates: tuple[float, float]
    steps: int
    batch_size: int
    momentum: float = 0.9


class Students:
    """Trains students of a problem and judges them, with functions that are compiled once."""

    def __init__(self, problem: Problem, xla: bool) -> None:
        self.problem, self.xla = problem, xla
        self._descend: dict[float, Callable[..., Any]] = {}
        self._vectors = vectors_function(problem.student, xla=False)
        self._initial = functools.lru_cache(maxsize=4)(problem.initial)

    def trained(self, pairs: Pairs, recipe: Recipe, seed: int) -> list[tf.Tensor]:
        """Returns the parameters of a student, new by its seed, after training on the pairs.

        Raises:
          TrainingDiverged: the loss or a parameter became NaN or infinite.
        """
        if recipe.momentum not in self._descend:
            self._descend[recipe.momentum] = descent_function(self.problem.student, self.xla, recipe.momentum)
        descend = self._descend[recipe.momentum]
        parameters = [tf.constant(value) for value in self._initial(seed)]
        velocities = [tf.zeros_like(value) for value in parameters]
        rng = np.random.default_rng([seed, 1])
        state = [tf.constant(value) for value in self.problem.state]
        images, texts = tf.constant(pairs.images), tf.constant(pairs.texts)
        rates = np.array(recipe.rates, np.float32)
        loss = tf.constant(0.0)
        for step, batch in enumerate(batches_of(len(pairs), recipe.batch_size, recipe.steps, rng)):
            left = np.float32(0.5 * (1 + math.cos(math.pi * step / recipe.steps)))
            whole = len(batch) == len(pairs)
            ours = (images, texts) if whole else (tf.gather(images, batch), tf.gather(texts, batch))
            (loss, _, _), parameters, velocities = descend(
                parameters, velocities, state, *ours, tf.constant(rates * left)
            )
        if not math.isfinite(float(loss)) or not all(np.isfinite(value.numpy()).all() for value in parameters):
            raise TrainingDiverged(f"A student diverged: its loss was {float(loss)} in step {recipe.steps}")
        return parameters

    def ranks(self, parameters: Sequence[Any], split: Split) -> Ranks:
        """Returns how a student ranks a split's images and captions."""
        images = self._all_vectors(parameters, split, True)
        return ranks_of(images, self._all_vectors(parameters, split, False), split.image_of_text)

    def _all_vectors(self, parameters: Sequence[Any], split: Split, of_images: bool) -> np.ndarray:
        count = len(split) if of_images else len(split.texts)
        state = [tf.constant(value) for value in self.problem.state]
        found = []
        for start in range(0, count, _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, count))
            inputs = split.pictures(rows) if of_images else split.texts[rows]
            found.append(self._vectors(parameters, state, tf.constant(inputs), of_images).numpy())
        return np.concatenate(found)


def batches_of(count: int, batch_size: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the rows of each step, int32 [steps, b]: passes over all in random order, each without its remainder."""
    size = min(batch_size, count)
    if size == count:
        return np.tile(np.arange(count, dtype=np.int32), (steps, 1))
    passes = -(-steps // (count // size))
    orders = rng.permuted(np.tile(np.arange(count, dtype=np.int32), (passes, 1)), axis=1)
    return orders[:, : count // size * size].reshape(-1, size)[:steps]
