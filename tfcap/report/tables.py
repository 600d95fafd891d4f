"""The tables of a report on what was measured: quality by method and fraction, and every figure."""

from __future__ import annotations

from tfcap.evaluation.crossed import Estimate
from tfcap.findings import EPOCHS, STEPS
from tfcap.report.data import Found, metric_of, over_seeds
from tfcap.report.findings import heading, percent
from tfcap.reporting.exported_tables import Cell, Column, Interval, Table
from tfcap.reporting.quality import CIDER

_ON_STEPS = {
    EPOCHS: " With equal epochs a smaller fraction has fewer steps.",
    STEPS: " With equal steps every fraction takes as many optimizer steps as all the data.",
}
_METRICS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L")


def quality_table(found: Found) -> Table:
    """Returns the quality x 100 with intervals, a row a method, a column a fraction."""
    fractions = sorted({fraction for row in found.own.values() for fraction in row})
    rows: list[list[Cell | Interval]] = []
    for method, row in found.own.items():
        rows.append([method, *(interval_of(row[one]) if one in row else None for one in fractions)])
    return Table(
        "quality_by_fraction",
        f"{found.quality.title} by method and fraction",
        "Mean over seeds and all test images, and half of its 95 % interval for new seeds and images. With * there is "
        f"one seed, and the interval says nothing of others.{_ON_STEPS.get(found.part.protocol, '')}",
        [Column(heading(found)), *(Column(percent(fraction)) for fraction in fractions)],
        rows,
    )


def interval_of(estimate: Estimate) -> Interval:
    """Returns the quality x 100 as a table shows it."""
    mark = "*" if estimate.seeds == 1 else ""
    return Interval(100 * estimate.value, 100 * estimate.low, 100 * estimate.high, mark)


def all_figures(found: Found) -> Table:
    """Returns a row for each method and fraction: every metric, the cost, and known noise."""
    rows: list[list[Cell | Interval]] = []
    for method, row in found.own.items():
        for fraction, estimate in sorted(row.items()):
            metrics, cost = found.metrics(method, fraction), found.cost(method, fraction)
            kept = over_seeds([one.get("examples_kept") for one in metrics])
            noise = over_seeds([one.get("noise_rate_kept") for one in metrics])
            rows.append(
                [
                    *(method, 100 * fraction, estimate.seeds),
                    *(100 * value for value in (estimate.value, estimate.low, estimate.high)),
                    *(_times_100(over_seeds([metric_of(one, name) for one in metrics])) for name in _METRICS),
                    *(kept, _times_100(noise), *cost.values(), sum(cost.values())),
                ]
            )
    columns = [Column(heading(found)), Column("kept, %", 0), Column("seeds", 0)]
    name = found.quality.name
    columns += [Column(name, 1), Column("low", 1), Column("high", 1), *(Column(name, 1) for name in _METRICS)]
    columns += [Column("examples", 0), Column("wrong captions, %", 1)]
    columns += [
        Column(name, 1) for name in ("features, min", "teacher, min", "scoring, min", "training, min", "total, min")
    ]
    empty = {place for place in range(len(columns)) if all(row[place] is None for row in rows)}
    return Table(
        "all_figures",
        "Every figure",
        f"Metrics x 100, means over seeds; low and high bound the 95 % interval of {name}. "
        + ("METEOR needs Java. " if found.quality == CIDER else "")
        + "Minutes are of one cell, scoring charged in full.",
        [column for place, column in enumerate(columns) if place not in empty],
        [[cell for place, cell in enumerate(row) if place not in empty] for row in rows],
    )


def _times_100(value: float | None) -> float | None:
    return None if value is None else 100 * value
