"""Equal epochs and equal steps are never in one chart, one table or one comparison, and each says which it is."""

import dataclasses
import json

import pytest

from tests.report.test_command import _run
from tests.toy_study import write_study
from tfcap.findings import EPOCHS, STEPS
from tfcap.report.cells import parts_of
from tfcap.report.data import Found, looks_of
from tfcap.report.parts import page_part
from tfcap.report.published import published_tables


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    place = tmp_path_factory.mktemp("studies") / "both"
    return parts_of([str(write_study(place, fractions=(0.25, 0.5), protocols=("false", "true")))])


@pytest.fixture(scope="module")
def pages(parts):
    return [page_part(part, 3, "", looks_of(parts)) for part in parts]


def test_each_protocol_is_a_part_with_all_the_data_in_both(parts):
    assert [(part.name, part.protocol) for part in parts] == [
        ("both, equal epochs", EPOCHS),
        ("both, equal steps", STEPS),
    ]
    for part in parts:
        found = Found(part)
        assert list(found.own) == ["loss", "random", "full"] and found.reference == "random"
        assert len(part.cells) == len(part.runs) == 2 * (2 * 2 + 1)
    one, other = (Found(part).own["random"][0.25].value for part in parts)
    assert other == pytest.approx(one + 0.2)


def test_a_method_looks_alike_in_both(parts):
    fewer = {name: cell for name, cell in parts[1].cells.items() if cell["axes"]["selector"] != "loss"}
    parts = [parts[0], dataclasses.replace(parts[1], cells=fewer)]
    one, other = ({name: line.style for name, line in Found(part, looks_of(parts)).lines.items()} for part in parts)
    assert list(other) == ["random", "full"] and len(set(one.values())) == 3
    assert {name: one[name] for name in other} == other


def test_what_is_kept_is_shown_once(pages):
    for name in ("scores", "agreement"):
        first, second = ({section.name: section for section in page.sections}[name] for page in pages)
        assert first.charts and not second.charts
        assert second.words[0].startswith("The same as of both, equal epochs")


def test_samples_hold_each_method_and_fraction_once(pages):
    for page in pages:
        (samples,) = [section.samples for section in page.sections if section.samples]
        for picture in samples.pictures:
            rows = [(said.method, said.fraction) for said in picture.said]
            assert len(rows) == len(set(rows)) == 5


def test_every_chart_and_table_of_methods_says_its_protocol(pages):
    for page, protocol in zip(pages, (EPOCHS, STEPS), strict=True):
        charts = [chart for section in page.sections for chart in section.charts]
        assert charts and {chart.label for chart in charts} == {protocol}
        for section in page.sections:
            for table in (*section.tables, *section.folded):
                if table.name not in ("plateau", "published_others"):
                    assert any(protocol in column.title for column in table.columns), table.name
        assert any(text.startswith(f"Protocol: {protocol}.") for text in page.words)


def test_fewer_steps_are_said_only_where_there_are_fewer(pages):
    notes = [page.sections[0].tables[0].note for page in pages]
    assert ["a smaller fraction has fewer steps" in note for note in notes] == [True, False]
    assert "as many optimizer steps" in notes[1]


def test_both_protocols_have_the_published_findings(tmp_path):
    study = write_study(tmp_path / "s1", methods=("random", "gradient_norm"), protocols=("false", "true"))
    for part in parts_of([str(study)]):
        table, _ = published_tables(Found(part))
        assert [row[1] for row in table.rows] == [
            "gradient_norm above random at 25 %",
            "gradient_norm above random at 50 %",
        ]
        assert table.rows[0][4] == pytest.approx(10, abs=12) and f"these runs are of {part.protocol}" in table.note


def _with_arguments(tmp_path, changed):
    study = write_study(tmp_path / "study", methods=("random", "loss"))
    cells = json.loads((study / "study.json").read_text())["cells"]
    path = tmp_path / "changed.json"
    path.write_text(json.dumps({"cells": {name: changed(cell) for name, cell in cells.items()}}))
    return parts_of([str(path)])


def test_a_protocol_that_is_no_axis_is_in_the_arguments(tmp_path):
    (part,) = _with_arguments(
        tmp_path, lambda cell: {**cell, "arguments": [*cell["arguments"], "--nobudget_steps", "--budget_steps=true"]}
    )
    assert part.protocol == STEPS and part.name == "changed"


def test_what_all_cells_of_a_grid_keep_is_read_from_their_arguments(tmp_path):
    def without(cell):
        axes = cell["axes"] if cell["axes"]["selector"] == "full" else {"fraction": cell["axes"]["fraction"]}
        return {**cell, "axes": {**axes, "seed": cell["axes"]["seed"]}}

    study = write_study(tmp_path / "study", methods=("random",))
    cells = json.loads((study / "study.json").read_text())["cells"]
    (tmp_path / "changed.json").write_text(json.dumps({"cells": {name: without(one) for name, one in cells.items()}}))
    (part,) = parts_of([str(tmp_path / "changed.json")])
    assert list(Found(part).own) == ["random", "full"] and Found(part).reference == "random"


def test_single_runs_of_two_protocols_are_apart(tmp_path):
    runs = [_run(tmp_path / name, budget_steps=steps) for name, steps in (("a", False), ("b", True))]
    parts = parts_of([*map(str, runs)])
    assert [(part.name, list(part.runs)) for part in parts] == [
        ("scenes, equal epochs", ["a"]),
        ("scenes, equal steps", ["b"]),
    ]
    assert [list(Found(part).own) for part in parts] == [["random"], ["random"]]
