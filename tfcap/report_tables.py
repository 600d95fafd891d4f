"""The tables of a report: quality by method and fraction, every figure, and the published ones beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import flags
from tfcap.errors import InputError
from tfcap.evaluation.crossed import Estimate
from tfcap.found_cells import Part
from tfcap.report_data import Found
from tfcap.reporting.exported_tables import Cell, Column, Interval, Table
from tfcap.reporting.published import Figure, figures, studies

_METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L")


def quality_table(found: Found) -> Table:
    """Returns CIDEr x 100 with intervals, a row a method, a column a fraction."""
    fractions = sorted({fraction for row in found.own.values() for fraction in row})
    rows: list[list[Cell | Interval]] = []
    for method, row in found.own.items():
        rows.append([method, *(_interval(row[fraction]) if fraction in row else None for fraction in fractions)])
    return Table(
        "quality_by_fraction",
        "CIDEr x 100 by method and fraction",
        "Mean over seeds and all test images, and half of its 95 % interval for new seeds and images. With * there is "
        "one seed, and the interval says nothing of others. With equal epochs a smaller fraction has fewer steps.",
        [Column("method"), *(Column(f"{100 * fraction:g} %") for fraction in fractions)],
        rows,
    )


def _interval(estimate: Estimate) -> Interval:
    mark = "*" if estimate.seeds == 1 else ""
    return Interval(100 * estimate.value, 100 * estimate.low, 100 * estimate.high, mark)


def all_figures(found: Found) -> Table:
    """Returns a row for each method and fraction: every metric, the cost, and known noise."""
    rows: list[list[Cell | Interval]] = []
    for method, row in found.own.items():
        for fraction, estimate in sorted(row.items()):
            metrics, cost = found.metrics(method, fraction), found.cost(method, fraction)
            kept = _over_seeds([one.get("examples_kept") for one in metrics])
            noise = _over_seeds([one.get("noise_rate_kept") for one in metrics])
            rows.append(
                [
                    *(method, 100 * fraction, estimate.seeds),
                    *(100 * value for value in (estimate.value, estimate.low, estimate.high)),
                    *(_times_100(_over_seeds([_value(one, name) for one in metrics])) for name in _METRICS),
                    *(kept, _times_100(noise), *cost.values(), sum(cost.values())),
                ]
            )
    columns = [Column("method"), Column("kept, %", 0), Column("seeds", 0)]
    columns += [Column("CIDEr", 1), Column("low", 1), Column("high", 1), *(Column(name, 1) for name in _METRICS)]
    columns += [Column("examples", 0), Column("wrong captions, %", 1)]
    columns += [Column(name, 1) for name in ("features, min", "scoring, min", "training, min", "total, min")]
    empty = {place for place in range(len(columns)) if all(row[place] is None for row in rows)}
    return Table(
        "all_figures",
        "Every figure",
        "Metrics x 100, means over seeds; low and high bound the 95 % interval of CIDEr. METEOR needs Java. Minutes "
        "are of one cell, scoring charged in full.",
        [column for place, column in enumerate(columns) if place not in empty],
        [[cell for place, cell in enumerate(row) if place not in empty] for row in rows],
    )


def _value(metrics: Mapping[str, Any], name: str) -> float | None:
    metric = metrics.get(name)
    return metric.get("value") if isinstance(metric, Mapping) else None


def _over_seeds(values: list[float | None]) -> float | None:
    """Returns the mean, or None if a seed has no value."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there and len(there) == len(values) else None


def _times_100(value: float | None) -> float | None:
    return None if value is None else 100 * value


def published_tables(found: Found) -> tuple[Table, Table]:
    """Returns the published figures of which the part has found the same, beside its own, and all others."""
    choices = _choices(found.part)
    pairs = [(figure, _ours(figure, found, choices)) for figure in figures()]
    words = [Column("study"), Column("setting"), Column("unit")]
    return (
        Table(
            "published",
            "Beside the published figures",
            "Of findings in words, signs and ratios compare, whatever the data; a difference of means may be chance.",
            [*words, Column("published", 2), Column("here", 2)],
            [[*_of_figure(figure), ours] for figure, ours in pairs if ours is not None],
        ),
        Table(
            "published_others",
            "Published figures of which these runs hold nothing",
            "; ".join(f"{name}: {text}" for name, text in studies().items()) + ".",
            [*words, Column("published", 2)],
            [_of_figure(figure) for figure, ours in pairs if ours is None],
        ),
    )


def _of_figure(figure: Figure) -> list[Cell | Interval]:
    return [figure.study, figure.what, figure.unit, figure.published]


def _choices(part: Part) -> dict[str, dict[str, Any]]:
    """Returns the settings of each cell with all the data, by name, as far as this version reads its command line."""
    found = {}
    for name, cell in part.cells.items():
        if float(cell["axes"].get("fraction", 1)) < 1:
            continue
        try:
            settings = flags.parse(["report", *cell["arguments"]]).resolve()
        except InputError:  # of another command, or of flags that are no more
            continue
        found[name] = {field: value for group in settings.to_json().values() for field, value in group.items()}
    return found


def _ours(figure: Figure, found: Found, choices: Mapping[str, Mapping[str, Any]]) -> float | None:
    def quality(selector: str, fraction: float) -> float | None:
        return found.own[selector][fraction].value if fraction in found.own.get(selector, {}) else None

    if figure.difference is not None:
        one, other, fraction = figure.difference
        ours, theirs = quality(one, fraction), quality(other, fraction)
        return None if ours is None or theirs is None else 100 * (ours - theirs)
    if figure.share is not None:
        selector, fraction = figure.share
        ours, whole = quality(selector, fraction), quality(found.full.get(selector, ""), 1.0)
        return 100 * ours / whole if ours is not None and whole else None
    if figure.metric is None:
        return None
    alike = [
        cell["metrics"]
        for name, cell in found.part.cells.items()
        if name in choices
        and all(str(choices[name].get(field)).lower().endswith(word.lower()) for field, word in figure.of.items())
    ]
    return _times_100(_over_seeds([_value(metrics, figure.metric) for metrics in alike]))
