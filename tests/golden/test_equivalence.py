"""Settings that must not change the numbers share one loss curve and one set of final parameters."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.golden.driver import CURVES, RECORDED
from tfcap.training import checkpoint

pytestmark = pytest.mark.timeout(1500)  # eight trainings, each of which XLA compiles anew

_REPOSITORY = Path(__file__).resolve().parents[2]
_KILLED_AT = {"0.0": 3, "0.3": 6}  # in the middle of the first and of the second of three epochs of four steps


def _drive(jobs, folder):
    """Runs one driver process; returns (exit code, what it printed by the jobs' names)."""
    command = [sys.executable, "-m", "tests.golden.driver", json.dumps(jobs)]
    done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(done.stderr[-3000:])
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {one.pop("name"): one for one in found}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{(variant, dropout): result} of all classes, from three processes, two of which end by a kill."""
    folder = tmp_path_factory.mktemp("golden")

    def job(variant, dropout, kill_at=None, **settings):
        settings = {"dropout": float(dropout), "data_dir": f"{folder}/data", "strategy": "single", **settings}
        name = f"{variant} {dropout}"
        return {"name": name, "run_dir": f"{folder}/{name}", "settings": settings, "kill_at": kill_at}

    def killed(dropout, kill_at=None):
        return job("killed", dropout, kill_at, checkpoint_every=1)

    first = [job("mirrored", d, virtual_devices=2, strategy="mirrored") for d in ("0.0", "0.3")]  # divides the CPU
    first += [job("single", d) for d in ("0.0", "0.3")] + [job("noxla", d, xla=False) for d in ("0.0", "0.3")]
    first += [job("shards", "0.0", data_dir=f"{folder}/shards", shards=2, xla=False)]
    codes, found = zip(
        _drive([*first, killed("0.3", _KILLED_AT["0.3"])], folder),
        _drive([killed("0.3"), killed("0.0", _KILLED_AT["0.0"])], folder),
        _drive([killed("0.0")], folder),
        strict=True,
    )
    assert codes == (-signal.SIGKILL, -signal.SIGKILL, 0)
    results = {name: result for one in found for name, result in one.items()}
    for name, result in results.items():
        result["parameters"] = load_file(checkpoint.find(folder / name) / "state.safetensors")
    return results


def _relative(found, expected):
    return float(np.max(np.abs(np.subtract(found, expected)) / np.abs(expected)))


def _differences(runs, one, other):
    """Returns the largest relative difference of the loss curves, and that of a parameter array in L2 norm."""
    ours, theirs = runs[one]["parameters"], runs[other]["parameters"]
    assert ours.keys() == theirs.keys()
    arrays = [name for name in ours if name.startswith("model/") and ours[name].any()]
    apart = max(np.linalg.norm(ours[name] - theirs[name]) / np.linalg.norm(theirs[name]) for name in arrays)
    return _relative(runs[one]["loss"], runs[other]["loss"]), float(apart)


@pytest.mark.parametrize("dropout", ["0.0", "0.3"])
@pytest.mark.parametrize("variant", ["mirrored", "noxla"])
def test_replicas_and_xla_change_neither_the_loss_curve_nor_the_parameters(runs, variant, dropout, record_property):
    loss, parameters = _differences(runs, f"{variant} {dropout}", f"single {dropout}")
    record_property("loss", loss)
    record_property("parameters", parameters)
    assert runs[f"{variant} {dropout}"]["steps"] == runs[f"single {dropout}"]["steps"] == 12
    assert loss < 1e-5 and parameters < 1e-3


def test_the_mirrored_run_did_have_two_replicas(runs):
    assert runs["mirrored 0.0"]["replicas"] == 2 and runs["single 0.0"]["replicas"] == 1


@pytest.mark.parametrize("dropout", ["0.0", "0.3"])
def test_a_killed_and_resumed_run_ends_where_the_uninterrupted_one_does(runs, dropout):
    assert runs[f"killed {dropout}"]["began"] == _KILLED_AT[dropout]
    loss, parameters = _differences(runs, f"killed {dropout}", f"single {dropout}")
    assert loss < 1e-6 and parameters < 1e-6


def test_the_number_of_shards_changes_nothing(runs):
    assert runs["shards 0.0"]["fingerprint"] == runs["noxla 0.0"]["fingerprint"]
    assert _differences(runs, "shards 0.0", "noxla 0.0") == (0.0, 0.0)


def test_dropout_changes_the_curve(runs):
    assert _relative(runs["single 0.3"]["loss"], runs["single 0.0"]["loss"]) > 1e-3


def test_the_loss_falls(runs):
    assert runs["single 0.0"]["loss"][-1] < 0.9 * runs["single 0.0"]["loss"][0]


@pytest.mark.parametrize("name", RECORDED)
def test_the_curve_is_the_recorded_one(runs, name):
    """Recorded on x86-64; `python -m tests.golden.driver --record` records it anew."""
    recorded = json.loads(CURVES.read_text())[name]
    found = runs[f"single {RECORDED[name]['dropout']}"]["loss"]
    assert _relative(found, recorded) < 1e-3
