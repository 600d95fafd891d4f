"""Which runs stand beside a published figure, and which must not."""

import json

import pytest

from tests.toy_study import write_evaluation, write_run
from tfcap.report.cells import parts_of
from tfcap.report.data import Found
from tfcap.report.published import published_tables
from tfcap.settings import Settings

BLEU = {"BLEU-1": {"value": 0.02, "low": 0.01, "high": 0.03}}
RECIPES = {"dataset": "food_recipes", "seed": 0, "split": "test", "limit": 0}


def _note(place):
    compared, _ = published_tables(Found(parts_of([str(place)])[0]))
    return compared.note


def _rows(*places):
    (part,) = parts_of([*map(str, places)])
    compared, others = published_tables(Found(part))
    assert len(compared.rows) + len(others.rows) >= 40
    return {row[1]: (row[3], row[4]) for row in compared.rows}


@pytest.mark.parametrize(
    ("checkpoint", "changed", "stands"),
    [
        ("kaggle://keras/gemma3/keras/gemma3_instruct_12b/2", {}, True),
        ("hf://google/gemma-3-12b-it", {}, True),
        ("kaggle://keras/gemma3/keras/gemma3_instruct_4b/1", {}, False),
        ("kaggle://keras/gemma3/keras/gemma3_instruct_12b/2", {"split": "validation"}, False),
        ("kaggle://keras/gemma3/keras/gemma3_instruct_12b/2", {"limit": 100}, False),
    ],
)
def test_gemma_of_12b_alone_on_the_whole_test_split_stands_beside_the_figure(tmp_path, checkpoint, changed, stands):
    settings = {**RECIPES, "model": "gemma3", "checkpoint": checkpoint, **changed}
    rows = _rows(write_evaluation(tmp_path / "gemma", settings, BLEU))
    assert rows == ({"Gemma 12B as it is": (1.19, pytest.approx(2.0))} if stands else {})


def _vit_gpt2(folder, **changes):
    settings = Settings().replace(
        dataset="food_recipes", model="vit_gpt2", checkpoint="hf://someone/vit-gpt2", fraction=1.0, **changes
    )
    return write_run(folder, settings, [0.5 + 0.01 * place for place in range(12)], ["words"] * 12)


def test_a_fine_tuned_captioner_stands_by_what_was_trained_and_one_as_it_is_does_not(tmp_path):
    rows = _rows(_vit_gpt2(tmp_path / "all", train="all", batch_size=16))
    assert list(rows) == ["ViT + GPT-2, all of it fine-tuned"]
    as_it_is = {**RECIPES, "model": "vit_gpt2", "checkpoint": "hf://someone/vit-gpt2", "train": "all"}
    assert _rows(write_evaluation(tmp_path / "as_it_is", as_it_is, BLEU)) == {}


def test_minutes_stand_as_a_share_of_those_of_all_the_data_and_losses_are_left_out(tmp_path):
    cells = {}
    for name, selector, fraction, epochs, seconds in (
        ("full-20", "full", "1", "20", 600.0),
        ("loss-0.05-10", "loss", "0.05", "10", 90.0),
        ("loss-0.05-20", "loss", "0.05", "20", 180.0),
    ):
        said = {"fraction": fraction, "epochs": epochs} | ({} if selector == "full" else {"selector": selector})
        cells[name] = {
            "axes": {"selector": selector, "fraction": fraction, "epochs": epochs, "seed": "0"},
            "arguments": [f"--{flag}={value}" for flag, value in said.items()],
            "metrics": {"CIDEr": {"value": 0.5}, "train_seconds": seconds, "scoring_seconds": 0, "features_seconds": 0},
            "per_image": {"CIDEr": [0.4, 0.6]},
        }
    (tmp_path / "s4.json").write_text(json.dumps({"cells": cells}))
    rows = _rows(tmp_path / "s4.json")
    assert rows == {
        "hardest 5 %, 20 epochs: 25 minutes of 68 for all, 20 epochs": (36.8, pytest.approx(30)),
        "hardest 5 %, 10 epochs: 13 minutes of 68 for all, 20 epochs": (19.1, pytest.approx(15)),
    }
    _, others = published_tables(Found(parts_of([str(tmp_path / "s4.json")])[0]))
    assert "losses of S4 have nothing here" in others.note


S5 = {"dataset": "cifar10", "model": "classifier", "class_balanced": True, "epochs": 10, "width": 8}


def _of_classes(path, width=8, **changed):
    """A study of S5's four scenarios by accuracy and seconds, each with what is changed of all but the first."""
    scenarios = {
        "full": (0.71, 80.0, {"fraction": 1.0, "augment": "none"}),
        "coreset": (0.41, 10.0, {"augment": "none"}),
        "augmented": (0.45, 12.0, {"augment": "pad_crop_flip"}),
        "taught": (0.52, 14.0, {"augment": "pad_crop_flip", "knowledge_distillation": True}),
    }
    cells = {}
    for name, (accuracy, seconds, said) in scenarios.items():
        said = {"knowledge_distillation": False, "fraction": 0.1, **({} if name == "full" else changed), **said}
        axes = {"seed": "0", "selector": "full" if name == "full" else "k_means", "fraction": f"{said['fraction']:g}"}
        shown = {name: str(said[name]).lower() for name in ("augment", "knowledge_distillation")}
        cells[name] = {
            "axes": {**axes, "augment": shown["augment"]} | ({} if name == "full" else shown),
            "arguments": [],
            "choices": {**S5, "limit": 0, "budget_steps": False, "width": width, **said},
            "metrics": {"accuracy": {"value": accuracy}, "train_seconds": seconds},
            "per_image": {"accuracy": [1, 0]},
        }
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_the_four_scenarios_of_s5_stand_beside_their_accuracies(tmp_path):
    place = _of_classes(tmp_path / "s5.json")
    assert _rows(place) == {
        "all 50,000 images": (83.58, pytest.approx(71)),
        "nearest to k-means centroids, 500 a class": (51.28, pytest.approx(41)),
        "the same with augmentation": (56.89, pytest.approx(45)),
        "the same with knowledge distillation too": (70.21, pytest.approx(52)),
        "an epoch of 500 a class, beside one of all 50,000": (8.0, pytest.approx(8)),
    }


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("original", "here the pixels are the same"),
        ("class-folders", "files that somebody stored anew, perhaps as JPEG"),
        (None, "those of --source"),
    ],
)
def test_what_differs_from_s5_is_said(tmp_path, config, words):
    place = _of_classes(tmp_path / "s5.json")
    cells = json.loads(place.read_text())["cells"]
    known = {} if config is None else {"data_set": {"config": config, "version": "1.0.0"}}
    place.write_text(json.dumps({"cells": {name: {**cell, **known} for name, cell in cells.items()}}))
    note = _note(place)
    assert words in note and "width 64" in note and "the width is 8; accuracy is of 9,000" in note


@pytest.mark.parametrize("changed", [{"fraction": 0.2}, {"class_balanced": False}, {"limit": 1000}])
def test_another_coreset_is_not_that_of_s5(tmp_path, changed):
    assert list(_rows(_of_classes(tmp_path / "s5.json", **changed))) == ["all 50,000 images"]


def test_figures_of_captions_are_not_beside_accuracies(tmp_path):
    place = _of_classes(tmp_path / "s5.json")
    cells = json.loads(place.read_text())["cells"]
    for name, selector in (("coreset", "gradient_norm"), ("augmented", "random")):
        cells[name]["axes"] |= {"selector": selector, "fraction": "0.25", "augment": "none"}
    cells["augmented"]["choices"] = cells["coreset"]["choices"] = {**cells["full"]["choices"], "fraction": 0.25}
    place.write_text(json.dumps({"cells": cells}))
    assert not [name for name in _rows(place) if "gradient_norm" in name]


def test_the_configuration_of_the_data_is_read_from_the_folders_of_older_studies(tmp_path):
    place = _of_classes(tmp_path / "study.json")
    (tmp_path / "runs" / "full").mkdir(parents=True)
    described = {"data_set": {"config": "original", "version": "1.0.0"}}
    (tmp_path / "runs" / "full" / "experiment.json").write_text(json.dumps(described))
    (part,) = parts_of([str(tmp_path)])
    assert [cell.get("data_set") for cell in part.cells.values()] == [described["data_set"], None, None, None]
    assert "are the same" not in _note(place) and "are those of --source, which may" in _note(place)
