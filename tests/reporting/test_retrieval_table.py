"""The tables of retrieval: one a size, a row a method, both directions."""

import dataclasses

import pytest

from tfcap.reporting.retrieval_table import retrieval_tables


@dataclasses.dataclass
class Found:
    value: float
    low: float
    high: float
    seeds: int = 3


def _cell(value, seeds=3):
    """The same R@1 image to text everywhere else, so that a column in the wrong place is seen."""
    places = [(way, recall) for way in ("image_to_text", "text_to_image") for recall in ("R@1", "R@5", "R@10")]
    found = {"image_to_text": {}, "text_to_image": {}}
    for place, (way, recall) in enumerate(places):
        middle = value + 0.1 * place
        found[way][recall] = Found(middle, middle - 0.02, middle + 0.02, seeds)
    return found


def test_a_table_a_size_with_both_directions_side_by_side():
    tables = retrieval_tables({"random": {100: _cell(0.1), 20: _cell(0.05)}, "trajectory": {100: _cell(0.2)}})
    small, large, note = tables.split("\n\n")
    head = "R@1 i>t R@5 i>t R@10 i>t R@1 t>i R@5 t>i R@10 t>i"
    assert " ".join(small.splitlines()[0].split()) == f"20 pairs {head}"
    assert " ".join(large.splitlines()[0].split()) == f"100 pairs {head}"
    rows = [" ".join(line.split()) for line in large.splitlines()[1:]]
    assert rows[0] == "random 10.0 ± 2.0 20.0 ± 2.0 30.0 ± 2.0 40.0 ± 2.0 50.0 ± 2.0 60.0 ± 2.0"
    assert rows[1].startswith("trajectory 20.0 ± 2.0 30.0 ± 2.0")
    assert note.startswith("  percent of the test images, and of their captions averaged by image; mean over 3 seeds")


def test_a_method_without_a_size_keeps_its_row():
    small, _, _ = retrieval_tables({"random": {2: _cell(0.1), 3: _cell(0.1)}, "whitened": {3: _cell(0.1)}}).split(
        "\n\n"
    )
    assert small.splitlines()[2].split() == ["whitened", *["-"] * 6]


@pytest.mark.parametrize(
    ("seeds", "words"), [((1,), "mean over 1 seed with"), ((1, 3), "mean over 1 or 3 seeds"), ((2,), "over 2 seeds")]
)
def test_one_seed_is_marked_and_the_note_counts_them(seeds, words):
    tables = retrieval_tables({f"method {count}": {4: _cell(0.1, count)} for count in seeds})
    lines = tables.splitlines()
    assert words in lines[-1]
    for line, count in zip(lines[1:], seeds, strict=False):
        assert ("10.0*" in line, "±" in line) == (count == 1, count > 1)


def test_what_all_pairs_give_ends_every_table():
    found = {"all pairs": {48: _cell(0.3, 1)}, "random": {2: _cell(0.1), 3: _cell(0.1)}}
    *tables, note = retrieval_tables(found, "all pairs").split("\n\n")
    assert [table.splitlines()[0].split()[0] for table in tables] == ["2", "3"]
    for table in tables:
        assert [line.split()[0] for line in table.splitlines()[1:]] == ["random", "all"]
        assert table.splitlines()[-1].split()[:3] == ["all", "pairs", "30.0*"]
    assert "mean over 1 or 3 seeds" in note and note.endswith("; * one seed")
    assert "one seed" not in retrieval_tables({"random": {2: _cell(0.1)}}, "all pairs")


def test_rows_are_of_one_length_and_within_120_columns():
    whole = {way: dict.fromkeys(("R@1", "R@5", "R@10"), Found(1.0, 0.9, 1.1)) for way in _cell(0)}
    lines = retrieval_tables({"gradient_matching": {1000: whole}, "random": {1000: _cell(0.01)}}).splitlines()
    assert lines[0].startswith("1,000 pairs") and len(set(map(len, lines[:3]))) == 1
    assert max(map(len, lines)) <= 120
