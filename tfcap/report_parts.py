"""A part of a report, section by section; a table or a chart more is a line in one of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from tfcap.errors import InputError
from tfcap.found_cells import Part
from tfcap.grid import cells_of, command_of
from tfcap.report_data import Found
from tfcap.report_samples import samples_of
from tfcap.report_tables import all_figures, published_tables, quality_table
from tfcap.reporting import report_charts
from tfcap.reporting.page import PagePart, Section

_NO_FOLDERS = "Not shown: the folders of the runs are not among what was named, or hold nothing of it."


def page_part(part: Part, pictures: int, data_dir: str) -> PagePart:
    """Returns what a page shows of a part, with at most `pictures` sample pictures.

    Args:
      data_dir: where the data set is; "" for where the runs found it.
    """
    found = Found(part)
    lines = found.lines
    return PagePart(
        part.name,
        list(_lead(found)),
        {name: line.style for name, line in lines.items()},
        [name for name, line in lines.items() if line.is_shown],
        [
            _quality(found),
            _scores(found),
            _agreement(found),
            _training(found),
            _captions(found, pictures, data_dir),
            _published(found),
            Section("figures", "Every figure", tables=[all_figures(found)]),
            Section("repeat", "Environment and commands", facts=_environment(part), commands=_commands(part)),
        ],
    )


def _lead(found: Found) -> Iterator[str]:
    """Yields what is to be known at a glance."""
    fractions = sorted({fraction for row in found.own.values() for fraction in row})
    seeds = {cell["axes"].get("seed", "0") for cell in found.part.cells.values()}
    words = ", ".join(f"{100 * fraction:g} %" for fraction in fractions)
    yield (
        f"{len(found.part.cells)} experiments: {len(found.own)} methods, {words} of the training data kept, "
        f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}."
    )
    for name in dict.fromkeys(found.full.values()):
        yield f"{name}: CIDEr {_in_words(found.own[name][1.0])}."
    for fraction in fractions:
        rows = {name: row[fraction] for name, row in found.own.items() if fraction in row and fraction < 1}
        if len(rows) < 2:
            continue
        best = max(rows, key=lambda name: rows[name].value)
        text = f"Highest mean at {100 * fraction:g} %: {best}, CIDEr {_in_words(rows[best])}"
        if found.reference in rows and best != found.reference:
            text += f"; {found.reference} {_in_words(rows[found.reference])}"
        yield text + "."


def _in_words(estimate: Any) -> str:
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _quality(found: Found) -> Section:
    of_all, *of_each = report_charts.quality_charts(found.lines)
    charts = [of_all, report_charts.cost_chart(found.lines), *of_each]
    return Section("quality", "Quality and cost", charts=charts, tables=[quality_table(found)])


def _scores(found: Found) -> Section:
    values, units = found.scores()
    if not values:
        return Section("scores", "Scores", [_NO_FOLDERS])
    return Section("scores", "Scores", charts=[report_charts.score_chart(values, units)])


def _agreement(found: Found) -> Section:
    tables, names = found.agreement()
    if not tables:
        return Section("agreement", "Agreement", [_NO_FOLDERS])
    return Section("agreement", "Agreement", charts=[report_charts.agreement_chart(tables, names)])


def _training(found: Found) -> Section:
    if not any(line.curves for line in found.lines.values()):
        return Section("training", "Training", [_NO_FOLDERS])
    return Section("training", "Training", charts=report_charts.curve_charts(found.lines))


def _captions(found: Found, pictures: int, data_dir: str) -> Section:
    samples = samples_of(found, pictures, data_dir)
    if samples is None:
        return Section("captions", "Captions", [_NO_FOLDERS])
    words = [
        "Test pictures spread evenly over the split, not chosen by score; the captions of each method's first seed."
    ]
    return Section("captions", "Captions", words, samples=samples)


def _published(found: Found) -> Section:
    compared, others = published_tables(found)
    words = [] if compared.rows else ["These runs hold nothing of what the reproduced studies published."]
    return Section("published", "Published", words, tables=[compared] if compared.rows else [], folded=[others])


def _environment(part: Part) -> dict[str, str]:
    """Returns with what the cells were made, each value once."""
    cells = list(part.cells.values())
    facts = {
        "finished": _span([cell["finished"] for cell in cells if cell.get("finished")]),
        "processor": _each_once([cell.get("processor") for cell in cells]),
        "hours of the cells, added up": f"{sum(cell.get('seconds') or 0 for cell in cells) / 3600:.1f}",
        "commit": _each_once([cell.get("git_commit") for cell in cells]),
    }
    names = dict.fromkeys(name for cell in cells for name in cell.get("versions", {}))
    facts |= {name: _each_once([cell.get("versions", {}).get(name) for cell in cells]) for name in names}
    return {name: value for name, value in facts.items() if value not in ("", "0.0")}


def _each_once(values: list[str | None]) -> str:
    return ", ".join(dict.fromkeys(value for value in values if value))


def _span(dates: list[str]) -> str:
    days = sorted({date[:10] for date in dates})
    return " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""


def _commands(part: Part) -> list[str]:
    """Returns the command of the whole grid, if it is one, then that of each cell."""
    cells = part.cells.values()
    each = [shlex.join(["python", "-m", f"tfcap.{cell.get('module', 'main')}", *cell["arguments"]]) for cell in cells]
    if len(each) == 1 or any("module" in cell for cell in cells):
        return each
    grid = command_of([cell["arguments"] for cell in cells])
    try:
        asked = {frozenset(cell.arguments) for cell in cells_of(grid)}
    except InputError:  # a flag that is no more
        return each
    if not {frozenset(cell["arguments"]) for cell in cells} <= asked:
        return each
    return [shlex.join(["python", "-m", "tfcap.study", "--out=FOLDER", *grid]), *each]
