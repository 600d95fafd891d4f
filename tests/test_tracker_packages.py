"""Weights & Biases and MLflow themselves, where they are installed: offline files and an SQLite store."""

import json
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest

from tfcap.settings import Settings
from tfcap.trackers import Trackers

_METRICS = {"CIDEr": {"value": 1.5, "low": 1.25, "high": 1.75}}
_PICTURE = np.zeros((8, 8, 3), np.uint8)


def _run(folder, name, step, finished):
    with Trackers(folder, Settings().replace(tracker=name)) as trackers:
        trackers.scalars(step, {"loss": 2.0, "val_CIDEr": 0.5})
        trackers.picture(step, "validation/captions", _PICTURE)
        if finished:
            trackers.deliver(_METRICS)
    assert trackers.failed == {}


# The packages' own warnings are not ours to mend.
@pytest.mark.filterwarnings("ignore")
def test_mlflow_goes_on_with_its_run(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "one"
    _run(folder, "mlflow", 10, finished=False)
    _run(folder, "mlflow", 20, finished=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("tfcap").experiment_id])
    assert (run.info.run_name, run.info.status) == ("one", "FINISHED")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "validation/CIDEr")] == [10, 20]
    assert run.data.metrics["test/CIDEr_low"] == 1.25 and run.data.params["learning_rate"] == "0.001"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs"]  # nothing where the command happened to stand


@pytest.mark.filterwarnings("ignore")
def test_mlflow_says_nothing_of_its_tables(tmp_path, monkeypatch):
    """In a process of its own, since importing it sets its level once."""
    pytest.importorskip("mlflow")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_LOGGING_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    call = f"_run(Path({str(tmp_path / 'one')!r}), 'mlflow', 1, True)"
    code = f"from pathlib import Path; from tests.test_tracker_packages import _run; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (tmp_path / "mlflow.db").exists()
    assert "INFO" not in done.stderr + done.stdout


def _side_by_side(folder, barrier):
    import mlflow  # noqa: F401 - its import takes a while, and they are to begin together

    barrier.wait()
    _run(folder, "mlflow", 1, finished=True)


@pytest.mark.filterwarnings("ignore")
def test_runs_side_by_side_share_mlflow_s_new_store(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    cells = [context.Process(target=_side_by_side, args=(tmp_path / f"run-{n}", barrier)) for n in range(3)]
    for cell in cells:
        cell.start()
    for cell in cells:
        cell.join(300)
    assert [cell.exitcode for cell in cells] == [0, 0, 0]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tfcap").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["run-0", "run-1", "run-2"]


@pytest.mark.filterwarnings("ignore")
def test_mlflow_without_its_server_is_left_out(tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with Trackers(tmp_path, Settings().replace(tracker="mlflow")) as trackers:
        trackers.scalars(1, {"loss": 2.0})
    assert list(trackers.failed) == ["mlflow"]
    assert "warning: the tracker mlflow failed" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_offline_with_one_id(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name in ("WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "one"
    folder.mkdir()
    _run(folder, "wandb", 10, finished=False)
    _run(folder, "wandb", 20, finished=True)
    identity = json.loads((folder / "trackers.json").read_text())["identity"]
    written = list(folder.glob(f"wandb/offline-run-*-{identity}/run-{identity}.wandb"))
    assert written and all(path.stat().st_size > 0 for path in written)
    folders = [str(path.parent) for path in written]
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", *folders]  # as the README has it
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert all(path.name in said.stdout + said.stderr for path in written)
