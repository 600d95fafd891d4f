"""Two processes on one machine, joined by MultiWorkerMirroredStrategy, give the single process's numbers."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.golden.driver import TOY
from tests.training.toy import FEATURES, ToyRecords
from tfcap.data.pipeline import Captions, Inputs, TrainingBatches
from tfcap.data.text import WordTokenizer

_REPOSITORY = Path(__file__).resolve().parents[2]


def _flags(folder, run, **values):
    short = {"beams": 1, "bootstrap_resamples": 10, "java": "never", "samples": 1, "eval_batch_size": 3}
    settings = {**TOY, **short, "data_dir": folder / "data", "run_dir": folder / run, **values}
    words = [f"--{name}={value}" for name, value in settings.items() if not isinstance(value, bool)]
    return words + [f"--{'' if value else 'no'}{name}" for name, value in settings.items() if isinstance(value, bool)]


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _finish(processes):
    for process in processes:
        said = process.communicate(timeout=280)[1]
        assert process.returncode == 0, said[-3000:]


def _start(report, flags, **environment):
    command = [sys.executable, "-m", "tests.golden.audited_main", str(report), *flags]
    return subprocess.Popen(
        command, cwd=_REPOSITORY, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("selector", ["random", "gradient_norm"])
def test_two_workers_train_as_one_and_the_chief_alone_writes(tmp_path, selector):
    more = {"selector": selector, "proxy_epochs": 1, "dropout": 0.3, "xla": False, "export": selector == "random"}
    more |= {"track": "loss,gradient_norm,forgetting,aum"} if selector == "random" else {}
    _finish([_start(tmp_path / "single.txt", _flags(tmp_path, "single", strategy="single", **more))])
    workers = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    clusters = [
        json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}) for index in range(2)
    ]
    flags = _flags(tmp_path, "workers", strategy="multiworker", **more)
    _finish([_start(tmp_path / f"{index}.txt", flags, TF_CONFIG=text) for index, text in enumerate(clusters)])

    single, both = (json.loads((tmp_path / run / "history.json").read_text()) for run in ("single", "workers"))
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(both[name], single[name], rtol=1e-5)
    np.testing.assert_allclose(both["val_loss"][-1], single["val_loss"][-1], rtol=1e-5)
    assert both["steps"] == single["steps"] == 12
    assert len(json.loads((tmp_path / "workers" / "captions.json").read_text())) == 4
    if selector == "gradient_norm":
        scores = [np.load(tmp_path / run / "scores" / "gradient_norm.npy") for run in ("single", "workers")]
        np.testing.assert_allclose(scores[1], scores[0], rtol=1e-4)

    if selector == "random":
        for name in more["track"].split(","):
            one, two = (np.load(tmp_path / run / "dynamics" / f"{name}.npy") for run in ("single", "workers"))
            assert one.shape == (3, 32) and (np.isfinite(one).sum(axis=1) == 28).all()
            np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-4, err_msg=name)

    def written(name):
        return [line for line in (tmp_path / f"{name}.txt").read_text().splitlines() if str(tmp_path) in line]

    assert any("metrics.json" in path for path in written(0))
    assert written(1) == []
    assert len(list((tmp_path / "workers" / "tensorboard").iterdir())) == 1
    assert not list(tmp_path.rglob("*.partial*"))


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_workers_shares_of_each_batch_make_up_the_single_batch(workers):
    records = ToyRecords(22)
    features = np.random.default_rng(0).normal(size=(22, FEATURES)).astype(np.float32)
    tokenizer = WordTokenizer(["<pad>", "<begin>", "<end>", "<unk>", "word0", "word1", "and"], max_tokens=6)
    inputs, captions = Inputs(records, 16, features=features), Captions(records, tokenizer)

    def epoch(worker):
        return list(TrainingBatches(inputs, captions, np.arange(22), 8, seed=5, worker=worker).epoch(1))

    shares = [epoch((index, workers)) for index in range(workers)]
    for number, whole in enumerate(epoch((0, 1))):
        for name, array in whole.items():
            found = np.concatenate([share[number][name] for share in shares])
            np.testing.assert_array_equal(found, array, err_msg=name)
