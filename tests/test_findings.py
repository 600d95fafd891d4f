"""What is said of the cells of a grid: who is held against whom, over which family, and beside which full data."""

import numpy as np
import pytest
from scipy import stats

from tfcap.evaluation.comparisons import holm
from tfcap.findings import (
    against_random,
    common_protocol,
    estimates,
    late_rises,
    method_of,
    paces,
    reaching,
    relative_costs,
)


def _cell(values, selector="random", fraction="0.5", seed="0", seconds=(1.0, 0.0, 0.0), **others):
    metrics = dict(zip(("train_seconds", "scoring_seconds", "features_seconds"), seconds, strict=True))
    axes = {"seed": seed, "selector": selector, "fraction": fraction, **others}
    return {"axes": axes, "per_image": {"CIDEr": list(values)}, "metrics": metrics}


def _grid(selectors, fractions, **others):
    """Returns cells of three seeds with random scores of 30 images; a cell of all the data for each seed."""
    rng = np.random.default_rng(0)
    chosen = [(selector, fraction) for selector in selectors for fraction in fractions] + [("full", "1")]
    return {
        f"{selector}-{fraction}-{seed}-{others}": _cell(rng.gamma(2, 0.5, 30), selector, fraction, str(seed), **others)
        for seed in range(3)
        for selector, fraction in chosen
    }


def test_each_method_is_held_against_random_at_the_same_fraction_over_one_family():
    found = against_random(_grid(["random", "loss", "herding"], ["0.25", "0.5"]))
    assert {name: list(row) for name, row in found.items()} == {"loss": [0.25, 0.5], "herding": [0.25, 0.5]}
    several = [one for row in found.values() for one in row.values()]
    assert [one.corrected for one in several] == pytest.approx(holm([one.p for one in several]).tolist())
    assert all(one.p < one.corrected or one.corrected == 1 for one in several[:-1])


def test_the_value_is_the_difference_of_the_means_in_the_table():
    cells = _grid(["random", "loss"], ["0.25", "0.5"])
    means, found = estimates(cells), against_random(cells)
    assert found["loss"][0.25].value == pytest.approx(means["loss"][0.25].value - means["random"][0.25].value)


def test_seeds_are_paired_by_their_number_and_not_by_their_order():
    one, other = np.random.default_rng(0).normal(1.0, 0.5, (2, 3))
    cells = {f"r{seed}": _cell([one[seed]] * 20, seed=str(seed)) for seed in range(3)}
    cells |= {f"l{seed}": _cell([other[seed]] * 20, "loss", seed=str(seed)) for seed in (2, 0, 1)}
    assert against_random(cells)["loss"][0.5].p == pytest.approx(stats.ttest_rel(other, one).pvalue)


def test_each_captioner_has_its_own_baseline_and_its_own_full_data():
    small, large = (_grid(["random", "loss"], ["0.25", "0.5"], model=name) for name in ("small", "large"))
    both = against_random({**small, **large})
    assert set(both) == {"loss small", "loss large"}
    assert both["loss small"][0.5].value == against_random(small)["loss small"][0.5].value
    assert both["loss small"][0.5].p < both["loss small"][0.5].corrected  # the family is all of them
    slow = {name: {**cell, "metrics": {**cell["metrics"], "train_seconds": 4.0}} for name, cell in large.items()}
    slow["full-1-0-large"] = _cell([1.0] * 30, "full", "1", "0", (16.0, 0.0, 0.0), model="large")
    for name in [name for name in slow if slow[name]["axes"]["selector"] == "full"][:-1]:
        del slow[name]
    costs = relative_costs({**small, **slow})
    assert costs["loss small"][0.5].value == pytest.approx(1.0)
    assert costs["loss large"][0.5].value == pytest.approx(0.25)


def test_a_cell_costs_its_training_its_scoring_and_the_features():
    cells = {
        "full": _cell([1.0], "full", "1", seconds=(10.0, 0.0, 2.0)),
        "loss": _cell([1.0], "loss", "0.5", seconds=(5.0, 8.0, 2.0)),
    }
    assert relative_costs(cells)["loss"][0.5].value == pytest.approx(15 / 12)
    assert relative_costs({"loss": cells["loss"]}) == {}


def test_a_selector_s_options_do_not_part_it_from_the_full_data():
    cells = {
        "a": _cell([1.0], "stratified", strata="10", seconds=(5.0, 0.0, 0.0)),
        "b": _cell([1.0], "full", "1", seconds=(10.0, 0.0, 0.0)),
    }
    assert list(relative_costs(cells)) == ["stratified 10"]
    assert relative_costs(cells)["stratified 10"][0.5].value == pytest.approx(0.5)


def test_without_other_selectors_nothing_is_held_against_random():
    assert against_random(_grid(["random"], ["0.25"])) == {}
    assert against_random(_grid(["loss", "herding"], ["0.25"])) == {}


def test_the_learning_curve_ends_at_the_cell_of_all_the_data():
    found = reaching(_grid(["random", "loss"], ["0.25", "0.5"]))
    assert set(found) == {"random", "loss"} and set(found["loss"]) == {0.95, 0.99}
    assert found["loss"][0.95].unknown == "fewer than 4 fractions"  # two and the full data
    four = reaching(_grid(["random"], ["0.1", "0.25", "0.5"]))
    assert four["random"][0.95].unknown in ("", "not a power law")
    one = {name: cell for name, cell in _grid(["random"], ["0.25"]).items() if cell["axes"]["selector"] == "random"}
    assert reaching(one) == {}


def test_late_rises_are_of_the_full_data_where_they_are_recorded():
    cells = _grid(["random"], ["0.5"])
    assert late_rises(cells) == {"full": None}
    for cell in cells.values():
        cell["val_CIDEr"] = [0.5, 0.8, 1.0]
    assert late_rises(cells) == {"full": pytest.approx(0.2)}


def test_the_protocol_is_that_of_the_cells_that_keep_a_part():
    def cell(fraction, *arguments):
        return {"axes": {"fraction": fraction}, "arguments": arguments}

    epochs, steps, full = cell("0.5", "--epochs=3"), cell("0.5", "--budget_steps=true"), cell("1")
    assert common_protocol({"a": epochs, "b": full}) == "equal epochs"
    assert common_protocol({"a": steps, "b": full}) == "equal steps"
    assert common_protocol({"a": epochs, "b": steps}) == common_protocol({"b": full}) == ""


def test_a_method_s_name_says_what_its_values_do():
    axes = {"selector": "k_means", "fraction": "0.1", "augment": "none", "knowledge_distillation": "true", "seed": "0"}
    assert method_of(axes) == "k_means noaugment KD"
    assert method_of({**axes, "augment": "crop", "knowledge_distillation": "false"}) == "k_means crop noKD"


def test_an_epoch_s_time_is_of_what_is_kept_and_beside_all_the_data_otherwise_the_same():
    def cell(seconds, selector="random", fraction="0.1", seed="0", **said):
        arguments = [f"--{name}={value}" for name, value in {"fraction": fraction, "epochs": 10, **said}.items()]
        return {**_cell([1.0], selector, fraction, seed, (seconds, 9.0, 9.0), **said), "arguments": arguments}

    times = {"0": (20.0, 160.0), "1": (30.0, 200.0)}
    cells = {f"r{seed}": cell(part, seed=seed) for seed, (part, _) in times.items()}
    cells |= {f"f{seed}": cell(whole, "full", "1", seed) for seed, (_, whole) in times.items()}
    found = paces(cells)
    assert (found["random"][0.1].seconds, found["full"][1.0].seconds) == (2.5, 18.0)
    faster = found["random"][0.1].times_faster
    assert faster.value == pytest.approx((160 * 200 / 20 / 30) ** 0.5) and faster.low < faster.value < faster.high
    assert found["full"][1.0].times_faster is None
    steps = {"a": cell(100.0, budget_steps="true"), "b": cell(100.0, "full", "1")}  # ten times as many epochs
    assert paces(steps)["random equal_steps"][0.1].times_faster.value == pytest.approx(10.0)
    assert paces({"a": {**cells["r0"], "arguments": ["--no_flag_of_today=1"]}}) == {}
