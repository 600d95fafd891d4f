"""The two protocols, which a report never mixes: as many epochs for each part of the data, or as many steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfcap.findings import EPOCHS, FULL, STEPS, protocol_of, said_in
from tfcap.settings import Settings

AXIS = "budget_steps"

Cells = Mapping[str, Mapping[str, Any]]  # by name, what study.json holds of each


def by_protocol(cells: Cells) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns the cells of each protocol, without the axis of it; those of all the data, which have none, in both.

    Where there is nothing else, the protocol is "".
    """
    protocols = {name: protocol_of(cell) for name, cell in cells.items()}
    there = [protocol for protocol in (EPOCHS, STEPS) if protocol in protocols.values()] or [""]
    return {
        protocol: {name: _without_axis(cells[name]) for name, own in protocols.items() if own in ("", protocol)}
        for protocol in there
    }


def with_usual_axes(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a cell of a grid whose axes say what is kept, also where all of its grid's cells keep the same."""
    axes, usual = cell["axes"], Settings().selection
    fraction = axes.get("fraction") or said_in(cell["arguments"], "fraction") or f"{usual.fraction:g}"
    selector = axes.get("selector") or said_in(cell["arguments"], "selector") or usual.selector
    found = {"selector": FULL if float(fraction) == 1 else selector, "fraction": fraction}
    order = axes if "selector" in axes else {"selector": "", **axes}
    return {**cell, "axes": {**order, **found}}


def _without_axis(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {**cell, "axes": {name: word for name, word in cell["axes"].items() if name != AXIS}}
