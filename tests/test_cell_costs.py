"""What a grid is expected to take: a rule at first, then what its own finished cells took."""

from pathlib import Path

from tfcap.cell_costs import AS_OTHER_SEEDS, RULE, expected, in_words, rule
from tfcap.files import read_json
from tfcap.grid import cells_of
from tfcap.settings import Settings

_MEASURED = Path(__file__).resolve().parents[1] / "results"
_GRID = ("--dataset=scenes", "--selector=random,loss", "--fraction=0.25,0.5,1", "--seed=0,1")


def _expected(found=None, arguments=_GRID):
    cells = cells_of(arguments)
    scoring = {cell.name: ("shared", 25) if "loss" in cell.name else ("", 0) for cell in cells}
    return expected(cells, scoring, found or {})


def _rule(**said):
    return rule(Settings().replace(**said).resolve())


def test_the_rule_is_near_what_was_measured():
    """Within a factor of two of the medians of the two grids in results/, by method and fraction, with equal epochs."""
    for name in ("scenes", "flickr8k"):
        cells = read_json(_MEASURED / f"study_selectors_{name}.json")["cells"]
        for selector, fraction in (("random", 0.1), ("random", 0.5), ("full", 1)):
            taken = sorted(
                cell["seconds"]
                for cell in cells.values()
                if (cell["axes"]["selector"], float(cell["axes"]["fraction"])) == (selector, fraction)
                and cell["axes"].get("budget_steps") != "true"
            )
            said = {"dataset": name, "fraction": float(fraction)}
            said |= {"epochs": 12, "encoder": "mobilenet_v2"} if name == "flickr8k" else {}
            assert 0.5 < _rule(**said) / taken[len(taken) // 2] < 2, (name, selector, fraction)


def test_the_rule_counts_steps_data_and_what_trains():
    assert _rule(fraction=0.25) < _rule(fraction=0.5) < _rule(fraction=1.0)
    assert _rule(fraction=0.25, budget_steps=True) == _rule(fraction=1.0)
    assert _rule(scenes_size=5000) > _rule() > _rule(limit=100)
    frozen = {"dataset": "flickr8k", "encoder": "mobilenet_v2", "augment": "none"}
    assert _rule(**frozen, train="all") > 5 * _rule(**frozen, train="decoder")
    assert _rule(dataset="flickr8k", model="vit_llama", encoder_weights="w", shape="3b") > 86_400


def test_the_rule_counts_a_classifier_s_width_and_its_teacher():
    narrow, wide = (_rule(model="classifier", width=width) - _rule(limit=10) for width in (32, 64))
    assert 3.5 < wide / narrow < 4.5
    assert _rule(model="classifier", knowledge_distillation=True) > 1.2 * _rule(model="classifier")


def test_scores_are_paid_for_by_the_first_cell_that_shares_them():
    found = _expected()
    assert {one.why for one in found.values()} == {RULE}
    assert found["loss-0.25-s0"].seconds > 2 * found["random-0.25-s0"].seconds
    assert found["loss-0.5-s0"].seconds == found["random-0.5-s0"].seconds == found["loss-0.5-s1"].seconds


def test_finished_cells_correct_the_rule_and_stand_for_other_seeds():
    by_rule = _expected()
    found = {"random-0.25-s0": {"seconds": 3 * by_rule["random-0.25-s0"].seconds}}
    now = _expected(found)
    assert "random-0.25-s0" not in now and len(now) == len(by_rule) - 1
    twin = now["random-0.25-s1"]
    assert (twin.seconds, twin.why) == (found["random-0.25-s0"]["seconds"], AS_OTHER_SEEDS)
    assert now["full-s0"].seconds == 3 * by_rule["full-s0"].seconds
    assert now["full-s0"].why == f"{RULE}; times 3.00, as the finished took"


def test_times_are_said_in_a_unit_that_fits():
    said = [in_words(seconds) for seconds in (42, 150, 5400, 200_000)]
    assert said == ["42 s", "2.5 min", "1.5 h", "2.3 days"]
