"""How good a set is: what a student that is trained on it alone retrieves from the test split."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap.distillation.pairs import Pairs
from tfcap.distillation.students import Recipe, Students
from tfcap.errors import TrainingDiverged
from tfcap.evaluation.retrieval import KS, summary

DIRECTIONS = ("image_to_text", "text_to_image")


def judge(
    students: Students, pairs: Pairs, rates: Sequence[float], steps: int, batch_size: int, seed: int
) -> dict[str, Any]:
    """Returns what the best of several students on validation retrieves from test; test has no part in the choice.

    There is a student a rate, the same for image and text parameters and for every set: what a set was distilled with
    is no candidate, since a coreset has nothing like it. All start from the same weights. The best has the highest sum
    of R@1, R@5 and R@10 both ways.

    Returns:
      `rates` of the best, `validation` and `test` (R@K in percent and median ranks by direction), `seconds`, and `hits`
      of test by direction and R@K, lists over images.

    Raises:
      TrainingDiverged: no student's loss stayed a number.
    """
    began = time.perf_counter()
    candidates = [(rate, rate) for rate in rates]
    trained, rates_of, failure = [], [], None
    for candidate in candidates:
        try:
            trained.append(students.trained(pairs, Recipe(candidate, steps, batch_size), seed))
            rates_of.append(list(candidate))
        except TrainingDiverged as error:
            failure = error
    if not trained:
        raise failure or TrainingDiverged("There was no rate to train a student with")
    found = best_of(students, trained)
    rates = rates_of[found.pop("place")]
    return {"rates": rates, **found, "seconds": round(time.perf_counter() - began, 1)}


def best_of(students: Students, candidates: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Returns what the best of several students' parameters on validation retrieves from test, and its `place`."""
    splits = students.problem.splits
    best: tuple[int, Sequence[Any], dict[str, Any]] | None = None
    for place, parameters in enumerate(candidates):
        found = summary(students.ranks(parameters, splits["validation"]))
        if best is None or recall_sum(found) > recall_sum(best[2]):
            best = place, parameters, found
    if best is None:
        raise ValueError("There is no student to choose from")
    place, parameters, found = best
    ranks = students.ranks(parameters, splits["test"])
    of_test = summary(ranks)
    return {
        "place": place,
        "validation": {name: found[name] for name in DIRECTIONS},
        "test": {name: of_test[name] for name in DIRECTIONS},
        "hits": _hits(of_test["per_item"]),
    }


def recall_sum(found: Mapping[str, Any]) -> float:
    """Returns the sum of all six recalls of a summary, in percent."""
    return sum(found[name][f"R@{k}"] for name in DIRECTIONS for k in KS)


def _hits(per_item: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, list[float]]]:
    return {
        name: {recall: [round(float(hit), 4) for hit in values] for recall, values in per_item[name].items()}
        for name in DIRECTIONS
    }
