"""Trackers together: what reaches them, that one which fails leaves the others and the run, and resumed runs."""

import importlib
import json
import sys

import numpy as np
import pytest

from tfcap import registry
from tfcap.errors import InputError, TrainingStopped
from tfcap.settings import Settings
from tfcap.trackers import Trackers, check_installed

_METRICS = {
    "CIDEr": {"value": 1.5, "low": 1.25, "high": 1.75},
    "METEOR": None,
    "METEOR_missing": "no Java",
    "train_seconds": 12.0,
    "tokenizer": "ptb-regex",
}


class Toy:
    """Notes what it is told; told to fail, it does so in one of its methods."""

    made: list = []
    fails_in = ""

    def __init__(self, run):
        self.run, self.told = run, []
        Toy.made.append(self)
        self._note("open")

    def _note(self, *what):
        if what[0] == Toy.fails_in:
            raise ConnectionError("the server\nis away")
        self.told.append(what)

    def scalars(self, step, values):
        self._note("scalars", step, dict(values))

    def picture(self, step, name, pixels):
        self._note("picture", step, name, pixels.shape)

    def results(self, values):
        self._note("results", dict(values))

    def close(self, status):
        self._note("close", status)


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """Toy stands for wandb and mlflow, both as if they were installed."""
    monkeypatch.setattr(Toy, "made", [])
    monkeypatch.setattr(Toy, "fails_in", "")
    targets = {"tensorboard": f"{__name__}:Toy", "wandb": f"{__name__}:Toy", "mlflow": f"{__name__}:Toy"}
    monkeypatch.setattr(registry.TRACKERS, "_targets", targets)
    return Toy


def _settings(names):
    return Settings().replace(tracker=names)


def test_curves_pictures_and_results_reach_every_tracker(tmp_path, toy):
    with Trackers(tmp_path, _settings("wandb,mlflow")) as trackers:
        trackers.scalars(10, {"loss": 2.0, "val_CIDEr": 0.5})
        trackers.picture(10, "validation/captions", np.zeros((4, 5, 3), np.uint8))
        trackers.deliver(_METRICS)
    results = {"test/CIDEr": 1.5, "test/CIDEr_low": 1.25, "test/CIDEr_high": 1.75, "run/train_seconds": 12.0}
    assert len(toy.made) == 2
    for one in toy.made:
        assert one.told == [
            ("open",),
            ("scalars", 10, {"training/loss": 2.0, "validation/CIDEr": 0.5}),
            ("picture", 10, "validation/captions", (4, 5, 3)),
            ("results", results),
            ("close", "finished"),
        ]
        assert one.run.settings["learning_rate"] == 0.001 and "run_dir" not in one.run.settings


def test_processes_of_one_run_are_one_tracked_run_and_deliver_its_results_once(tmp_path, toy):
    for _ in range(2):
        with Trackers(tmp_path / "a", _settings("wandb")) as trackers:
            trackers.scalars(1, {"loss": 2.0})
            trackers.deliver(_METRICS)
    with Trackers(tmp_path / "b", _settings("wandb")) as trackers:
        trackers.scalars(1, {"loss": 2.0})
    first, second, other = toy.made
    assert first.run.identity == second.run.identity != other.run.identity
    assert [[what[0] for what in one.told].count("results") for one in (first, second)] == [1, 0]


def test_a_finished_run_opens_none_unless_one_has_not_its_results(tmp_path, toy):
    for names in ("wandb", "wandb", "wandb,mlflow", "wandb,mlflow"):
        with Trackers(tmp_path, _settings(names)) as trackers:
            trackers.deliver(_METRICS)
    assert len(toy.made) == 2
    assert json.loads((tmp_path / "trackers.json").read_text())["delivered"] == ["wandb", "mlflow"]


@pytest.mark.parametrize("moment", ["open", "scalars", "picture", "results", "close"])
def test_one_that_fails_is_left_out_with_one_line_and_the_run_goes_on(tmp_path, toy, capsys, moment):
    toy.fails_in = moment
    with Trackers(tmp_path, _settings("wandb")) as trackers:
        for step in (1, 2):
            trackers.scalars(step, {"loss": 2.0})
            trackers.picture(step, "validation/captions", np.zeros((4, 5, 3), np.uint8))
        trackers.deliver(_METRICS)
    said = capsys.readouterr().err
    assert said.count("warning: the tracker wandb failed") == 1 and len(said.strip().splitlines()) == 1
    assert "ConnectionError: the server is away" in said
    assert trackers.failed == {"wandb": "ConnectionError: the server is away"}
    assert len(toy.made) == 1  # it is not tried again in this process
    toy.fails_in = ""
    with Trackers(tmp_path, _settings("wandb")) as trackers:
        trackers.deliver(_METRICS)
    assert len(toy.made) == 2  # the same command delivers what was not delivered
    assert json.loads((tmp_path / "trackers.json").read_text())["delivered"] == ["wandb"]


def test_one_that_fails_leaves_the_others(tmp_path, toy, monkeypatch):
    monkeypatch.setitem(registry.TRACKERS._targets, "wandb", f"{__name__}:Broken")
    with Trackers(tmp_path, _settings("wandb,mlflow")) as trackers:
        trackers.scalars(1, {"loss": 2.0})
        trackers.scalars(2, {"loss": 1.0})
    (one,) = toy.made
    assert [what[1] for what in one.told if what[0] == "scalars"] == [1, 2] and list(trackers.failed) == ["wandb"]


class Broken:
    def __init__(self, run):
        raise OSError("no disk")


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"identity": "a"}'])
def test_damaged_notes_are_a_warning_and_no_end_of_the_run(tmp_path, toy, capsys, damage):
    (tmp_path / "trackers.json").write_text(damage, encoding="utf-8")
    with Trackers(tmp_path, _settings("wandb")) as trackers:
        trackers.deliver(_METRICS)
    assert "warning: the tracker wandb failed" in capsys.readouterr().err and list(trackers.failed) == ["wandb"]


def test_a_disk_that_is_full_is_a_warning_and_no_end_of_the_run(tmp_path, toy, monkeypatch, capsys):
    with Trackers(tmp_path, _settings("wandb")) as trackers:
        trackers.deliver(_METRICS)

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tfcap.trackers.write_json", full)
    assert "No space left on device" in capsys.readouterr().err


def test_results_count_as_delivered_when_the_tracker_has_closed(tmp_path, toy):
    with Trackers(tmp_path, _settings("wandb")) as trackers:
        trackers.deliver(_METRICS)
        assert json.loads((tmp_path / "trackers.json").read_text())["delivered"] == []
    assert json.loads((tmp_path / "trackers.json").read_text())["delivered"] == ["wandb"]


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "failed"), (KeyboardInterrupt, "interrupted"), (TrainingStopped, "interrupted")],
)
def test_a_run_that_ends_early_says_so(tmp_path, toy, error, status):
    with pytest.raises(error), Trackers(tmp_path, _settings("mlflow")) as trackers:
        trackers.scalars(1, {"loss": 2.0})
        raise error
    assert toy.made[0].told[-1] == ("close", status)


def test_only_the_chief_writes(tmp_path, toy):
    with Trackers(tmp_path, _settings("tensorboard,wandb,mlflow"), writes=False) as trackers:
        trackers.scalars(1, {"loss": 2.0})
        trackers.deliver(_METRICS)
    assert toy.made == [] and list(tmp_path.iterdir()) == []


def test_tensorboard_alone_leaves_no_identity(tmp_path, toy):
    with Trackers(tmp_path, _settings("tensorboard")) as trackers:
        trackers.scalars(1, {"loss": 2.0})
        trackers.deliver(_METRICS)
    assert list(tmp_path.iterdir()) == []
    assert [what[0] for what in toy.made[0].told] == ["open", "scalars", "close"]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_an_absent_package_is_an_error(monkeypatch, name):
    monkeypatch.setattr("tfcap.trackers.is_installed", lambda wanted: wanted != name)
    with pytest.raises(InputError, match=f"--tracker={name} needs {name}, which is not installed. pip install"):
        check_installed(_settings(f"tensorboard,{name}"))
    check_installed(_settings("tensorboard"))


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_folder_of_its_name_is_no_package(tmp_path, monkeypatch, name):
    (tmp_path / name / "latest-run").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # as if nothing were installed, with Python started there
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(InputError, match=f"{name}, which is not installed"):
        check_installed(_settings(name))
    (tmp_path / name / "__init__.py").touch()
    importlib.invalidate_caches()
    check_installed(_settings(name))


def test_an_unknown_tracker_is_an_error_that_lists_the_known():
    with pytest.raises(InputError, match="Unknown tracker.*tensorboard, wandb, mlflow"):
        _settings("tensorboard,comet")
