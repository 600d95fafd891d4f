"""What a report draws of a part: each method's quality and cost by fraction, its curves, its scores, what it keeps."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfcap import registry
from tfcap.data.masks import Mask
from tfcap.evaluation.comparisons import Difference
from tfcap.evaluation.crossed import Estimate
from tfcap.evaluation.learning_curve import Reached
from tfcap.files import read_json
from tfcap.findings import (
    BASELINE,
    FULL,
    Pace,
    against_random,
    estimates,
    late_rises,
    method_of,
    paces,
    quality_among,
    reaching,
    relative_costs,
)
from tfcap.grid import OF_SELECTION
from tfcap.report.cells import Part
from tfcap.reporting.quality import ACCURACY, Quality
from tfcap.reporting.report_charts import Line
from tfcap.reporting.subsets import jaccard
from tfcap.scoring import score_store

COSTS = ("features_seconds", "teacher_seconds", "scoring_seconds", "train_seconds")
_BEST = 5  # methods that charts show at first, beside random and all the data


def looks_of(parts: Sequence[Part]) -> dict[str, int]:
    """Returns the place of each method among those of all parts, so that it looks alike in each."""
    names = dict.fromkeys(name for part in parts for name in Found(part).own)
    return {name: place for place, name in enumerate(names)}


@dataclasses.dataclass(frozen=True)
class Found:
    """A part in the form that its charts and tables need.

    Attributes:
      part: it.
      looks: by method, its place among those of the whole page, which gives it its style; by itself that in the part.
    """

    part: Part
    looks: Mapping[str, int] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def quality(self) -> Quality:
        """What says how good a cell is."""
        return quality_among(self.part.cells)

    @functools.cached_property
    def own(self) -> dict[str, dict[float, Estimate]]:
        """The mean quality by method and fraction, the best method first and all the data last."""
        found = estimates(self.part.cells)
        order = sorted(found, key=lambda name: (self.axes(name)["selector"] == FULL, -_mean(found[name])))
        return {name: found[name] for name in order}

    @functools.cached_property
    def cells_of(self) -> dict[str, dict[float, list[str]]]:
        """The names of the cells by method and fraction, in the order of their seeds."""
        grouped: dict[str, dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
        cells = self.part.cells
        for name in sorted(cells, key=lambda name: (_number(cells[name]["axes"].get("seed", "0")), name)):
            axes = cells[name]["axes"]
            grouped[method_of(axes)][float(axes["fraction"])].append(name)
        return grouped

    @functools.cached_property
    def full(self) -> dict[str, str]:
        """By method, the method that keeps all the data and is otherwise the same."""
        whole = {self.beside_selection(name): name for name in self.own if self.axes(name)["selector"] == FULL}
        return {name: whole[key] for name in self.own if (key := self.beside_selection(name)) in whole}

    @functools.cached_property
    def baseline(self) -> dict[str, str]:
        """By method, the method random that is otherwise the same; not of those that keep all the data."""
        several = {name: method_of({**self.axes(name), "selector": BASELINE}) for name in self.own}
        return {
            name: other
            for name, other in several.items()
            if other in self.own and name not in self.full.values() and min(self.own[name]) < 1
        }

    @functools.cached_property
    def reference(self) -> str | None:
        """The method random, if there is one alone."""
        found = set(self.baseline.values())
        return found.pop() if len(found) == 1 else None

    @functools.cached_property
    def differences(self) -> dict[str, dict[float, Difference]]:
        """Each method's quality less that of random, by method and fraction, corrected over all of them."""
        return against_random(self.part.cells)

    @functools.cached_property
    def reached(self) -> dict[str, dict[float, Reached]]:
        """Where each method is as good as 95 and 99 % of all the data, by method and share."""
        return reaching(self.part.cells)

    @functools.cached_property
    def relative_costs(self) -> dict[str, dict[float, Estimate]]:
        """What each method costs as a part of what all the data cost, where both were measured."""
        metrics = {name: cell["metrics"] for name, cell in self.part.cells.items()}
        known = [name for name, one in metrics.items() if sum(one.get(cost) or 0 for cost in COSTS) > 0]
        return relative_costs(
            {
                name: {**self.part.cells[name], "metrics": {cost: metrics[name].get(cost) or 0 for cost in COSTS}}
                for name in known
            }
        )

    @functools.cached_property
    def paces(self) -> dict[str, dict[float, Pace]]:
        """How long an epoch of a classifier takes, by method and fraction; nothing of captioners."""
        return paces(self.part.cells) if self.quality == ACCURACY else {}

    @functools.cached_property
    def late_rises(self) -> dict[str, float | None]:
        """By which part validation rose in the last third, of the methods with all the data; None if unknown."""
        found = late_rises(self.part.cells)
        return {name: found.get(name) for name in dict.fromkeys(self.full.values())}

    def axes(self, method: str) -> Mapping[str, str]:
        """Returns the axes of one of its cells."""
        return self.part.cells[next(iter(self.cells_of[method].values()))[0]]["axes"]

    def beside_selection(self, method: str) -> tuple[tuple[str, str], ...]:
        """Returns the axes of a method but those that say what is kept."""
        beside = (*OF_SELECTION, "fraction", "seed")
        return tuple((name, word) for name, word in self.axes(method).items() if name not in beside)

    @functools.cached_property
    def lines(self) -> dict[str, Line]:
        """The methods as charts draw them; all the data are the end of each one's line."""
        minutes = {name: self.minutes(name) for name in self.own}
        curves = {name: self._curves(name) for name in self.own}
        best = [name for name in self.own if name not in self.full.values()][:_BEST]
        references = set(self.baseline.values())
        found = {}
        for place, name in enumerate(self.own):
            is_reference = name == self.reference
            is_shown = name in best or name in references or name in self.full.values() or len(self.own) <= _BEST + 2
            whole = self.full.get(name, name)
            found[name] = Line(
                {**self.own[name], **self.own[whole]},
                minutes[name],
                curves[name],
                place,
                self.looks.get(name, place),
                is_reference,
                is_shown,
                self.baseline.get(name),
            )
        return found

    def minutes(self, method: str) -> dict[float, float]:
        """Returns the mean cost by fraction."""
        return {fraction: sum(self.cost(method, fraction).values()) for fraction in self.own[method]}

    def cost(self, method: str, fraction: float) -> dict[str, float]:
        """Returns the mean minutes of each part of the cost, by the name that metrics.json has."""
        metrics = self.metrics(method, fraction)
        return {name: float(np.mean([one.get(name) or 0 for one in metrics])) / 60 for name in COSTS}

    def metrics(self, method: str, fraction: float) -> list[Mapping[str, Any]]:
        """Returns metrics.json of each seed."""
        return [self.part.cells[name]["metrics"] for name in self.cells_of[method][fraction]]

    def _curves(self, method: str) -> dict[float, dict[str, np.ndarray]]:
        found = {}
        drawn = (f"val_{self.quality.name}", "loss")
        for fraction, names in self.cells_of[method].items():
            histories = [read_json(path) for name in names if (path := self._file(name, "history.json"))]
            curves = {name: _mean_curve([history.get(name) or [] for history in histories]) for name in drawn}
            curves = {name: values for name, values in curves.items() if np.isfinite(values).sum() > 1}
            if curves:
                found[fraction] = curves
        return found

    def _file(self, cell: str, name: str) -> Path | None:
        path = self.part.runs[cell] / name if cell in self.part.runs else None
        return path if path is not None and path.exists() else None

    def scores(self) -> tuple[dict[str, list[np.ndarray]], dict[str, str]]:
        """Returns the scores that the runs made, one array a scoring pass, and their units, by name."""
        folders = {path.resolve(): None for cell in self.part.runs if (path := self._file(cell, "scores"))}
        values: dict[str, list[np.ndarray]] = {}
        units: dict[str, str] = {}
        for folder in folders:
            for name in registry.SCORES:
                found = score_store.read(folder, name)
                if found is not None and np.isfinite(found[0]).any():
                    values.setdefault(name, []).append(found[0])
                    units.setdefault(name, found[1].get("unit", "no unit"))
        return values, units

    def agreement(self) -> tuple[dict[float, np.ndarray], list[str]]:
        """Returns the Jaccard index of what each two methods keep, by fraction below 1, and the methods' order.

        It is the mean over the seeds that both have, NaN where there is none.
        """
        masks: dict[tuple[float, str, str], dict[str, np.ndarray]] = defaultdict(dict)
        for method, fraction, seed, mask in self._masks():
            masks[fraction, seed, mask.about["fingerprint"]][method] = mask.mask
        names = [name for name in self.own if any(name in found for found in masks.values())]
        tables: dict[float, list[np.ndarray]] = defaultdict(list)
        for (fraction, *_), found in masks.items():
            table = np.full((len(names), len(names)), np.nan)
            there = [place for place, name in enumerate(names) if name in found]
            table[np.ix_(there, there)] = jaccard([found[names[place]] for place in there])
            tables[fraction].append(table)
        if len(names) < 2:
            return {}, []
        means = {fraction: _nanmean(tables[fraction]) for fraction in sorted(tables)}
        order = _alike_together(_nanmean(list(means.values())))
        return {fraction: table[np.ix_(order, order)] for fraction, table in means.items()}, [names[i] for i in order]

    def _masks(self) -> Iterator[tuple[str, float, str, Mask]]:
        """Yields what each cell below fraction 1 kept, with its method, fraction and seed."""
        for name, cell in self.part.cells.items():
            axes, folder = cell["axes"], self._file(name, "masks")
            fraction = float(axes["fraction"])
            for path in sorted(folder.glob("*.json")) if folder and fraction < 1 else ():
                mask = Mask.read(folder, path.stem)  # type: ignore[arg-type]
                if mask.about.get("fraction") == fraction:
                    yield method_of(axes), fraction, axes.get("seed", "0"), mask


def metric_of(metrics: Mapping[str, Any], name: str) -> float | None:
    """Returns the value of a metric in metrics.json, None where there is none."""
    metric = metrics.get(name)
    return metric.get("value") if isinstance(metric, Mapping) else None


def over_seeds(values: list[float | None]) -> float | None:
    """Returns the mean, or None if a seed has no value."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there and len(there) == len(values) else None


def _mean(row: Mapping[float, Estimate]) -> float:
    return float(np.mean([estimate.value for estimate in row.values()]))


def _number(word: str) -> float:
    return float(word) if word.isdigit() else 0.0


def _mean_curve(curves: list[list[float | None]]) -> np.ndarray:
    """Returns the mean [epochs] of those that are as long as the longest, float64, NaN where none was measured."""
    longest = max(map(len, curves), default=0)
    arrays = [np.array(values, np.float64) for values in curves if len(values) == longest]
    found = _nanmean(arrays) if longest else np.empty(0)
    return found if np.isfinite(found).any() else np.empty(0)


def _nanmean(arrays: list[np.ndarray]) -> np.ndarray:
    """Returns the mean of what is there, NaN where nothing is."""
    stacked = np.stack(arrays)
    there = np.isfinite(stacked)
    return np.where(
        there.any(axis=0), np.where(there, stacked, 0).sum(axis=0) / np.maximum(1, there.sum(axis=0)), np.nan
    )


def _alike_together(table: np.ndarray) -> list[int]:
    """Returns an order in which similar ones are neighbours: the leaves of average linkage."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
    from scipy.spatial.distance import squareform

    distances = 1 - np.nan_to_num(table)
    np.fill_diagonal(distances, 0)
    flat = squareform(distances, checks=False)
    return [int(place) for place in leaves_list(optimal_leaf_ordering(linkage(flat, "average"), flat))]
