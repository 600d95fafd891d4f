"""A part of a report, section by section; a table or a chart more is a line in one of them."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping

import numpy as np

from tfcap.errors import InputError
from tfcap.findings import EPOCHS, STEPS
from tfcap.grid import cells_of, command_of
from tfcap.report.cells import Part
from tfcap.report.data import Found
from tfcap.report.findings import in_short, in_words, percent, table_of_tests, tables_of, warnings_of
from tfcap.report.published import published_tables
from tfcap.report.samples import samples_of
from tfcap.report.tables import all_figures, quality_table
from tfcap.reporting import charts_of_selection, report_charts
from tfcap.reporting.page import PagePart, Section

_PROTOCOLS = {
    EPOCHS: "Each fraction is trained on for as many epochs as all the data, so a smaller one has fewer steps.",
    STEPS: "Each fraction is trained on for as many steps as all the data, so a smaller one is seen more often.",
}
_NO_FOLDERS = "Not shown: the folders of the runs are not among what was named, or hold nothing of it."


def page_part(part: Part, pictures: int, data_dir: str, looks: Mapping[str, int]) -> PagePart:
    """Returns what a page shows of a part, with at most `pictures` sample pictures.

    Args:
      data_dir: where the data set is; "" for where the runs found it.
      looks: `looks_of` all parts of the page.
    """
    found = Found(part, looks)
    lines = found.lines
    sections = [
        _quality(found),
        _findings(found),
        _scores(found),
        _agreement(found),
        _training(found),
        _captions(found, pictures, data_dir),
        _published(found),
        Section("figures", "Every figure", tables=[all_figures(found)]),
        Section("repeat", "Environment and commands", facts=_environment(part), commands=_commands(part)),
    ]
    return PagePart(
        part.name,
        list(_lead(found)),
        {name: line.style for name, line in lines.items()},
        [name for name, line in lines.items() if line.is_shown],
        [_labelled(section, part.protocol) for section in sections],
        [*in_short(found), *_highest(found)],
        list(warnings_of(found)),
    )


def _labelled(section: Section, protocol: str) -> Section:
    """Returns a section whose charts say the protocol; its tables say it already."""
    return dataclasses.replace(section, charts=[dataclasses.replace(chart, label=protocol) for chart in section.charts])


def _lead(found: Found) -> Iterator[str]:
    """Yields what the part is of."""
    fractions = sorted({fraction for row in found.own.values() for fraction in row})
    seeds = {cell["axes"].get("seed", "0") for cell in found.part.cells.values()}
    yield (
        f"{_counted(len(found.part.cells), 'experiment')}: {_counted(len(found.own), 'method')}, "
        f"{', '.join(map(percent, fractions))} of the training data kept, {_counted(len(seeds), 'seed')}."
    )
    if found.part.protocol:
        yield f"Protocol: {found.part.protocol}. {_PROTOCOLS[found.part.protocol]}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _highest(found: Found) -> Iterator[str]:
    """Yields the method with the highest mean at each fraction below 1, where there are several."""
    parts = []
    for fraction in sorted({fraction for row in found.own.values() for fraction in row if fraction < 1}):
        rows = {name: row[fraction] for name, row in found.own.items() if fraction in row}
        if len(rows) > 1:
            best = max(rows, key=lambda name: rows[name].value)
            beside = found.baseline.get(best, best)
            text = f"at {percent(fraction)} {best} with {in_words(rows[best], found.quality)}"
            there = beside in rows and beside != best
            parts.append(text + (f" ({beside}: {in_words(rows[beside], found.quality)})" if there else ""))
    if parts:
        yield f"Highest mean {found.quality.name}, which may be chance: {'; '.join(parts)}."


def _quality(found: Found) -> Section:
    of_all, *of_each = report_charts.quality_charts(found.lines, found.quality)
    charts = [of_all, report_charts.cost_chart(found.lines, found.quality), *of_each]
    return Section("quality", "Quality and cost", charts=charts, tables=[quality_table(found)])


def _findings(found: Found) -> Section:
    tables, tests = tables_of(found), table_of_tests(found)
    words = [] if tables else ["These runs are too few to be compared: there is no random and no cell of all the data."]
    return Section("findings", "How sure it is", words, tables=tables, folded=[tests] if tests.rows else [])


def _scores(found: Found) -> Section:
    values, units = found.scores()
    if not values:
        return Section("scores", "Scores", [_NO_FOLDERS])
    if found.part.twin is not None and _same_scores(values, Found(found.part.twin).scores()[0]):
        return Section("scores", "Scores", [f"The same as of {found.part.twin.name}."])
    return Section("scores", "Scores", charts=[charts_of_selection.score_chart(values, units)])


def _same_scores(ours: dict[str, list[np.ndarray]], theirs: dict[str, list[np.ndarray]]) -> bool:
    """Whether two parts have the same scores, by name the same passes in any order."""
    both = [{name: {one.tobytes() for one in passes} for name, passes in side.items()} for side in (ours, theirs)]
    return both[0] == both[1]


def _agreement(found: Found) -> Section:
    tables, names = found.agreement()
    if not tables:
        return Section("agreement", "Agreement", [_NO_FOLDERS])
    if found.part.twin is not None and _same_agreement(tables, names, *Found(found.part.twin).agreement()):
        return Section("agreement", "Agreement", [f"The same as of {found.part.twin.name}: they keep the same images."])
    return Section("agreement", "Agreement", charts=[charts_of_selection.agreement_chart(tables, names)])


def _same_agreement(
    ours: dict[float, np.ndarray], names: list[str], theirs: dict[float, np.ndarray], others: list[str]
) -> bool:
    """Whether two parts have the same tables [M, M], whatever the order of their methods."""
    if sorted(names) != sorted(others) or set(ours) != set(theirs):
        return False
    order = [others.index(name) for name in names]
    return all(np.allclose(ours[one], theirs[one][np.ix_(order, order)], equal_nan=True) for one in ours)


def _training(found: Found) -> Section:
    if not any(line.curves for line in found.lines.values()):
        return Section("training", "Training", [_NO_FOLDERS])
    return Section("training", "Training", charts=report_charts.curve_charts(found.lines, found.quality))


def _captions(found: Found, pictures: int, data_dir: str) -> Section:
    samples = samples_of(found, pictures, data_dir)
    if samples is None:
        return Section("captions", found.quality.texts.title(), [_NO_FOLDERS])
    texts = found.quality.texts
    words = f"Test pictures spread evenly over the split, not chosen by score; the {texts} of each method's first seed."
    return Section("captions", texts.title(), [words], samples=samples)


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
