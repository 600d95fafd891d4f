"""A grid whose cells learn from its own cell of all the data: order, kills, a teacher that fails or is gone."""

import json
import os
import shutil
import signal
import time

import pytest

from tests.toy_commands import arguments_of, done, started
from tfcap.errors import InputError
from tfcap.grid import cells_of
from tfcap.study import Study

_LISTS = ["--selector=random,loss", "--fraction=0.5,1", "--seed=0", "--teacher=full"]


def _cells(out):
    return json.loads((out / "study.json").read_text())["cells"]


def _order(out):
    """The cells in the order in which their processes were started."""
    runs = {path.parent.name: json.loads(path.read_text())["started"] for path in out.glob("runs/*/experiment.json")}
    return sorted(runs, key=runs.get)


@pytest.fixture(scope="module")
def study(toy_flags, tmp_path_factory):
    """A study that was killed when its teacher was finished, was started again, and then ran to its end."""
    out = tmp_path_factory.mktemp("studies") / "toy"
    arguments = arguments_of(toy_flags, out, *_LISTS, "--jobs=2")
    process = started("tfcap.study", arguments, start_new_session=True)
    deadline = time.monotonic() + 300
    while not list(out.glob("runs/*-0.5/experiment.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert list(_cells(out)) == ["full"]  # whoever learns from it is started when it is finished
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return out, arguments, done(started("tfcap.study", arguments))


def test_the_teacher_comes_first_and_scores_for_all_that_learn_from_it(study):
    out, _, (code, _, errors) = study
    assert code == 0, errors
    cells = _cells(out)
    assert set(cells) == {"full", "random-0.5", "loss-0.5"} and _order(out)[0] == "full"
    assert {name: cell.get("teacher") for name, cell in cells.items()} == {
        "full": None,
        "random-0.5": "full",
        "loss-0.5": "full",
    }
    assert not list(out.glob("scoring/*/proxy*"))  # nothing is trained to score
    about = json.loads((out / "runs" / "loss-0.5" / "scores" / "loss.json").read_text())
    assert about["teacher"] == str(out / "runs" / "full") and about["train_seconds"] == 0
    assert cells["loss-0.5"]["metrics"]["teacher_seconds"] == cells["full"]["metrics"]["train_seconds"] > 0


def test_what_is_recorded_does_not_say_where_the_study_lies(study):
    out, *_ = study
    assert "--teacher=full" in _cells(out)["loss-0.5"]["arguments"]
    assert str(out) not in (out / "study.json").read_text()


def test_the_teacher_s_weights_stay_for_cells_to_come(study, tmp_path):
    before, arguments, _ = study
    assert [path.parent.name for path in before.glob("runs/*/checkpoints")] == ["full"]
    out = tmp_path / "study"
    shutil.copytree(before, out, symlinks=True)
    more = [word for word in arguments if not word.startswith(("--out", "--selector"))]
    code, _, errors = done(started("tfcap.study", [*more, f"--out={out}", "--selector=random,loss,hardest"]))
    assert code == 0, errors
    assert _cells(out)["hardest-0.5"]["teacher"] == "full" and (out / "runs/full/checkpoints/BEST").exists()


def test_finished_cells_with_another_teacher_are_refused(study, tmp_path):
    before, arguments, _ = study
    said = [word for word in arguments if not word.startswith(("--out", "--jobs"))]
    study = Study(before, cells_of([*said, "--dropout=0.1,0.3"]), 1)
    with pytest.raises(InputError, match=r"another teacher. Received: full-0.1. Expected: full\."):
        study.foreseen()
    lines = Study(before, cells_of([*said, "--dropout=0.3,0.1"]), 1).foreseen()
    assert "5 cells, of which 3 are finished" in lines[5]


def test_a_teacher_whose_weights_are_gone_is_said_before_anything_starts(study, tmp_path):
    before, arguments, _ = study
    (tmp_path / "runs" / "full").mkdir(parents=True)
    cells = {"cells": {"full": _cells(before)["full"]}}
    (tmp_path / "study.json").write_text(json.dumps(cells))
    said = [word for word in arguments if not word.startswith(("--out", "--jobs"))]
    with pytest.raises(InputError, match="The cell full was finished without --teacher=full, and its weights are gone"):
        Study(tmp_path, cells_of(said), 1).run()
    assert [path.name for path in tmp_path.glob("runs/*")] == ["full"]


def test_no_cell_learns_from_a_teacher_that_failed(toy_flags, tmp_path):
    out = tmp_path / "study"
    (out / "runs" / "full").mkdir(parents=True)
    (out / "runs" / "full" / "notes.txt").write_text("mine")
    code, _, errors = done(started("tfcap.study", arguments_of(toy_flags, out, *_LISTS)))
    assert code == 1 and "3 of 3 cells failed: full: error:" in errors and "is not the folder of a run" in errors
    assert "random-0.5: its teacher full failed; loss-0.5: its teacher full failed" in errors
    assert [path.name for path in out.glob("logs/*")] == ["full.txt"] and len(list(out.glob("runs/*"))) == 1


def test_a_dry_run_knows_the_teacher_and_that_nothing_is_trained_to_score(tmp_path):
    grid = ["--selector=loss", "--fraction=0.5,1", "--seed=0"]
    own, taught = (Study(tmp_path, cells_of([*grid, *more]), 1) for more in ([], ["--teacher=full"]))
    line, other = (study.foreseen()[0] for study in (own, taught))
    assert line.split()[0] == other.split()[0] == "0.5"
    assert f"--teacher={tmp_path / 'runs' / 'full'}" in other and "--teacher=full" not in other
    assert _minutes(other) < 0.5 * _minutes(line)


def _minutes(line):
    _, number, unit = line.split()[:3]
    return float(number) / {"s": 60, "min": 1}[unit]
