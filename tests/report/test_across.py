"""Captioners of several studies side by side, where these share their test images and nowhere else."""

import json

import numpy as np
import pytest

from tfcap.report.across import across
from tfcap.report.cells import parts_of


def _study(path, model="resnet50_lstm", level=0.4, fractions=(), images=40, dataset="scenes", **said):
    cells = {}
    for seed in range(2):
        for fraction in (*fractions, 1.0):
            flags = {"dataset": dataset, "model": model, "fraction": f"{fraction:g}", **said}
            flags |= {} if fraction == 1 else {"selector": "random"}
            values = np.random.default_rng([seed, 7]).uniform(0, 0.1, images) + level * fraction
            selector = "full" if fraction == 1 else "random"
            cells[f"{selector}-{fraction:g}-s{seed}"] = {
                "axes": {"selector": selector, "fraction": f"{fraction:g}", "seed": str(seed)},
                "arguments": [f"--{name}={value}" for name, value in flags.items()],
                "metrics": {"CIDEr": {"value": float(values.mean())}, "train_seconds": 1.0 + seed},
                "per_image": {"CIDEr": values.tolist()},
            }
    path.write_text(json.dumps({"cells": cells}))
    return str(path)


def test_captioners_stand_beside_each_other_with_their_study(tmp_path):
    one = _study(tmp_path / "one.json", level=0.4, fractions=(0.25, 0.5))
    other = _study(tmp_path / "other.json", "vgg19_lstm", level=0.8, epochs=9)
    (page,) = across(parts_of([one, other]))
    assert page.name == "Captioners on the same test images of scenes, equal epochs"
    (table,) = page.sections[0].tables
    assert [column.title for column in table.columns] == [
        *("captioner, equal epochs", "study", "25 %", "50 %", "100 %", "with")
    ]
    (first, of, quarter, _, whole, others), (second, of_second, nothing, *_) = table.rows[1], table.rows[0]
    assert (first, of) == ("resnet50_lstm + small_resnet", "one") and others.endswith(", epochs=25")
    assert (second, of_second, nothing) == ("vgg19_lstm + vgg19", "other", None)
    assert quarter.low < quarter.value < whole.value
    assert page.in_short[0].startswith("With all the data the means lie 40.0 CIDEr apart: from resnet50_lstm")
    assert "-30.0 at 25 %, -20.0 at 50 %" in page.in_short[1]
    (warning,) = page.warnings
    assert warning.startswith("The rows differ in ") and "epochs too, so their differences are not of" in warning
    chart = page.sections[0].charts[0]
    assert [panel.title for panel in chart.panels] == ["all the data"] and chart.label == "equal epochs"


@pytest.mark.parametrize("changed", [{"images": 41}, {"scenes_size": 1000}, {"limit": 40}, {"scenes_seed": 3}])
def test_other_test_images_are_not_compared(tmp_path, changed):
    assert across(parts_of([_study(tmp_path / "one.json"), _study(tmp_path / "other.json", **changed)])) == []


def test_one_study_is_not_compared_with_itself(tmp_path):
    assert across(parts_of([_study(tmp_path / "one.json", fractions=(0.25,))])) == []


def test_other_fingerprints_are_other_images(tmp_path):
    for name, fingerprint in (("a", "x"), ("b", "y")):
        run = tmp_path / name / "runs" / "full-1-s0"
        run.mkdir(parents=True)
        (run / "experiment.json").write_text(json.dumps({"fingerprints": {"test": fingerprint}}))
        _study(tmp_path / name / "study.json")
    places = [str(tmp_path / name) for name in ("a", "b")]
    assert across(parts_of(places)) == []
    for name in ("a", "b"):
        path = tmp_path / name / "runs" / "full-1-s0" / "experiment.json"
        path.write_text(json.dumps({"fingerprints": {"test": "x"}}))
    assert len(across(parts_of(places))) == 1


def test_each_protocol_is_compared_by_itself_and_all_the_data_in_both(tmp_path):
    places = [
        _study(tmp_path / "epochs.json", fractions=(0.25,)),
        _study(tmp_path / "steps.json", fractions=(0.25,), budget_steps="true"),
        _study(tmp_path / "full.json"),
    ]
    pages = across(parts_of(places))
    assert [[row[1] for row in page.sections[0].tables[0].rows] for page in pages] == [
        ["epochs", "full"],
        ["steps", "full"],
    ]
    assert [page.name.rpartition(", ")[2] for page in pages] == ["equal epochs", "equal steps"]
