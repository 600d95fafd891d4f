"""What a study finds, as a report says it: differences, fractions, costs and plateaus, in tables and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tfcap.evaluation.comparisons import Difference
from tfcap.evaluation.costs import PLATEAU_RISE
from tfcap.evaluation.crossed import Estimate
from tfcap.evaluation.learning_curve import Reached
from tfcap.findings import BASELINE, EPOCHS, FULL
from tfcap.report.data import Found
from tfcap.reporting.exported_tables import Bounded, Cell, Column, Interval, Reaching, Signed, Table
from tfcap.reporting.quality import Quality

Row = list[Cell | Interval]
_ABOVE, _BELOW = " ▲", " ▼"
_DEARER, _PERHAPS_DEARER = " !", " ?"
_NAMED = 4  # methods in a sentence


def tables_of(found: Found) -> list[Table]:
    """Returns those tables that have anything to say."""
    several = [_differences(found), _reached(found), _costs(found), _paces(found), _plateaus(found)]
    return [table for table in several if table.rows]


def heading(found: Found) -> str:
    """Returns what stands above the methods of a table; the protocol, which files of a table have to say too."""
    return f"method, {found.part.protocol}" if found.part.protocol else "method"


def _of_fractions(found: Found, fractions: set[float]) -> list[Column]:
    return [Column(heading(found)), *(Column(percent(fraction)) for fraction in sorted(fractions))]


def percent(fraction: float) -> str:
    """Returns a part in words."""
    return f"{100 * fraction:g} %"


def _differences(found: Found) -> Table:
    fractions = {fraction for row in found.differences.values() for fraction in row}
    rows: list[Row] = []
    for method in [name for name in found.own if name in found.differences]:
        row = found.differences[method]
        cells: Row = [method]
        for fraction in sorted(fractions):
            one = row.get(fraction)
            mark = "" if one is None else ("*" if one.seeds == 1 else "") + _mark(one.significant(), one.value)
            cells.append(None if one is None else Signed(100 * one.value, 100 * one.low, 100 * one.high, mark))
        rows.append(cells)
    family = sum(_is_tested(one) for row in found.differences.values() for one in row.values())
    return Table(
        "differences_from_random",
        f"{found.quality.title} less that of random",
        "On the same test images and seeds, and half of the 95 % interval, each by itself. ▲ surely above random and ▼ "
        f"surely below it: p < 0.05 after Holm's correction over all {family} tested differences. Without a mark, "
        "chance may explain it. With * there is one seed, of which nothing is tested.",
        _of_fractions(found, fractions),
        rows,
    )


def _mark(significant: bool, value: float) -> str:
    if not significant:
        return ""
    return _ABOVE if value > 0 else _BELOW


def _is_tested(one: Difference) -> bool:
    return not math.isnan(one.p)


def table_of_tests(found: Found) -> Table:
    """Returns the differences from random one by one, with their p."""
    rows: list[Row] = []
    for method in [name for name in found.own if name in found.differences]:
        for fraction, one in sorted(found.differences[method].items()):
            verdict = {_ABOVE: "above random", _BELOW: "below random"}.get(_mark(one.significant(), one.value), "open")
            verdict = verdict if _is_tested(one) else "not tested"
            values = (100 * value for value in (one.value, one.low, one.high))
            known = (None if math.isnan(value) else value for value in (*values, one.p, one.corrected))
            rows.append([method, 100 * fraction, one.seeds, *known, verdict])
    return Table(
        "tests_against_random",
        "Every difference from random, with its p",
        f"{found.quality.title}; low and high bound the 95 % interval of one difference. p is two-sided; p, Holm is "
        "corrected over all rows of this table.",
        [
            *(Column(heading(found)), Column("kept, %", 0), Column("seeds", 0)),
            *(Column("difference", 2), Column("low", 2), Column("high", 2), Column("p", 4), Column("p, Holm", 4)),
            Column("verdict"),
        ],
        rows,
    )


def _reached(found: Found) -> Table:
    shares = {share for row in found.reached.values() for share in row}
    rows: list[Row] = []
    for method in [name for name in found.own if name in found.reached]:
        row = found.reached[method]
        rows.append([method, *(_reached_cell(row[share]) for share in sorted(shares))])
    return Table(
        "data_needed",
        "Data needed for nearly all of the quality",
        "Per cent of the data, with a 95 % interval, at which the learning curve (a power law with an offset) reaches "
        f"so much of the {found.quality.name} that all the data give; ≤ is the smallest part tried, and 100 is not "
        "below all. Where the means follow no such law: the parts tried between which they first reach it.",
        [Column(heading(found)), *(Column(f"for {percent(share)}") for share in sorted(shares))],
        rows,
    )


def _reached_cell(one: Reached) -> Cell | Interval:
    if one.unknown:
        between = "" if math.isnan(one.high) else f"{100 * one.low:.0f} to {100 * one.high:.0f}: "
        return between + one.unknown
    return Reaching(100 * one.fraction, 100 * one.low, 100 * one.high, least=100 * one.smallest)


def _costs(found: Found) -> Table:
    costs = {name: found.relative_costs[name] for name in found.own if name in found.relative_costs}
    costs = {name: row for name, row in costs.items() if name not in found.full.values()}
    fractions = {fraction for row in costs.values() for fraction in row}
    rows: list[Row] = []
    for method, row in costs.items():
        rows.append([method, *(_cost_cell(row[one]) if one in row else None for one in sorted(fractions))])
    return Table(
        "cost_beside_all",
        "Cost in % of that of all the data",
        "Seconds of features, scoring and training, scoring charged in full to each cell, with 95 % intervals over "
        f"seeds; what is missing to 100 is saved.{_DEARER} costs more than it saves,{_PERHAPS_DEARER} may do so. "
        "Without an interval there is one seed.",
        _of_fractions(found, fractions),
        rows,
    )


def _cost_cell(one: Estimate) -> Interval:
    mark = _DEARER if _is_dearer(one) else _PERHAPS_DEARER if not one.high <= 1 and not math.isnan(one.high) else ""
    return Bounded(100 * one.value, 100 * one.low, 100 * one.high, mark)


def _is_dearer(one: Estimate) -> bool:
    """Whether a cell costs more than all the data: surely, or of one seed as far as that shows."""
    return one.value > 1 if math.isnan(one.low) else one.low > 1


def _paces(found: Found) -> Table:
    rows: list[Row] = []
    for method in [name for name in found.own if name in found.paces]:
        for fraction, pace in sorted(found.paces[method].items()):
            faster = pace.times_faster
            bounds = (None, None, None) if faster is None else (faster.value, faster.low, faster.high)
            known = (None if value is None or math.isnan(value) else value for value in bounds)
            rows.append([method, 100 * fraction, pace.seeds, pace.seconds, *known])
    return Table(
        "seconds_an_epoch",
        "Seconds an epoch",
        "Of training once through what is kept, its part of compilation included, validation left out, the mean over "
        "seeds; how many times faster that is than with all the data, otherwise the same, and the bounds of the 95 % "
        "interval over seeds.",
        [
            *(Column(heading(found)), Column("kept, %", 0), Column("seeds", 0), Column("seconds", 2)),
            *(Column("times faster", 1), Column("low", 1), Column("high", 1)),
        ],
        rows,
    )


def _plateaus(found: Found) -> Table:
    rows: list[Row] = []
    for method, rise in found.late_rises.items():
        verdict = "unknown" if rise is None else "near" if rise <= PLATEAU_RISE else "NOT near"
        rows.append([method, None if rise is None else 100 * rise, verdict])
    return Table(
        "plateau",
        "Was training on all the data long enough?",
        f"By how much of itself the best validation {found.quality.name} rose in the last third of training; near its "
        f"plateau at {100 * PLATEAU_RISE:g} % or less, which is necessary for a plateau and no proof of one. Unknown "
        "where the last third, or what is before it, has no recorded validation.",
        [Column("method"), Column("rise, %", 1), Column("its plateau is")],
        rows,
    )


def in_short(found: Found) -> Iterator[str]:
    """Yields what a study finds in plain words, a sentence or two each."""
    for name in dict.fromkeys(found.full.values()):
        yield f"{_with_all(name)}: {found.quality.name} {in_words(found.own[name][1.0], found.quality)}."
    yield from _tests_in_words(found)
    for method in dict.fromkeys(found.baseline.values()):
        yield from _reached_in_words(method, found.reached.get(method, {}))
    yield from _costs_in_words(found)
    for method, rise in found.late_rises.items():
        if rise is not None and rise <= PLATEAU_RISE:
            yield f"{_training(method)} was near its plateau: {_rose(rise, found.quality)}."


def warnings_of(found: Found) -> Iterator[str]:
    """Yields what a reader has to know before believing a comparison with all the data."""
    shorter = "; smaller fractions lose by fewer steps as well as by less data" if found.part.protocol == EPOCHS else ""
    for method, rise in found.late_rises.items():
        if rise is None:
            yield (
                f"It is not known whether {_training(method, '')} was near its plateau: its validation "
                f"{found.quality.name} was not recorded both in the last third of training and before it."
            )
        elif rise > PLATEAU_RISE:
            yield f"{_training(method)} was NOT near its plateau: {_rose(rise, found.quality)}{shorter}."


def in_words(estimate: Estimate, quality: Quality) -> str:
    """Returns the quality x 100 with its interval, where it has one."""
    bounds = "" if math.isnan(estimate.low) else f" [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"
    return f"{100 * estimate.value:.1f}{quality.sign}{bounds}"


def _with_all(method: str) -> str:
    return "All the data" if method == FULL else f"All the data, {_others(method)}"


def _training(method: str, begin: str = "T") -> str:
    return f"{begin or 't'}raining on all the data" + ("" if method == FULL else f" ({_others(method)})")


def _others(method: str) -> str:
    return " ".join(word for word in method.split(" ") if word != FULL)


def _rose(rise: float, quality: Quality) -> str:
    return f"its best validation {quality.name} rose by {100 * rise:.1f} % in the last third of training"


def _tests_in_words(found: Found) -> Iterator[str]:
    """Yields which methods are above and below random, fraction by fraction."""
    if not found.differences:
        if found.baseline and len(found.own) > len(found.full.values()):
            yield "Nothing was tried beside random, so no selector is tested."
        return
    fractions = sorted({fraction for row in found.differences.values() for fraction in row})
    rows = [(name, found.differences[name]) for name in found.own if name in found.differences]
    for fraction in fractions:
        there = {name: row[fraction] for name, row in rows if fraction in row and _is_tested(row[fraction])}
        if not there:
            yield f"At {percent(fraction)} nothing is tested: one seed cannot tell a method from chance."
            continue
        sure = {name: one.value > 0 for name, one in there.items() if one.significant()}
        above, below = ([name for name, is_above in sure.items() if is_above == side] for side in (True, False))
        text = f"At {percent(fraction)} {_several(above) if above else 'nothing'} {_is(above)} surely above random"
        text += f"; {_several(below)} {_is(below)} surely below it" if below else ""
        rest = len(there) - len(sure)
        yield text + (f"; {rest} of {len(there)} {'is' if rest == 1 else 'are'} open." if sure and rest else ".")


def _several(names: list[str]) -> str:
    shown = names if len(names) <= _NAMED + 1 else [*names[:_NAMED], f"{len(names) - _NAMED} more"]
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def _is(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _reached_in_words(method: str, row: dict[float, Reached]) -> Iterator[str]:
    known = {share: one for share, one in sorted(row.items()) if not one.unknown}
    parts = [f"{percent(share)} of the full quality needs {_needed(one)}" for share, one in known.items()]
    if parts:
        yield f"With {method}, {', and '.join(parts)}."
    for share, one in sorted(row.items())[:1] if not parts else ():
        needs = f"With {method}, {percent(share)} of the full quality needs"
        if math.isnan(one.high):
            yield f"{needs} an amount of data that cannot be said: {one.unknown}."
        else:
            yield f"{needs} between {percent(one.low)} and {percent(one.high)} of the data; no closer: {one.unknown}."


def _needed(one: Reached) -> str:
    if one.fraction >= 1:
        return f"all of the data [{100 * one.low:.0f}, {100 * one.high:.0f} %]"
    least = "at most " if one.fraction <= one.smallest else ""
    return f"{least}{100 * one.fraction:.0f} % of the data [{100 * one.low:.0f}, {100 * one.high:.0f} %]"


def _costs_in_words(found: Found) -> Iterator[str]:
    fractions = sorted({fraction for row in found.relative_costs.values() for fraction in row if fraction < 1})
    parts = []
    for fraction in fractions:
        rows = {name: row[fraction] for name, row in found.relative_costs.items() if fraction in row}
        dear = [name for name in found.own if name in rows and _is_dearer(rows[name])]
        parts += [f"at {percent(fraction)} {_several(dear)}"] if dear else []
    if parts:
        yield f"Scoring included, these cost more than training on all the data: {'; '.join(parts)}."
    if fractions and BASELINE in found.relative_costs:
        first, last = found.relative_costs[BASELINE], fractions[-1]
        if last in first:
            yield f"Random {percent(last)} costs {100 * first[last].value:.0f} % of what all the data cost."
