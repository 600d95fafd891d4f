"""What every selector is, what it may look at, and the checks that all of them share."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tfcap.errors import InputError
from tfcap.selection.rows import blocks

# What a selector can need beside scores, which go by their own names.
EMBEDDING, SKETCHES, LABELS = "embedding", "sketches", "labels"


@dataclasses.dataclass(frozen=True)
class Signals:
    """What a selector may look at. The accessors raise InputError for what is missing or not a number.

    Attributes:
      ids: int64 [N], in record order.
      scores: float [N] by name of the score; a higher score is a harder example.
      embeddings: float [N, D], which may be memory-mapped.
      sketches: float [N, S], of each example's gradient.
      target_sketches: float [M, S], of validation examples' gradients.
      target_groups: int64 [M], the target each of them belongs to.
      labels: int64 [N], the classes.
    """

    ids: np.ndarray
    scores: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    embeddings: np.ndarray | None = None
    sketches: np.ndarray | None = None
    target_sketches: np.ndarray | None = None
    target_groups: np.ndarray | None = None
    labels: np.ndarray | None = None

    def score(self, name: str, finite: bool = False) -> np.ndarray:
        """Returns the scores `name`, [N]; with `finite`, infinity is an error too."""
        if name not in self.scores:
            known = ", ".join(self.scores) or "no score"
            raise InputError("A score that the selector needs is missing", received=known, expected=f"the score {name}")
        scores = self.scores[name]
        wrong = np.flatnonzero(~np.isfinite(scores) if finite else np.isnan(scores))
        if len(wrong):
            value = "NaN" if np.isnan(scores[wrong[0]]) else "infinite"
            raise InputError(
                f"The score {name} of image {self.ids[wrong[0]]} is {value}",
                received=f"{len(wrong)} such scores of {len(scores)}",
            )
        return scores

    def embedding(self) -> np.ndarray:
        """Returns the embeddings [N, D], not copied."""
        return self._finite(self.embeddings, "embedding")

    def sketch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the sketches [N, S], those of the targets [M, S] and the targets' groups [M]."""
        sketches = self._finite(self.sketches, "gradient sketch")
        targets, groups = self.target_sketches, self.target_groups
        if targets is None or groups is None or not len(targets) == len(groups) > 0 or not np.isfinite(targets).all():
            raise InputError(
                "The gradient sketches of the targets cannot be used",
                received="none" if targets is None else f"an array {targets.shape}",
                expected="a finite array [M, S] and the groups [M]",
            )
        return sketches, targets, groups

    def label(self) -> np.ndarray:
        """Returns the classes, int64 [N]."""
        if self.labels is None:
            raise InputError("The selector needs class labels", received="none", expected="a data set that has them")
        return self.labels

    def _finite(self, array: np.ndarray | None, what: str) -> np.ndarray:
        count = len(self.ids)
        if array is None or array.ndim != 2 or len(array) != count:
            received = "none" if array is None else f"an array {array.shape}"
            raise InputError(
                f"The selector needs the {what} of each image", received=received, expected=f"[{count}, D]"
            )
        for rows, block in blocks(array):
            wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
            if len(wrong):
                raise InputError(f"The {what} of image {self.ids[rows][wrong[0]]} holds NaN or infinity")
        return array

    def subset(self, positions: np.ndarray) -> Signals:
        """Returns the signals of these examples alone, with all targets."""
        arrays = {name: getattr(self, name) for name in ("embeddings", "sketches", "labels")}
        return dataclasses.replace(
            self,
            ids=self.ids[positions],
            scores={name: scores[positions] for name, scores in self.scores.items()},
            **{name: array[positions] for name, array in arrays.items() if array is not None},
        )

    def largest(self, values: np.ndarray) -> int:
        """Returns the position of the largest of `values` [N]; ties go to the smaller id. O(N)."""
        tied = np.flatnonzero(values == values.max())
        return int(tied[np.argmin(self.ids[tied])])

    def descending(self, values: np.ndarray) -> np.ndarray:
        """Returns all positions, the largest of `values` [N] first; ties go to the smaller id. O(N log N)."""
        return np.lexsort((self.ids, -values))


@dataclasses.dataclass(frozen=True)
class Selector(abc.ABC):
    """A method of selection; its fields are its options, with the published defaults.

    Called with the same signals, budget and seed it gives the same ids. Where nothing else is said, a smaller budget
    gives the beginning of what a larger one gives.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """What must be computed first: names of scores, EMBEDDING, SKETCHES, LABELS."""
        return ()

    @property
    def scores(self) -> tuple[str, ...]:
        """The scores among what it needs."""
        return tuple(need for need in self.needs if need not in (EMBEDDING, SKETCHES, LABELS))

    @abc.abstractmethod
    def order(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """Returns positions int64, in the order of selection: at least `budget` of them, each once."""

    def __call__(self, signals: Signals, budget: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the ids int64 [budget] in the order of selection.

        Raises:
          InputError: the budget is not in [1, N], or a signal is missing or not a number.
        """
        if not 1 <= budget <= len(signals.ids):
            raise InputError("The budget is out of range", received=budget, expected=f"1 to {len(signals.ids)} images")
        return signals.ids[self.order(signals, budget, rng)[:budget]]


def budget_of(fraction: float, count: int) -> int:
    """Returns floor(fraction * count), with 0.29 * 100 being 29; raises InputError where that is 0."""
    budget = math.floor(fraction * count + 1e-9)
    if budget == 0:
        raise InputError(
            "--fraction keeps no image", received=f"{fraction:g} of {count} images", expected=f"at least {1 / count:g}"
        )
    return budget
