"""What the report says of a study's statistics, in tables and in words, on cells whose differences are known."""

import json

import numpy as np
import pytest

from tfcap.report.cells import parts_of
from tfcap.report.data import Found
from tfcap.report.findings import in_short, table_of_tests, tables_of, warnings_of

_IMAGES = np.random.default_rng(0).uniform(0, 1, 400)
_ABOVE = {"random": 0.0, "loss": -0.2, "k_means": 0.1, "herding": 0.0}
_FRACTIONS = (0.1, 0.25, 0.5, 0.75)
_SCORING = {"loss": 500.0}  # seconds
RISING, FLAT = [0.2, 0.4, 0.6], [0.2, 0.6, 0.6]


def _found(tmp_path, methods=tuple(_ABOVE), fractions=_FRACTIONS, seeds=3, curve=FLAT, seconds=_SCORING):
    """A study whose quality follows 1 - 0.05 / fraction for random."""
    cells = {}
    for seed in range(seeds):
        points = [(method, fraction) for method in methods for fraction in fractions]
        for method, fraction in [*points, ("full", 1.0)]:
            rng = np.random.default_rng([seed, 5, sum(map(ord, method)), int(100 * fraction)])
            level = 1 - 0.05 / fraction + _ABOVE.get(method, 0) + 0.002 * rng.normal()
            values = _IMAGES - _IMAGES.mean() + level + 0.05 * rng.normal(size=len(_IMAGES))
            cells[f"{method}-{fraction:g}-s{seed}"] = {
                "axes": {"selector": method, "fraction": f"{fraction:g}", "seed": str(seed)},
                "arguments": [f"--fraction={fraction:g}"],
                "metrics": {
                    "CIDEr": {"value": float(values.mean())},
                    "train_seconds": 400 * fraction + seed,
                    "scoring_seconds": seconds.get(method, 0),
                    "features_seconds": None,
                },
                "per_image": {"CIDEr": values.tolist()},
            } | ({"val_CIDEr": curve} if method == "full" and curve else {})
    (tmp_path / "study.json").write_text(json.dumps({"cells": cells}))
    return Found(parts_of([str(tmp_path / "study.json")])[0])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return _found(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def tables(found):
    return {table.name: table for table in tables_of(found)}


def _shown(table):
    return {row[0]: row[1:] for row in map(table.shown, table.rows)}


def test_differences_carry_holm_s_marks(tables, found):
    rows = _shown(tables["differences_from_random"])
    assert set(rows) == {"k_means", "herding", "loss"} and all(len(row) == 4 for row in rows.values())
    assert all(text.startswith("+") and text.endswith("▲") for text in rows["k_means"])
    assert all(text.startswith("-") and text.endswith("▼") for text in rows["loss"])
    assert not any(text.endswith(("▲", "▼")) for text in rows["herding"])
    assert "all 12 tested differences" in tables["differences_from_random"].note
    tests = table_of_tests(found)
    assert len(tests.rows) == 12 and {row[-1] for row in tests.rows} == {"above random", "below random", "open"}
    assert all(p <= corrected for *_, p, corrected, _ in tests.rows)


def test_the_data_needed_has_its_interval(tables, found):
    row = found.reached["random"][0.95]
    assert row.low <= 0.51 <= row.high  # 1 - 0.05 / f = 0.95 * 0.95 at f = 0.05 / (1 - 0.9025)
    cells = _shown(tables["data_needed"])["random"]
    assert cells[0] == f"{100 * row.fraction:.0f} [{100 * row.low:.0f}, {100 * row.high:.0f}]"


def test_a_selector_that_costs_more_than_it_saves_is_shown_as_such(tables):
    rows = _shown(tables["cost_beside_all"])
    assert all(text.endswith(" !") for text in rows["loss"]) and "!" not in "".join(rows["random"])
    assert rows["random"][1].startswith("25 [")


def test_in_short_says_it_in_words(found):
    words = list(in_short(found))
    assert words[0].startswith("All the data: CIDEr 9")
    assert "At 25 % k_means is surely above random; loss is surely below it; 1 of 3 is open." in words
    assert any(text.startswith("With random, 95 % of the full quality needs 5") for text in words)
    assert any(
        text.startswith("Scoring included, these cost more than training on all the data: at 10 % loss; at 25 %")
        for text in words
    )
    assert any("was near its plateau: its best validation CIDEr rose by 0.0 %" in text for text in words)
    assert list(warnings_of(found)) == []


def test_one_seed_is_not_tested_and_has_a_star(tmp_path):
    found = _found(tmp_path, methods=("random", "loss"), fractions=(0.25,), seeds=1, curve=None, seconds={})
    words = list(in_short(found))
    assert "At 25 % nothing is tested: one seed cannot tell a method from chance." in words
    assert table_of_tests(found).rows[0][-1] == "not tested"
    assert any("an amount of data that cannot be said: fewer than 4 fractions." in text for text in words)
    rows = {table.name: _shown(table) for table in tables_of(found)}
    assert rows["differences_from_random"]["loss"][0].endswith("*")
    assert rows["cost_beside_all"]["loss"] == ["25"]
    assert rows["plateau"]["full"] == ["-", "unknown"]


@pytest.mark.parametrize(
    ("curve", "words", "verdict"),
    [
        (RISING, "was NOT near its plateau: its best validation CIDEr rose by 33.3 %", "NOT near"),
        (None, "It is not known whether training on all the data was near its plateau", "unknown"),
        ([None, None, 0.5], "It is not known", "unknown"),
    ],
)
def test_training_that_was_not_surely_long_enough_is_flagged(tmp_path, curve, words, verdict):
    found = _found(tmp_path, methods=("random",), fractions=(0.25,), seeds=2, curve=curve)
    (warning,) = warnings_of(found)
    assert words in warning
    assert ("smaller fractions lose by fewer steps" in warning) == (verdict == "NOT near")
    (table,) = [table for table in tables_of(found) if table.name == "plateau"]
    assert table.rows[0][2] == verdict
