"""A grid of toy experiments by the command line: what it finds, kills, failed cells, mistakes."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from tests.toy_commands import arguments_of, done, started
from tfcap.findings import estimates, noise_kept
from tfcap.reporting.quality import CIDER
from tfcap.reporting.study_table import study_table

_LISTS = ["--selector=random,loss", "--fraction=0.5,1", "--seed=0"]


def _study(arguments, **more):
    return started("tfcap.study", arguments, **more)


@pytest.fixture(scope="module")
def study(toy_flags, tmp_path_factory):
    """A study that was killed in its first cell, was started again, and then ran to its end."""
    out = tmp_path_factory.mktemp("studies") / "toy"
    arguments = arguments_of(toy_flags, out, *_LISTS, "--jobs=2")
    process = _study(arguments, start_new_session=True)
    deadline = time.monotonic() + 300
    while not list(out.glob("runs/*/masks/*.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    second = _study(arguments)
    return out, arguments, done(second)


def test_a_killed_study_goes_on_to_its_table(study):
    out, _, (code, shown, errors) = study
    cells = json.loads((out / "study.json").read_text())["cells"]
    assert code == 0, errors
    assert set(cells) == {"random-0.5", "loss-0.5", "full"}
    assert shown.splitlines()[0].split() == ["CIDEr", "x", "100", "50", "%", "100", "%"]
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == [
        cells[name]["axes"]["selector"] for name in sorted(cells, key=list(cells).index)
    ]
    for name, cell in cells.items():
        metrics = json.loads((out / "runs" / name / "metrics.json").read_text())
        assert cell["metrics"] == metrics
        assert np.mean(cell["per_image"]["CIDEr"]) == pytest.approx(metrics["CIDEr"]["value"], abs=1e-4)
        history = json.loads((out / "runs" / name / "history.json").read_text())
        assert cell["val_CIDEr"] == history["val_CIDEr"]
        assert not (out / "runs" / name / "checkpoints").exists()


def test_the_tables_hold_loss_against_random_and_their_cost_against_the_full_data(study):
    out, _, (_, shown, _) = study
    cells = json.loads((out / "study.json").read_text())["cells"]
    rows = [line.split() for line in shown.partition("less random")[2].splitlines()]
    means = {name: np.mean(cell["per_image"]["CIDEr"]) for name, cell in cells.items()}
    assert rows[1][:2] == ["loss", f"{100 * (means['loss-0.5'] - means['random-0.5']):+.1f}"]
    words = " ".join(shown.split())
    known = "fewer than 4 fractions" if means["full"] > 0 else "all the data gave nothing"
    assert "nothing is tested, since one seed cannot tell" in words and known in words
    names = ("train_seconds", "scoring_seconds", "features_seconds")
    seconds = {name: sum(cell["metrics"][one] for one in names) for name, cell in cells.items()}
    costs = [line.split() for line in shown.partition("cost in %")[2].splitlines()]
    assert f"{100 * seconds['loss-0.5'] / seconds['full']:.0f}*" in next(row for row in costs if row[:1] == ["loss"])


def test_a_finished_study_runs_nothing(study):
    out, arguments, _ = study
    before = (out / "study.json").stat().st_mtime_ns, (out / "logs" / "full.txt").stat().st_mtime_ns
    code, shown, _ = done(_study(arguments))
    assert code == 0 and "random" in shown
    assert before == ((out / "study.json").stat().st_mtime_ns, (out / "logs" / "full.txt").stat().st_mtime_ns)


@pytest.mark.slow
def test_a_grid_that_gains_a_value_keeps_what_is_finished(study, tmp_path):
    before, arguments, _ = study
    out = tmp_path / "study"
    shutil.copytree(before, out, symlinks=True)
    more = [word for word in arguments if not word.startswith(("--out", "--seed"))] + [f"--out={out}", "--seed=0,1"]
    code, shown, _ = done(_study([*more, "--dry_run"]))
    assert code == 0 and "6 cells, of which 3 are finished" in shown
    assert (out / "study.json").read_bytes() == (before / "study.json").read_bytes() and (out / "runs/full").exists()
    finished = (before / "runs" / "full" / "metrics.json").read_bytes()
    code, _, errors = done(_study([*more, "--fraction=1"]))
    assert code == 0, errors
    cells, old = (json.loads((folder / "study.json").read_text())["cells"] for folder in (out, before))
    assert set(cells) == {"random-0.5", "loss-0.5", "full-s0", "full-s1"}
    assert cells["full-s0"] == {**old["full"], "axes": {"selector": "full", "fraction": "1", "seed": "0"}}
    assert (out / "runs" / "full-s0" / "metrics.json").read_bytes() == finished
    assert (out / "logs" / "full-s0.txt").read_bytes() == (before / "logs" / "full.txt").read_bytes()
    assert not (out / "runs" / "full").exists() and cells["full-s1"]["metrics"] != old["full"]["metrics"]


def test_other_settings_under_a_known_name_are_refused(study):
    out, arguments, _ = study
    code, _, errors = done(_study([*arguments, "--dropout=0.5"]))
    assert code == 2 and "holds the cell random-0.5 with other settings" in errors


def test_a_grid_that_does_not_belong_beside_what_is_there_is_refused(study):
    out, arguments, _ = study
    other = [word for word in arguments if not word.startswith("--selector")] + ["--selector=herding,median"]
    before = (out / "study.json").read_bytes()
    code, _, errors = done(_study([*other, "--fraction=0.5", "--budget_steps"]))
    assert code == 2 and "with another --budget_steps. Received: True. Expected: False" in errors
    assert (out / "study.json").read_bytes() == before


@pytest.mark.slow
def test_a_cell_that_is_killed_is_said_to_have_been(toy_flags, tmp_path):
    out = tmp_path / "study"
    process = _study(arguments_of(toy_flags, out, "--fraction=0.5"))
    deadline = time.monotonic() + 300
    while not list(out.glob("runs/only/experiment.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    subprocess.run(["pkill", "-KILL", "-f", f"tfcap.main.*--run_dir={out / 'runs' / 'only'}"], check=True)
    code, _, errors = done(process)
    assert code == 1 and "only: killed by signal 9; perhaps there was too little memory" in errors


@pytest.mark.slow
def test_a_cell_that_fails_leaves_the_others_and_says_why(toy_flags, tmp_path):
    out = tmp_path / "study"
    code, shown, errors = done(_study(arguments_of(toy_flags, out, "--fraction=0.5,0.001")))
    assert code == 1 and "1 of 2 cells failed: 0.001: error: --fraction keeps no image" in errors
    assert list(json.loads((out / "study.json").read_text())["cells"]) == ["0.5"]
    assert "50 %" in shown


def test_two_at_once_are_refused(study):
    import fcntl

    out, arguments, _ = study
    with open(out / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, _, errors = done(_study(arguments))
    assert code == 2 and "Another process is at work on this study" in errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--selector=random"], "--out is missing"),
        (["--out=x", "--jobs=0"], "--jobs is out of range"),
        (["--out=x", "--selector=random,best"], "Unknown selector"),
        (["--out=x", "--selector=mixed", "--mixture=loss:1,el2n:1"], "different times"),
    ],
)
def test_mistakes_end_with_2_and_leave_nothing(tmp_path, arguments, words):
    code, _, errors = done(_study(arguments, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.getcwd()}))
    assert code == 2 and words in errors and len(errors.strip().splitlines()) == 1
    assert not list(tmp_path.glob("x/*"))


def test_a_dry_run_lists_the_commands_and_writes_nothing(tmp_path):
    code, shown, _ = done(_study(["--dry_run", f"--out={tmp_path / 'x'}", *_LISTS]))
    assert code == 0 and not (tmp_path / "x").exists()
    *cells, total, why = shown.splitlines()
    assert [line.split()[0] for line in cells] == ["random-0.5", "full", "loss-0.5"]
    assert all(" s  python -m tfcap.main --" in line or " min  python -m tfcap.main --" in line for line in cells)
    assert total.startswith("3 cells, of which 0 are finished; the others about ") and "3 of them by rule" in why


def test_the_noise_that_is_kept_has_a_table_where_it_is_known(study):
    out, _, (_, shown, _) = study
    cells = json.loads((out / "study.json").read_text())["cells"]
    expected = 100 * cells["loss-0.5"]["metrics"]["noise_rate_kept"]
    _, _, table = shown.partition("wrong, in %")
    assert ["loss", f"{expected:.1f}", "-"] in [line.split() for line in table.splitlines()]
    assert noise_kept({"a": {**cells["full"], "metrics": {}}}) == {}
    axes, rates = cells["full"]["axes"], {"0": 0.1, "1": 0.2}
    twice = {s: {"axes": {**axes, "seed": s}, "metrics": {"noise_rate_kept": rate}} for s, rate in rates.items()}
    assert noise_kept(twice) == {"full": {1.0: pytest.approx(0.15)}}


def test_the_table_shows_each_method_at_each_fraction():
    def cell(selector, fraction, seed, values):
        axes = {"selector": selector, "fraction": fraction, "seed": seed}
        return {"axes": axes, "per_image": {"CIDEr": values}}

    cells = {
        "a": cell("loss", "0.5", "0", [1.0, 1.0]),
        "b": cell("loss", "0.5", "1", [1.0, 1.0]),
        "c": cell("full", "1", "0", [0.5, 1.5]),
    }
    lines = study_table(estimates(cells), CIDER).splitlines()
    assert lines[1].split() == ["loss", "100.0", "±", "0.0", "-"]
    assert lines[2].split()[:3] == ["full", "-", "100.0"] and lines[2].endswith("*")
