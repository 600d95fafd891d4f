"""A grid of classifiers says accuracy wherever one of captioners says CIDEr, and the two are never mixed."""

import json

import numpy as np
import pytest

from tests.toy_study import IMAGES, write_run, write_study
from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.findings import against_random, estimates, late_rises, quality_among
from tfcap.grid import cells_of
from tfcap.report import __main__ as report
from tfcap.report.cells import parts_of
from tfcap.reporting.quality import ACCURACY, CIDER
from tfcap.settings import Settings
from tfcap.study import Study, _tables


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("studies") / "pictures", model="classifier", seeds=(0, 1, 2))


@pytest.fixture(scope="module")
def cells(study):
    return read_json(study / "study.json")["cells"]


@pytest.fixture(scope="module")
def made(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "report"
    report.main(["report", str(study), f"--out={out}", "--pictures=4"])
    return out


def test_its_tables_are_of_accuracy(cells):
    shown = _tables(cells)
    assert shown.splitlines()[0].split() == ["accuracy,", "%", "25", "%", "50", "%", "100", "%"]
    assert "CIDEr" not in shown and "caption" not in shown
    mean = np.mean([cells[f"loss-0.5-s{seed}"]["per_image"]["accuracy"] for seed in (0, 1, 2)])
    assert estimates(cells)["loss"][0.5].value == pytest.approx(mean)
    assert against_random(cells)["loss"][0.5].value == pytest.approx(mean - estimates(cells)["random"][0.5].value)


def test_its_plateau_is_of_the_validation_accuracy(cells):
    curve = [0.1, 0.2, 0.3]
    known = {name: {**cell, "val_accuracy": curve} for name, cell in cells.items()}
    assert late_rises(known) == {"full": pytest.approx(1 / 3)}
    assert "full: the best validation accuracy rose by 33.3 % in the last third" in _tables(known)


def test_a_study_of_classifiers_reports_on_nothing_but_accuracy(made):
    page = (made / "index.html").read_text(encoding="utf-8")
    words, data = page.split('<script type="application/json" id="data">')
    head, _, rest = words.partition("published_others")
    assert "CIDEr" not in head.partition('id="part:pictures:published"')[0] and "accuracy, %" in head
    assert "Highest mean accuracy" in head and "All the data: accuracy " in head and "Sample classes" in rest + head
    samples = json.loads(data.partition("</script>")[0])["parts"]["pictures"]["samples"]
    assert samples["words"]["verdicts"] == ["wrong", "right"] and set(samples["texts"]) == {"airplane", "bird"}
    figure = (made / "pictures" / "figures" / "quality.svg").read_text(encoding="utf-8")
    assert "Mean accuracy in % over seeds" in words and "CIDEr" not in figure
    assert {path.stem for path in made.glob("pictures/figures/curves_*.svg")} == {"curves_val_accuracy", "curves_loss"}
    table = (made / "pictures" / "tables" / "all_figures.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "accuracy,low,high,examples" in table and "BLEU" not in table


def test_its_epochs_are_timed_beside_those_of_all_the_data(cells, made):
    rows = _tables(cells).partition("epoch, s")[2].splitlines()[1:4]
    assert [row.split()[0] for row in rows] == ["random", "loss", "full"] and rows[0].count("x [") == 2
    lines = (made / "pictures" / "tables" / "seconds_an_epoch.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith("seeds,seconds,times faster,low,high") and len(lines) == 6


def test_captioners_and_classifiers_are_not_mixed(cells, study, tmp_path):
    captioners = write_study(tmp_path / "captions", seeds=(0,))
    both = {"a": cells["full-s0"], "b": read_json(captioners / "study.json")["cells"]["full-s0"]}
    words = "not compared with each other. Received: {}. Expected: cells of one quality"
    with pytest.raises(InputError, match=words.format("accuracy of a and CIDEr of b")):
        quality_among(both)
    of_parts = "accuracy of pictures/random-0.25-s0 and CIDEr of captions/random-0.25-s0"
    with pytest.raises(InputError, match=words.format(of_parts)):
        parts_of([str(study), str(captioners)])
    with pytest.raises(InputError, match=words.format("CIDEr of git and accuracy of classifier")):
        Study(tmp_path, cells_of(["--model=git,classifier"]), 1)
    (tmp_path / "study.json").write_text(json.dumps({"cells": {"before": both["a"]}}))
    with pytest.raises(InputError, match=words.format("accuracy of before and CIDEr of only")):
        Study(tmp_path, cells_of(["--dataset=scenes"]), 1).foreseen()


def test_single_runs_are_read_too(tmp_path):
    for seed, value in ((0, 1), (1, 0)):
        settings = Settings().replace(model="classifier", seed=seed, fraction=1.0)
        write_run(tmp_path / f"run{seed}", settings, [value] * len(IMAGES), ["bird"] * len(IMAGES))
    (part,) = parts_of([str(tmp_path / f"run{seed}") for seed in (0, 1)])
    assert estimates(part.cells)["full"][1.0].value == 0.5 and quality_among(part.cells) == ACCURACY
    assert late_rises(part.cells) == {"full": pytest.approx(0.5)}  # from the histories


def test_a_cell_s_outcome_is_said_in_its_own_unit():
    assert (CIDER.said(0.5), ACCURACY.said(0.7123)) == ("CIDEr 50.0", "accuracy 71.2 %")


def test_what_a_cell_found_is_kept_in_few_digits(tmp_path):
    study = Study(tmp_path, cells_of(["--model=classifier", "--fraction=0.5"]), 1)
    values = [1.0, 0.0, 1.0, 1.0] * (len(IMAGES) // 4)
    write_run(tmp_path / "runs" / "only", study.cells[0].settings, values, ["bird"] * len(IMAGES))
    assert study._finish(study.cells[0], 90.0) == "only: accuracy 75.0 %, 1.5 min"
    text = (tmp_path / "study.json").read_text(encoding="utf-8")
    assert '"per_image": {"accuracy": [1, 0, 1, 1, ' in text and '"val_accuracy": [null, 0.5, 0.5]' in text
    assert "CIDEr" not in text
