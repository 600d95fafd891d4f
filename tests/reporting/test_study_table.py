"""The tables of a grid: marks, words and widths."""

import dataclasses

import pytest

from tfcap.reporting.quality import CIDER
from tfcap.reporting.study_table import cost_table, difference_table, pace_table, plateau_note, reach_table, study_table

NAN = float("nan")


@dataclasses.dataclass
class Found:
    value: float
    low: float
    high: float
    seeds: int = 3
    corrected: float = 1.0
    p: float = 0.01

    def significant(self):
        return self.corrected < 0.05


@dataclasses.dataclass
class Pace:
    seconds: float
    seeds: int
    times_faster: Found | None


@dataclasses.dataclass
class Where:
    fraction: float
    low: float
    high: float
    smallest: float = 0.1
    unknown: str = ""
    seeds: int = 3


DIFFERENCES = {"loss": {0.5: Found(-0.3, -0.4, -0.2, corrected=0.01)}, "easiest": {0.5: Found(0.2, 0.1, 0.3)}}
MEANS = {"random": {0.5: Found(1.0, 0.9, 1.1)}, "loss": {0.5: Found(0.7, 0.6, 0.8)}, "full": {1.0: Found(2, 1, 3, 1)}}


def test_significant_differences_are_marked_in_both_tables():
    rows = {line.split()[0]: line for line in study_table(MEANS, CIDER, DIFFERENCES).splitlines()}
    assert "70.0 ± 10.0 ▼" in rows["loss"] and "▼" not in rows["random"] and "200.0 ± 100.0*" in rows["full"]
    lines = difference_table(DIFFERENCES).splitlines()
    assert lines[1].split() == ["loss", "-30.0", "±", "10.0", "▼"]
    assert lines[2].split() == ["easiest", "+20.0", "±", "10.0"]
    assert "over a family of 2" in " ".join(lines)
    better = {"loss": {0.5: dataclasses.replace(DIFFERENCES["loss"][0.5], value=0.3)}}
    assert difference_table(better).splitlines()[1].endswith("▲")


def test_figures_stay_below_each_other_whether_marked_or_not():
    rows = study_table(MEANS, CIDER, DIFFERENCES).splitlines()[1:3]
    assert rows[0].index("±") == rows[1].index("±")


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Found(0.5, 0.4, 0.6), "50 [40, 60]"),
        (Found(0.9, 0.8, 1.1), "90 [80, 110] ?"),
        (Found(1.1, 0.9, 1.3), "110 [90, 130] ?"),
        (Found(1.5, 1.2, 1.8), "150 [120, 180] !"),
        (Found(1.5, NAN, NAN, 1), "150* !"),
        (Found(0.5, NAN, NAN, 1), "50*"),
    ],
)
def test_a_cost_that_saves_nothing_is_marked(part, words):
    assert cost_table({"loss": {0.5: part}}).splitlines()[1].split(maxsplit=1) == ["loss", words]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (Where(0.5, 0.4, 0.6), "50 [40, 60]"),
        (Where(0.1, 0.1, 0.3), "≤ 10 [≤ 10, 30]"),
        (Where(1.0, 0.9, 1.0), "100 [90, 100]"),
        (Where(0.5, 0.4, 0.6, seeds=1), "50 [40, 60]*"),
        (Where(NAN, 0.5, 0.75, unknown="not a power law"), "50 to 75, not a power law"),
        (Where(NAN, NAN, NAN, unknown="fewer than 4 fractions"), "fewer than 4 fractions"),
    ],
)
def test_where_a_share_is_reached_in_words(where, words):
    assert reach_table({"loss": {0.95: where}}).splitlines()[1].split(maxsplit=1) == ["loss", words]


def test_a_training_far_from_its_plateau_is_flagged():
    words = plateau_note({"full": 0.12, "full large": 0.01, "full small": None}, 0.05, CIDER).splitlines()
    assert "12.0 %" in words[0] and "NOT near its plateau" in words[0] and "NOT" not in "".join(words[2:])
    assert words[-1].startswith("full small: not known")


def test_one_seed_is_said_not_to_be_tested():
    alone = {"loss": {0.5: Found(-0.3, -0.4, -0.2, 1, NAN, NAN)}}
    lines = difference_table(alone).splitlines()
    assert "-30.0 ± 10.0*" in lines[1] and "nothing is tested" in " ".join(lines)


def test_a_table_of_one_protocol_names_it():
    assert "a smaller fraction also takes fewer steps" in study_table(MEANS, CIDER, None, "equal epochs")
    assert "as many as all of the data" in study_table(MEANS, CIDER, None, "equal steps")
    assert "steps" not in study_table(MEANS, CIDER)


def test_five_fractions_of_long_names_stay_within_120_columns():
    fractions = (0.1, 0.25, 0.5, 0.75, 1.0)
    wide = {"facility_location": dict.fromkeys(fractions, Found(1.876, 1.511, 2.111, corrected=0.0))}
    where = {"facility_location": dict.fromkeys((0.95, 0.99), Where(NAN, 0.5, 0.75, unknown="fewer than 4 fractions"))}
    tables = [study_table(wide, CIDER, wide), difference_table(wide), cost_table(wide), reach_table(where)]
    assert max(len(line) for table in tables for line in table.splitlines()) <= 120


def test_an_epoch_s_seconds_stand_beside_how_many_times_faster_it_is():
    found = {
        "random": {0.1: Pace(1.5, 3, Found(8.04, 7.5, 8.6)), 0.5: Pace(6.0, 1, Found(2.0, NAN, NAN, 1))},
        "full": {1.0: Pace(12.06, 3, None)},
    }
    rows = [line.split() for line in pace_table(found).splitlines()[:3]]
    assert rows[1:] == [["random", "1.5", "(8.0x", "[7.5,", "8.6])", "6*", "(2.0x)", "-"], ["full", "-", "-", "12.1"]]
