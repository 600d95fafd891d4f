"""What every way to make a small set has in common: it is given a problem and gives pairs."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tfcap.distillation.experts import Experts
from tfcap.distillation.pairs import Pairs
from tfcap.distillation.problem import Problem
from tfcap.errors import InputError

OF_EXPERTS = ("batch_size", "expert_rate", "expert_text_rate")  # settings that change an expert

Shown = Callable[[int, Pairs, Mapping[str, float]], None]


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """Pairs, and where they began or are from.

    Attributes:
      pairs: the set.
      start: the pairs that a descent began with; None for a method without one.
      positions, captions: of real pairs the images, int64 [M], and the rows of the captions; None for synthetic ones.
    """

    pairs: Pairs
    start: Pairs | None = None
    positions: np.ndarray | None = None
    captions: np.ndarray | None = None


class Method(abc.ABC):
    """A way to make a set of pairs.

    Attributes:
      problem: what is distilled.
      experts: finds the experts, where `needs_experts`.
    """

    needs_experts = False
    needs_features = False  # makes vectors and no pictures
    steps = False  # goes step by step, from another method's set
    least_pairs = 1
    uses: tuple[str, ...] = ()  # settings that change what it gives, beside the problem's

    def __init__(self, problem: Problem, experts: Callable[[], Experts]) -> None:
        """Raises InputError where the method cannot be had for the problem."""
        self.problem, self.experts = problem, experts
        if self.needs_features and problem.of_pixels:
            raise InputError(
                f"{problem.asked.method} makes features and no pictures",
                received=f"--trains={problem.asked.trains}",
                expected="--trains=projections, with a frozen image encoder",
            )

    @abc.abstractmethod
    def distil(self, count: int, seed: int, folder: Path, xla: bool, shown: Shown) -> Chosen:
        """Returns so many pairs.

        Args:
          seed: of all that is drawn.
          folder: where a long work keeps its checkpoints.
          xla: compiles its steps.
          shown: is called now and then while it goes on.
        """

    def most_pairs(self) -> int:
        """Returns how many pairs it can make at most."""
        return len(self.problem.train)

    def options(self) -> dict[str, object]:
        """Returns the settings that change what it gives."""
        return {name: getattr(self.problem.asked, name) for name in self.uses}


def real_pairs(problem: Problem, positions: np.ndarray, captions: np.ndarray) -> Pairs:
    """Returns the pairs of images and rows of captions, as they are."""
    return Pairs(problem.train.pictures(positions), np.asarray(problem.train.texts[captions], np.float32))
