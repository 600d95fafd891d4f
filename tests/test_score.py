"""tfcap.score writes the score file that a run writes, for other commands to take; mistakes: test_bad_input.py."""

import numpy as np
import pytest

from tfcap import experiment, score, select
from tfcap import scores as scores_module
from tfcap.data.records import Records
from tfcap.files import read_json
from tfcap.preparation import Preparation
from tfcap.settings import Settings

NAME = "caption_consensus"
COUNTS = {"image": 48, "pair": 240}
TIMES = ("seconds", "pass_seconds", "train_seconds")


def score_command(out, toy_flags, *more):
    said = [f"--{name}={toy_flags[name]}" for name in ("scenes_size", "data_dir")]
    score.main(["score", *said, f"--out={out}", "--noprogress", *more])
    return out / "scores"


def described(scores):
    return {name: value for name, value in read_json(scores / f"{NAME}.json").items() if name not in TIMES}


@pytest.fixture(scope="module")
def runs(toy_flags, tmp_path_factory):
    """Runs that have selected by the score, by level."""
    found = {}
    for level in ("image", "pair"):
        folder = tmp_path_factory.mktemp("runs") / level
        said = {"selector": "hardest", "selection_score": NAME, "level": level, "run_dir": str(folder)}
        experiment.select(Preparation(Settings().replace(**toy_flags, **said).resolve()))
        found[level] = folder
    return found


@pytest.mark.parametrize("level", ["image", "pair"])
def test_the_score_is_the_run_s_own(runs, toy_flags, tmp_path, level, capsys):
    scores = score_command(tmp_path / "out", toy_flags, f"--level={level}")
    assert (scores / f"{NAME}.npy").read_bytes() == (runs[level] / "scores" / f"{NAME}.npy").read_bytes()
    assert described(scores) == described(runs[level] / "scores")
    assert sorted(path.name for path in scores.iterdir()) == [f"{NAME}.json", f"{NAME}.npy"]
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == str(scores / f"{NAME}.npy")
    assert shown[1].startswith(f"  {COUNTS[level]} {level}s, CIDEr-D, in [0, 10]; ")


@pytest.mark.parametrize("level", ["image", "pair"])
def test_masks_are_made_from_it(runs, toy_flags, tmp_path, level):
    score_command(tmp_path / "out", toy_flags, f"--level={level}")
    for run, masks in ((tmp_path / "out", "ours"), (runs[level], "theirs")):
        select.main(
            ["select", f"--scores={run}", "--selector=hardest", f"--selection_score={NAME}"]
            + [f"--out={tmp_path / masks}", "--fractions=0.5"]
        )
    ours, theirs = ((tmp_path / masks / "hardest-0.5.txt").read_text() for masks in ("ours", "theirs"))
    assert ours == theirs and ours.count("\n") == {"image": 24, "pair": 120}[level]


def test_a_limit_is_part_of_the_run(scenes, toy_flags, tmp_path):
    scores = score_command(tmp_path / "out", toy_flags, "--limit=20")
    assert np.load(scores / f"{NAME}.npy").shape == (20,)
    assert described(scores)["fingerprint"] == Records(scenes, "train", 20).fingerprint


def test_a_run_that_is_there_gets_the_score_too(toy_flags, tmp_path):
    run = tmp_path / "run"
    asked = {"selector": "random", "units": 6, "resume": False, "run_dir": str(run)}
    prep = Preparation(Settings().replace(**{**toy_flags, **asked}).resolve())
    experiment.select(prep)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    scores = score_command(run, toy_flags)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.parent != scores} == before
    np.testing.assert_array_equal(scores_module.scores_of(prep, NAME), np.load(scores / f"{NAME}.npy"))


def test_a_score_that_is_there_is_not_made_again(toy_flags, tmp_path, monkeypatch):
    scores = score_command(tmp_path / "out", toy_flags)
    before = read_json(scores / f"{NAME}.json")
    monkeypatch.setattr(score, "_values", None)
    score_command(tmp_path / "out", toy_flags)
    assert read_json(scores / f"{NAME}.json") == before


def test_what_is_interrupted_leaves_no_score(toy_flags, tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("tfcap.scoring.texts.scores_of_part", interrupted)
        score_command(tmp_path / "out", toy_flags)
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["experiment.json"]
    assert (score_command(tmp_path / "out", toy_flags) / f"{NAME}.npy").exists()
