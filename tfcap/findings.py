"""What the cells of a grid say together."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

import flags
from tfcap.errors import InputError
from tfcap.evaluation.comparisons import Difference, differences, holm
from tfcap.evaluation.costs import late_rise, relative_cost
from tfcap.evaluation.crossed import Estimate, mean_over_seeds
from tfcap.evaluation.learning_curve import Reached, reached
from tfcap.evaluation.quality import quality_of
from tfcap.grid import OF_SELECTION, word_of
from tfcap.reporting.quality import QUALITIES, Quality

Cells = Mapping[str, Mapping[str, Any]]  # by name, what study.json holds of each
BASELINE, FULL = "random", "full"
EPOCHS, STEPS = "equal epochs", "equal steps"  # what every fraction has as many of as all the data
_SHARES = (0.95, 0.99)
# What tables and charts call values that are long, or say nothing by themselves.
_SHOWN = {
    ("augment", "none"): "noaugment",
    ("knowledge_distillation", "true"): "KD",
    ("knowledge_distillation", "false"): "noKD",
}
_COSTS = ("train_seconds", "scoring_seconds", "teacher_seconds", "features_seconds")


def quality_among(cells: Cells) -> Quality:
    """Returns what says how good each of the cells is.

    Args:
      cells: at least one, with their `per_image`.

    Raises:
      InputError: it is not the same of all.
    """
    found: dict[str, str] = {}  # of each, the first cell
    for name, cell in cells.items():
        found.setdefault(quality_of(cell["per_image"]), name)
    if len(found) > 1:
        raise InputError(
            "Captioners and classifiers are not compared with each other",
            received=" and ".join(f"{quality} of {name}" for quality, name in found.items()),
            expected="cells of one quality",
        )
    return QUALITIES[next(iter(found))]


def estimates(cells: Cells) -> dict[str, dict[float, Estimate]]:
    """Returns the mean quality over seeds and test images, by method and fraction.

    Args:
      cells: with their `axes` and `per_image`.

    Raises:
      InputError: not all of them are captioners, nor all classifiers.
    """
    return {
        method: {fraction: mean_over_seeds(_stacked(by_seed)) for fraction, by_seed in row.items()}
        for method, row in _scores(cells).items()
    }


def against_random(cells: Cells) -> dict[str, dict[float, Difference]]:
    """Returns the mean difference of each method from `random` at the same fraction, by method and fraction.

    Where other flags differ as well, the method and the baseline have them alike. Holm's correction is over one family:
    all of these differences, of all methods at all fractions, since a reader looks for whatever stands out among them.

    Args:
      cells: as of `estimates`.
    """
    scores, baselines = _scores(cells), _relabelled(cells, lambda axes: {**axes, "selector": BASELINE})
    found: dict[str, dict[float, Difference]] = defaultdict(dict)
    for baseline in dict.fromkeys(baselines.values()):
        methods = [name for name, other in baselines.items() if other == baseline and name != baseline]
        for fraction, of_baseline in sorted(scores.get(baseline, {}).items()):
            others = {name: scores[name][fraction] for name in methods if fraction in scores[name]}
            for name, difference in differences(of_baseline, others).items():
                found[name][fraction] = difference
    family = [(name, fraction) for name, row in found.items() for fraction in row]
    corrected = holm([found[name][fraction].p for name, fraction in family])
    for (name, fraction), p in zip(family, corrected, strict=True):
        found[name][fraction] = dataclasses.replace(found[name][fraction], corrected=float(p))
    return dict(found)


def reaching(cells: Cells) -> dict[str, dict[float, Reached]]:
    """Returns the fraction at which each method is as good as 95 and 99 % of the full data, by method and share.

    Without methods that were tried at one fraction only.

    Args:
      cells: as of `estimates`.
    """
    return {
        method: reached({fraction: _stacked(by_seed) for fraction, by_seed in {**row, **full}.items()}, _SHARES)
        for method, row, full in _beside_full(cells, _scores(cells))
        if len({**row, **full}) > 1
    }


def relative_costs(cells: Cells) -> dict[str, dict[float, Estimate]]:
    """Returns what each method costs as a part of what training on all of the data costs, by method and fraction.

    A cell's cost is the seconds of its training, of its scoring and selection, of its teacher's training, and of the
    features. In a grid the scoring is done once for all the cells that share it, and is counted in each: it is what a
    user pays who wants that one cell.

    Args:
      cells: with their `axes` and `metrics`.
    """
    seconds = _grouped(cells, lambda cell: sum(cell["metrics"].get(name) or 0 for name in _COSTS))
    return {
        method: {
            fraction: relative_cost(list(by_seed.values()), list(full[1.0].values()))
            for fraction, by_seed in row.items()
        }
        for method, row, full in _beside_full(cells, seconds)
        if full
    }


@dataclasses.dataclass(frozen=True)
class Pace:
    """How long an epoch of a cell takes.

    Attributes:
      seconds: the mean over seeds.
      seeds: how many there are.
      times_faster: than an epoch of all the data, otherwise the same; None where no such cell is, or it is this one.
    """

    seconds: float
    seeds: int
    times_faster: Estimate | None


def paces(cells: Cells) -> dict[str, dict[float, Pace]]:
    """Returns how long an epoch of what is kept takes, by method and fraction, where that is known.

    Args:
      cells: with their `axes`, `arguments` and `metrics`.
    """
    known = {name: seconds for name, cell in cells.items() if (seconds := epoch_seconds(cell))}
    measured = {name: {**cell, "seconds": known[name]} for name, cell in cells.items() if name in known}
    grouped = _grouped(measured, lambda cell: cell["seconds"])
    whole = {method: full.get(1.0, {}) for method, _, full in _beside_full(measured, grouped)}

    def pace(method: str, by_seed: Mapping[str, float]) -> Pace:
        ours, theirs = list(by_seed.values()), list(whole.get(method, {}).values())
        return Pace(float(np.mean(ours)), len(ours), relative_cost(theirs, ours) if theirs else None)

    return {
        method: {fraction: pace(method, by_seed) for fraction, by_seed in row.items()}
        for method, row in grouped.items()
    }


def epoch_seconds(cell: Mapping[str, Any]) -> float | None:
    """Returns how long training goes once through what is kept, validation left out; None where that is not known."""
    choices, seconds = choices_of(cell), cell["metrics"].get("train_seconds")
    if choices is None or not choices.get("epochs") or not seconds:
        return None
    epochs = choices["epochs"] / (choices["fraction"] if choices["budget_steps"] else 1)
    return float(seconds / epochs)


def choices_of(cell: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns all settings of a cell by the flag's name: as its folder says, or else its command line.

    None where this version does not read them.
    """
    if "choices" in cell:
        return dict(cell["choices"])
    try:
        return flags.parse(["cell", *cell["arguments"]]).resolve().by_name()
    except InputError:  # of flags that are no more
        return None


def late_rises(cells: Cells) -> dict[str, float | None]:
    """Returns by which part the validation score of the full data rose in the last third, the mean over seeds.

    By method, those that keep everything; None where no cell records it, or all validated too seldom to tell.

    Args:
      cells: with their `axes` and, since they are recorded, `val_CIDEr` or `val_accuracy` by epoch.
    """
    found: dict[str, float | None] = {}
    for method, row in _grouped(cells, lambda cell: late_rise(validations(cell))).items():
        if 1.0 in row:
            known = [rise for rise in row[1.0].values() if rise is not None]
            found[method] = float(np.mean(known)) if known else None
    return found


def validations(found: Mapping[str, Any]) -> list[float | None]:
    """Returns the validation score by epoch of a cell or a run's history; nothing where it is not recorded."""
    return next((found[f"val_{name}"] for name in QUALITIES if f"val_{name}" in found), [])


def protocol_of(cell: Mapping[str, Any]) -> str:
    """Returns the protocol of a cell: as its axes say, or else its arguments; "" where it keeps all the data."""
    if float(cell["axes"].get("fraction", 1)) == 1:
        return ""
    word = cell["axes"].get("budget_steps") or said_in(cell["arguments"], "budget_steps") or "false"
    return STEPS if word.lower() in ("true", "t", "1", "yes", "y") else EPOCHS


def common_protocol(cells: Cells) -> str:
    """Returns the protocol of all cells that keep a part of the data; "" where they differ, or all keep everything."""
    found = {protocol_of(cell) for cell in cells.values()} - {""}
    return found.pop() if len(found) == 1 else ""


def said_in(arguments: Sequence[str], name: str) -> str | None:
    """Returns the value that a command line gives to a flag last."""
    value = None
    for word in arguments:
        match = re.fullmatch(rf"--?(no)?{name}(?:=(.*))?", word, re.DOTALL)
        if match:
            value = match[2] if match[2] is not None else "false" if match[1] else "true"
    return value


def noise_kept(cells: Cells) -> dict[str, dict[float, float]]:
    """Returns which part of the kept examples has wrong captions, the mean over seeds, by method and fraction.

    Empty for data sets that do not record it.

    Args:
      cells: with their `axes` and `metrics`.
    """
    known = {name: cell for name, cell in cells.items() if "noise_rate_kept" in cell["metrics"]}
    grouped = _grouped(known, lambda cell: cell["metrics"]["noise_rate_kept"])
    return {
        method: {fraction: float(np.mean(list(by_seed.values()))) for fraction, by_seed in row.items()}
        for method, row in grouped.items()
    }


Grouped = dict[str, dict[float, dict[str, Any]]]  # by method, fraction and seed


def _grouped(cells: Cells, value: Callable[[Mapping[str, Any]], Any]) -> Grouped:
    """Returns the values of the cells; no two have one method, fraction and seed."""
    found: Grouped = defaultdict(lambda: defaultdict(dict))
    for cell in cells.values():
        axes = cell["axes"]
        found[method_of(axes)][float(axes.get("fraction", 1))][axes.get("seed", "")] = value(cell)
    return found


def _scores(cells: Cells) -> Grouped:
    """Returns the scores [N] of the test images."""
    if not cells:
        return {}
    name = quality_among(cells).name
    return _grouped(cells, lambda cell: np.array(cell["per_image"][name], np.float64))


def _stacked(by_seed: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.array(list(by_seed.values()))


def method_of(axes: Mapping[str, str]) -> str:
    """Returns the name of what a cell tries: its values on all axes but the fraction's and the seed's."""
    shown = [(name, value) for name, value in axes.items() if name not in ("seed", "fraction")]
    words = [_SHOWN.get((name, value)) or word_of(name, value) for name, value in shown]
    return " ".join(words) or "all cells"


def _relabelled(cells: Cells, change: Callable[[Mapping[str, str]], Mapping[str, str]]) -> dict[str, str]:
    """Returns the method that each method becomes with other axes; `full` is none of them."""
    several = [cell["axes"] for cell in cells.values() if cell["axes"].get("selector") != FULL]
    return {method_of(axes): method_of(change(axes)) for axes in several}


def _beside_full(cells: Cells, found: Grouped) -> list[tuple[str, dict[float, Any], dict[float, Any]]]:
    """Returns each method with what was found at its fractions, and at fraction 1 with its other flags alike."""
    full = _relabelled(
        cells, lambda axes: {"selector": FULL, **{k: v for k, v in axes.items() if k not in OF_SELECTION}}
    )
    return [(method, found[method], found.get(whole, {})) for method, whole in full.items()]
