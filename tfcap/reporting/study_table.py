"""The tables of a grid of experiments: a row a method, a column a fraction, and a legend, within 120 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from tfcap.reporting.quality import Quality
from tfcap.reporting.tables import ABSENT, aligned

_WIDTH = 120
_NO_MARK = "  "  # as wide as a mark, so that figures stay below each other

_PROTOCOLS = {
    "equal epochs": "equal epochs: a smaller fraction also takes fewer steps",
    "equal steps": "equal steps: every fraction takes as many as all of the data",
}

ByFraction = Mapping[str, Mapping[float, Any]]  # by method and fraction


def study_table(found: ByFraction, quality: Quality, differences: ByFraction | None = None, protocol: str = "") -> str:
    """Returns the quality x 100 of each method at each fraction, as mean and half of its 95 % interval.

    Args:
      found: estimates with value, low, high and seeds.
      quality: what they are of.
      differences: from the baseline, whose marks are set where they are significant.
      protocol: of all cells, where it is one: "equal epochs" or "equal steps".
    """
    words = {}
    for method, row in found.items():
        marks = {fraction: _mark(one) for fraction, one in (differences or {}).get(method, {}).items()}
        absent = _NO_MARK if differences else ""
        words[method] = {fraction: _words(value) + marks.get(fraction, absent) for fraction, value in row.items()}
    seeds = sorted({estimate.seeds for row in found.values() for estimate in row.values()})
    counted = "1 seed" if seeds == [1] else f"{' or '.join(map(str, seeds))} seeds"
    note = f"mean over {counted} and all test images with 95 % intervals; * one seed"
    return _with_legend(_lines(quality.head, words, str), note, *([_PROTOCOLS[protocol]] if protocol else []))


def difference_table(found: ByFraction) -> str:
    """Returns the quality x 100 of each method less that of random, marked where that is significant.

    Args:
      found: differences with value, low, high, p, seeds and `significant`.
    """
    tested = sum(not math.isnan(one.p) for row in found.values() for one in row.values())
    note = "on the same test images and seeds, with 95 % intervals, each by itself; * one seed; "
    if tested:
        note += f"▲ above random and ▼ below it with p < 0.05 after Holm's correction over a family of {tested}"
    else:
        note += "nothing is tested, since one seed cannot tell a method from chance"
    return _with_legend(_lines("less random", found, lambda one: _words(one, "+") + _mark(one)), note)


def reach_table(found: Mapping[str, Mapping[float, Any]]) -> str:
    """Returns the fraction at which each method is as good as a share of what all of the data give, in per cent.

    Args:
      found: by method and share, with fraction, low, high, smallest and unknown.
    """
    note = (
        "per cent of the data, with 95 % intervals, at which the learning curve (a power law with an offset) reaches so"
        " much of what all of them give; 100: not below all of them; where the means follow no such law, the fractions"
        " tried between which they first do; * one seed, whose interval says nothing of others"
    )
    return _with_legend(_lines("data for", found, _reached_in_words), note)


def cost_table(found: ByFraction) -> str:
    """Returns what each method costs in per cent of what all of the data cost, marked where it saves nothing.

    Args:
      found: parts with value, low and high.
    """
    note = (
        "seconds of training, scoring (a teacher's training too) and selection, in per cent of those with all of the"
        " data, with 95 % intervals; ! costs more than it saves, ? may do so; * one seed"
    )
    return _with_legend(_lines("cost in %", found, _cost_in_words), note)


def pace_table(found: ByFraction) -> str:
    """Returns the seconds that an epoch of what is kept takes, and how many times faster it is than one of all.

    Args:
      found: paces with seconds, seeds and times_faster, an estimate or None.
    """
    note = (
        "seconds of training that go once through what is kept, its part of compilation included, validation left out;"
        " behind them how many times faster that is than with all of the data, otherwise the same, with 95 % intervals;"
        " * one seed"
    )
    return _with_legend(_lines("epoch, s", found, _pace_in_words), note)


def noise_table(found: Mapping[str, Mapping[float, float]]) -> str:
    """Returns the percentage of the kept examples that have wrong captions, by method and fraction."""
    lines = _lines("wrong, in %", found, lambda part: f"{100 * part:.1f}")
    return _with_legend(lines, "of the kept examples whose captions are known to be wrong")


def plateau_note(rises: Mapping[str, float | None], limit: float, quality: Quality) -> str:
    """Returns whether the models that were trained on all of the data were near their plateau.

    Args:
      rises: by method, the part by which the best validation score rose in the last third of training; None where
        that is not known.
      limit: the greatest such part at which a training counts as near its plateau.
      quality: that was validated.
    """
    return _with_legend([], *(f"{method}: {plateau_in_words(rise, limit, quality)}" for method, rise in rises.items()))


def plateau_in_words(rise: float | None, limit: float, quality: Quality) -> str:
    """Returns whether a training was near its plateau; the arguments are those of `plateau_note`."""
    if rise is None:
        return "not known whether it is near its plateau: too few validations during training are recorded"
    words = f"the best validation {quality.name} rose by {100 * rise:.1f} % in the last third of training"
    if rise > limit:
        words += "; NOT near its plateau: more steps would help it, and what it lacks is not only data"
    return words


def _with_legend(lines: list[str], *notes: str) -> str:
    return "\n".join([*lines, *(line for note in notes for line in textwrap.wrap(note, _WIDTH))])


def _lines(title: str, found: Mapping[str, Mapping[float, Any]], words: Callable[[Any], str]) -> list[str]:
    fractions = sorted({fraction for row in found.values() for fraction in row})
    rows = [[title, *(f"{100 * fraction:g} %" for fraction in fractions)]]
    for method, row in found.items():
        rows.append([method, *(words(row[fraction]) if fraction in row else ABSENT for fraction in fractions)])
    return aligned(rows, "<" + ">" * len(fractions))


def _words(estimate: Any, sign: str = "") -> str:
    half = (estimate.high - estimate.low) / 2
    return f"{100 * estimate.value:{sign}.1f} ± {100 * half:.1f}" + ("*" if estimate.seeds == 1 else "")


def _mark(difference: Any) -> str:
    if not difference.significant():
        return _NO_MARK
    return " ▲" if difference.value > 0 else " ▼"


def _reached_in_words(one: Any) -> str:
    if one.unknown:
        known = "" if math.isnan(one.high) else f"{100 * one.low:.0f} to {100 * one.high:.0f}, "
        return known + str(one.unknown)
    words = [("≤ " if part == one.smallest else "") + f"{100 * part:.0f}" for part in (one.fraction, one.low, one.high)]
    return f"{words[0]} [{words[1]}, {words[2]}]" + ("*" if one.seeds == 1 else "")


def _cost_in_words(part: Any) -> str:
    value, low, high = (100 * bound for bound in (part.value, part.low, part.high))
    if math.isnan(low):
        return f"{value:.0f}*" + (" !" if value > 100 else "")
    mark = " !" if low > 100 else " ?" if high > 100 else ""
    return f"{value:.0f} [{low:.0f}, {high:.0f}]{mark}"


def _pace_in_words(pace: Any) -> str:
    words = f"{pace.seconds:.3g}" + ("*" if pace.seeds == 1 else "")
    if pace.times_faster is None:
        return words
    value, low, high = pace.times_faster.value, pace.times_faster.low, pace.times_faster.high
    return f"{words} ({value:.1f}x" + ("" if math.isnan(low) else f" [{low:.1f}, {high:.1f}]") + ")"
