"""Scores averaged over seeds and epochs of the scoring captioner: GraNd and EL2N as published."""

import itertools

import numpy as np
import pytest

from tfcap import scores
from tfcap.files import read_json
from tfcap.preparation import Preparation
from tfcap.scoring.signal import Pass
from tfcap.settings import Settings
from tfcap.training import checkpoint
from tfcap.training.loop import Training

SEEDS, EPOCHS, NAMES = (3, 4), (0, 2), ("gradient_norm", "el2n")
TOY = {"selector": "gradient_norm", "proxy_epochs": 3, "dropout": 0.3, "limit": 16, "batch_size": 8}
ALL = {"seed": SEEDS[0], "score_seeds": len(SEEDS), "score_epochs": ",".join(map(str, EPOCHS))}


def _prep(toy_flags, folder, **said):
    return Preparation(Settings().replace(**{**toy_flags, **TOY, **said, "run_dir": str(folder)}).resolve())


def _scores(prep):
    return {name: scores.scores_of(prep, name) for name in NAMES}


@pytest.fixture(scope="module")
def averaged(toy_flags, tmp_path_factory):
    """The run folder of the scores over all seeds and epochs."""
    folder = tmp_path_factory.mktemp("runs") / "averaged"
    _scores(_prep(toy_flags, folder, **ALL))
    return folder


@pytest.mark.slow
def test_they_are_the_mean_of_single_runs_with_those_seeds_and_epochs(averaged, toy_flags, tmp_path):
    single = {}
    for seed, epoch in itertools.product(SEEDS, EPOCHS):
        prep = _prep(toy_flags, tmp_path / f"{seed}-{epoch}", seed=seed, score_epochs=str(epoch))
        single[seed, epoch] = _scores(prep)
    for name in NAMES:
        each = np.stack([found[name] for found in single.values()])
        assert (np.ptp(each, axis=0) > 1e-4 * each.max(axis=0)).all()
        found = np.load(averaged / "scores" / f"{name}.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, each.mean(axis=0), rtol=1e-5)


def test_the_default_is_the_end_of_one_training(averaged, toy_flags, tmp_path):
    """And a training that stops for a pass is the one that does not stop."""
    said = {"seed": SEEDS[1], "proxy_epochs": 3}
    last = scores.scores_of(_prep(toy_flags, tmp_path / "default", **said), "el2n")
    stopped = scores.scores_of(_prep(toy_flags, tmp_path / "stopped", **said, score_epochs="1,3"), "el2n")
    np.testing.assert_array_equal(np.load(tmp_path / "stopped" / "scores" / f"el2n-s{SEEDS[1]}-e3.npy"), last)
    assert not np.array_equal(stopped, last)


def test_what_is_said_of_them(averaged):
    about = read_json(averaged / "scores" / "gradient_norm.json")
    assert about["seeds"] == list(SEEDS) and about["at_epochs"] == list(EPOCHS) and about["epochs"] == 3
    assert (about["score_seeds"], about["score_epochs"]) == (2, "0,2")
    assert list(about["checkpoints"]) == [f"s{seed}-e{epoch}" for seed in SEEDS for epoch in EPOCHS]
    hashes = [about["checkpoints"][name] for name in about["checkpoints"] if not name.endswith("e0")]
    assert len(set(hashes)) == 2 and about["checkpoints"]["s3-e0"] is None


def test_costs_add_up(averaged):
    about = read_json(averaged / "scores" / "gradient_norm.json")
    trained = [read_json(checkpoint.find(averaged / name) / "state.json") for name in ("proxy", "proxy-s4")]
    assert [state["epoch"] for state in trained] == [2, 2]  # not on to the third
    parts = [read_json(path) for path in (averaged / "scores").glob("gradient_norm-*.json")]
    assert len(parts) == 4
    assert about["train_seconds"] == pytest.approx(sum(state["seconds"] for state in trained))
    assert about["pass_seconds"] == pytest.approx(sum(part["pass_seconds"] for part in parts))
    assert about["seconds"] == pytest.approx(about["train_seconds"] + about["pass_seconds"])


class Killed(Exception):
    pass


def _killed_at(monkeypatch, owner, name, count):
    """Makes the call number `count` of a function fail; returns the number of calls so far, in a list."""
    plain, calls = getattr(owner, name), [0]

    def counted(*arguments, **more):
        calls[0] += 1
        if calls[0] == count:
            raise Killed
        return plain(*arguments, **more)

    monkeypatch.setattr(owner, name, counted)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "name", "count", "left"), [(Training, "_save", 4, 1), (Pass, "write", 3, 2)])
def test_a_killed_run_goes_on_and_ends_as_the_uninterrupted_one(
    averaged, toy_flags, tmp_path, monkeypatch, owner, name, count, left
):
    """Killed while the second proxy trains, or in the third of four passes: what was done is not done again."""
    with monkeypatch.context() as patched, pytest.raises(Killed):
        _killed_at(patched, owner, name, count)
        scores.scores_of(_prep(toy_flags, tmp_path / "run", **ALL), "gradient_norm")
    with monkeypatch.context() as patched:
        calls = _killed_at(patched, owner, name, 100)
        found = scores.scores_of(_prep(toy_flags, tmp_path / "run", **ALL), "gradient_norm")
    assert calls[0] == left
    np.testing.assert_allclose(found, np.load(averaged / "scores" / "gradient_norm.npy"), rtol=1e-6)


def test_noresume_deletes_every_proxy(averaged, toy_flags, tmp_path):
    import shutil

    run = shutil.copytree(averaged, tmp_path / "run")
    (run / "proxy-s4" / ".state.json.x.partial").write_text("left by a kill")
    _prep(toy_flags, run, **ALL)
    assert not list(run.glob("proxy*/.*"))
    _prep(toy_flags, run, **ALL, resume=False)
    assert not list(run.glob("proxy*"))
