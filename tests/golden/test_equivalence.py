"""Settings that must not change the numbers share one loss curve and one set of final parameters.

Dropout is on in the fast half, because its draws are a function of seed, step and row: what holds with it holds
without. The slow half repeats the classes without dropout, and kills from outside.
"""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.golden.driver import CURVES, RECORDED
from tfcap.training import checkpoint

pytestmark = pytest.mark.timeout(1500)  # every training is compiled anew

_REPOSITORY = Path(__file__).resolve().parents[2]
_KILLED_AT = 6  # in the middle of the second of three epochs of four steps


def _job(folder, variant, dropout, kill_at=None, **settings):
    settings = {"dropout": dropout, "data_dir": f"{folder}/data", "strategy": "single", **settings}
    name = f"{variant}-{dropout}"
    return {"name": name, "run_dir": f"{folder}/{name}", "settings": settings, "kill_at": kill_at}


def _command(jobs):
    return [sys.executable, "-m", "tests.golden.driver", json.dumps(jobs)]


def _drive(jobs):
    """Runs one driver process; returns its exit code and what it printed, by the jobs' names."""
    done = subprocess.run(_command(jobs), cwd=_REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(done.stderr[-3000:])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {one.pop("name"): one for one in found}


def _with_parameters(found, folder):
    return {
        name: {**result, "parameters": load_file(checkpoint.find(folder / name) / "state.safetensors")}
        for name, result in found.items()
    }


def _classes(folder, dropout):
    mirrored = _job(folder, "mirrored", dropout, virtual_devices=2, strategy="mirrored")  # first: it divides the CPU
    return [mirrored, _job(folder, "single", dropout), _job(folder, "noxla", dropout, xla=False)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Results by "variant-dropout", from two processes; the first is killed in its last job, the second goes on."""
    folder = tmp_path_factory.mktemp("golden")
    shards = _job(folder, "shards", 0.3, data_dir=f"{folder}/shards", shards=2, xla=False)
    killed = _job(folder, "killed", 0.3, checkpoint_every=1, xla=False)
    code, found = _drive([*_classes(folder, 0.3), shards, {**killed, "kill_at": _KILLED_AT}])
    assert code == -signal.SIGKILL
    code, rest = _drive([killed])
    assert code == 0
    return _with_parameters({**found, **rest}, folder)


@pytest.fixture(scope="module")
def runs_without_dropout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    code, found = _drive(_classes(folder, 0.0))
    assert code == 0
    return _with_parameters(found, folder)


def _relative(found, expected):
    return float(np.max(np.abs(np.subtract(found, expected)) / np.abs(expected)))


def _differences(one, other):
    """Returns the largest relative difference of two loss curves, and that of a parameter array in L2 norm."""
    ours, theirs = one["parameters"], other["parameters"]
    assert ours.keys() == theirs.keys() and one["steps"] == other["steps"] == 12
    arrays = [name for name in theirs if name.startswith("model/")]
    apart = max(np.linalg.norm(ours[name] - theirs[name]) / np.linalg.norm(theirs[name]) for name in arrays)
    return _relative(one["loss"], other["loss"]), float(apart)


@pytest.mark.parametrize("variant", ["mirrored", "noxla"])
def test_replicas_and_xla_change_neither_the_loss_curve_nor_the_parameters(runs, variant, record_property):
    loss, parameters = _differences(runs[f"{variant}-0.3"], runs["single-0.3"])
    record_property("loss", loss)
    record_property("parameters", parameters)
    assert loss < 1e-5 and parameters < 1e-3
    assert (runs["mirrored-0.3"]["replicas"], runs["single-0.3"]["replicas"]) == (2, 1)


def test_a_killed_and_resumed_run_ends_where_the_uninterrupted_one_does(runs):
    assert runs["killed-0.3"]["began"] == _KILLED_AT
    loss, parameters = _differences(runs["killed-0.3"], runs["noxla-0.3"])
    assert loss < 1e-6 and parameters < 1e-6


def test_the_number_of_shards_changes_nothing(runs):
    assert runs["shards-0.3"]["fingerprint"] == runs["noxla-0.3"]["fingerprint"]
    loss, parameters = _differences(runs["shards-0.3"], runs["noxla-0.3"])
    assert loss < 1e-6 and parameters < 1e-6


def test_the_curve_is_the_recorded_one(runs):
    """`python -m tests.golden.driver --record` records it anew, after a change that is meant to change it."""
    recorded = json.loads(CURVES.read_text())["dropout 0.3"]
    assert recorded[-1] < 0.95 * recorded[0]
    assert _relative(runs["single-0.3"]["loss"], recorded) < 1e-3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("variant", ["mirrored", "noxla"])
def test_without_dropout_replicas_and_xla_change_nothing_either(runs_without_dropout, variant, record_property):
    loss, parameters = _differences(runs_without_dropout[f"{variant}-0.0"], runs_without_dropout["single-0.0"])
    record_property("loss", loss)
    record_property("parameters", parameters)
    assert loss < 1e-5 and parameters < 1e-3
    recorded = json.loads(CURVES.read_text())
    assert _relative(runs_without_dropout[f"{variant}-0.0"]["loss"], recorded["dropout 0"]) < 1e-3
    assert _relative(recorded["dropout 0"], recorded["dropout 0.3"]) > 1e-3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_killed_from_outside_at_a_random_step_ends_the_same(runs_without_dropout, tmp_path, seed):
    rng = random.Random(seed)
    job = _job(tmp_path, "killed", 0.0, checkpoint_every=1)
    latest, step = Path(job["run_dir"]) / "LATEST", f"step-{rng.randint(1, 10):08d}"
    process = subprocess.Popen(_command([job]), cwd=_REPOSITORY, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (latest.exists() and latest.read_text() >= step):
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.02))
    process.kill()
    assert process.wait() == -signal.SIGKILL
    code, found = _drive([job])
    assert code == 0 and found["killed-0.0"]["began"] >= int(step[-8:])
    killed = _with_parameters(found, tmp_path)["killed-0.0"]
    loss, parameters = _differences(killed, runs_without_dropout["single-0.0"])
    assert loss < 1e-6 and parameters < 1e-6


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_curve_has_a_value_an_epoch(name):
    assert len(json.loads(CURVES.read_text())[name]) == 3
