"""The figures that the reproduced studies published, to stand beside those found here."""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Figure:
    """A published figure, or what was said in its place, and how the same is found in runs of one's own.

    Attributes:
      study: S1 to S5; STUDIES says what each was.
      what: of what setting.
      unit: of the figure.
      published: it.
      difference: two selectors and a fraction: the first one's CIDEr less the second one's.
      share: a selector and a fraction: its CIDEr in % of that of all the data.
      metric: the name of a metric, of all the data ...
      of: ... in runs with these settings; a word stands for itself and for names that have it among their words, a list
        for any one in it.
      minutes: the settings of some runs and of others: the minutes of the first in % of those of the second.
      epochs: likewise: how many times faster an epoch of the first is than one of the second.
    """

    study: str
    what: str
    unit: str
    published: str | float
    difference: tuple[str, str, float] | None = None
    share: tuple[str, float] | None = None
    metric: str | None = None
    of: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    minutes: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    epochs: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None


@functools.cache
def _read() -> dict[str, Any]:
    path = importlib.resources.files("tfcap.reporting") / "published.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def figures() -> list[Figure]:
    """Returns all that is known, study by study."""
    return [Figure(**figure) for figure in _read()["figures"]]


def studies() -> dict[str, str]:
    """Returns what each study was, by its name."""
    return dict(_read()["studies"])
