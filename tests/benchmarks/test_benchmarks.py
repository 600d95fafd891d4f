"""Each benchmark runs as its command line says, and its figures agree with each other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfcap import registry

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]

# For each benchmark: its cases, and the ratios that every one of the named cases promises.
PROMISES = {
    "input_pipeline": {
        "stored_224x224": ["pipeline_over_raw_decode"],
        "stored_320x240": ["pipeline_over_raw_decode"],
    },
    "masked_epoch": {
        f"fraction_{fraction}": ["masked_over_full", "masked_over_filtered_after_decode"]
        for fraction in (1.0, 0.75, 0.5, 0.25)
    },
    "train_step": {
        **{
            f"features_t{tokens}": [
                "hoisted_lstm_xla_over_hoisted_lstm_graph",
                "hoisted_lstm_xla_over_keras_lstm_xla",
                "hoisted_lstm_graph_over_keras_lstm_graph",
            ]
            for tokens in (16, 32)
        },
        "scenes": ["xla_over_graph"],
    },
    "knowledge": {
        "width_4": ["plain_tfcap_over_plain_torch", "taught_tfcap_over_taught_torch", "taught_tfcap_over_plain_tfcap"],
    },
    "tracking": {
        f"tokens_{tokens}": [
            f"{name}_{compiler}_over_untracked_{compiler}"
            for name in ("loss", "words", "gradient_norm", "all")
            for compiler in ("xla", "graph")
        ]
        for tokens in (16, 32)
    },
    "selectors": {
        **{f"{name}_n{count}": [] for name in (*registry.SELECTORS, "class_balanced random") for count in (500, 1000)},
        "k_center_half": [],
        "k_center_reference": ["blocks_over_plain_greedy"],
        "facility_location_reference": ["lazy_greedy_over_plain_greedy"],
        "k_means_reference": ["prototypes_over_scikit_learn"],
    },
    "scoring_at_scale": {"n500": [], "n2000": []},
    "gradient_norms": {
        name: [
            "ours_graph_over_step_graph",
            *(
                f"ours_xla_over_{side}"
                for side in ("ours_graph", "one_by_one", "step_xla", "step_graph", "vectorized_map")
            ),
        ]
        for name in ("lstm", "gpt2", "resnet_lstm")
    },
    "gradient_norms_torch": {
        name: [
            *(f"ours_over_{side}" for side in ("torch_func", "torch_opacus", "step_tensorflow", "torch_step")),
            *(f"torch_{side}_over_torch_step" for side in ("func", "opacus")),
        ]
        for name in ("lstm", "gpt2")
    },
    "gradient_sketch": {f"{kind}_{size}": [] for kind in ("float16", "bits") for size in (256, 1024, 4096)},
    "distillation": {
        name: ["plain_over_torch", "low_memory_over_torch", "low_memory_over_plain"]
        for name in ("features_p4_s2", "features_p8_s2", "pixels_p2_s2")
    },
    "serving_latency": {"p50": ["saved_model_over_python"], "p90": ["saved_model_over_python"]},
}


@pytest.fixture(scope="module")
def outcome():
    """Runs a benchmark once and keeps what it printed."""
    found = {}

    def run(name):
        if name not in found:
            command = [sys.executable, "-m", f"benchmarks.{name}", "--quick"]
            environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
            done = subprocess.run(
                command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=280, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
            found[name] = json.loads(done.stdout.splitlines()[-1])
        return found[name]

    return run


@pytest.mark.parametrize("name", PROMISES)
def test_says_what_was_measured_and_on_what(outcome, name):
    result = outcome(name)
    assert result["benchmark"] == name
    assert result["quick"] is True
    assert result["sizes"]
    assert result["peak_memory_mib"] > 100
    assert {"tfcap", "python", "tensorflow", "keras", "numpy"} <= set(result["versions"])
    assert result["machine"]["cores"] >= 1


@pytest.mark.parametrize("name", PROMISES)
def test_has_the_promised_ratios_and_they_follow_from_the_medians(outcome, name):
    cases = outcome(name)["cases"]
    assert set(cases) == set(PROMISES[name])
    for case, promised in PROMISES[name].items():
        measured = cases[case]
        assert sorted(key for key in measured if "_over_" in key) == sorted(promised)
        for ratio in promised:
            ours, _, theirs = ratio.partition("_over_")
            expected = measured[ours]["median"] / measured[theirs]["median"]
            assert measured[ratio] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", PROMISES)
def test_medians_lie_within_their_range(outcome, name):
    for case in outcome(name)["cases"].values():
        for side in (value for value in case.values() if isinstance(value, dict) and "median" in value):
            assert side["runs"] >= 3
            assert 0 < side["minimum"] <= side["median"] <= side["maximum"]


def test_memory_of_a_selector_is_its_own(outcome):
    """Without TensorFlow a process that selects among a thousand images is small."""
    assert 10 < outcome("selectors")["cases"]["herding_n1000"]["peak_memory_mib"] < 200


def test_scoring_at_scale_compares_equal_files_and_sees_the_workers(outcome):
    result = outcome("scoring_at_scale")
    assert result["equal_bit_for_bit"] is True
    for case in result["cases"].values():
        assert (
            len(case["beam"]["peak_memory_mib"]["workers"]) == 2
            and not case["single_process"]["peak_memory_mib"]["workers"]
        )
        assert case["single_process"]["cpu_seconds"] > 0


def test_a_smaller_mask_takes_less_time_than_all(outcome):
    assert outcome("masked_epoch")["cases"]["fraction_0.25"]["masked_over_full"] < 0.7


def test_the_norms_that_are_timed_are_exact(outcome):
    assert all(case["largest_relative_error"] < 1e-3 for case in outcome("gradient_norms")["cases"].values())


def test_the_memory_of_a_pass_is_a_process_s_own_above_what_it_held(outcome):
    """The toy sizes take little; the process as a whole holds some 700 MiB."""
    memory = outcome("gradient_norms")["cases"]["lstm"]["memory_mib"]
    ours, theirs = memory["ours_xla"], memory["step_xla"]
    assert 10 < ours < 500 and 10 < theirs < 500
    assert memory["ours_xla_over_step_xla"] == pytest.approx(ours / theirs, abs=1e-3)


@pytest.mark.parametrize("side", ["func", "opacus"])
def test_pytorch_s_norms_of_the_same_weights_are_ours(outcome, side):
    for case in outcome("gradient_norms_torch")["cases"].values():
        assert 0 < case["largest_relative_difference"][side] < 1e-4


def test_pytorch_s_gradients_of_the_same_descent_are_ours(outcome):
    for case in outcome("distillation")["cases"].values():
        for side in ("plain", "low_memory"):
            apart = case["largest_relative_difference"][side]
            assert set(apart) == {"loss", "losses", "images", "texts", "rates"}
            assert 0 < max(apart.values()) < 1e-2


def test_growth_is_that_of_the_medians_and_of_the_memory(outcome):
    result = outcome("distillation")
    one, other = (result["cases"][f"features_p{pairs}_s2"] for pairs in (4, 8))
    for side, found in result["growth"]["features"]["pairs"].items():
        assert found["time"] == pytest.approx(np.log2(other[side]["median"] / one[side]["median"]), abs=2e-3)
        memory = [case["memory_mib"][side] for case in (one, other)]
        assert found["memory"] == pytest.approx(np.log2(memory[1] / memory[0]), abs=2e-3)
    assert result["growth"]["pixels"] == {}  # of one size


def test_a_longer_sketch_errs_less(outcome):
    cases = outcome("gradient_sketch")["cases"]
    for kind in ("float16", "bits"):
        found = [cases[f"{kind}_{size}"]["root_mean_square_error"] for size in (256, 1024, 4096)]
        assert found[0] > 1.2 * found[1] > 1.2**2 * found[2] > 0


def test_both_lstms_do_the_same_work(outcome):
    case = outcome("train_step")["cases"]["features_t16"]
    assert len(set(case["parameters"].values())) == 1
    assert max(case["first_loss"].values()) - min(case["first_loss"].values()) < 0.2


def test_the_serving_process_needs_tensorflow_alone_and_says_the_same(outcome):
    serving = outcome("serving_latency")["serving_process"]
    assert "tfcap" not in serving["also_imported"]
    assert serving["same_caption"]
