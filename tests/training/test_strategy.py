import json

import numpy as np
import pytest

from tfcap.errors import InputError
from tfcap.settings import TrainingSettings
from tfcap.training.strategy import Replicas, connect


class _Strategy:
    """As much of a strategy as `Replicas` asks before anything runs."""

    def __init__(self, count):
        self.num_replicas_in_sync = count


def test_one_device_gives_one_replica_that_writes():
    replicas = connect(TrainingSettings(strategy="single"))
    assert (replicas.count, replicas.worker, replicas.is_chief) == (1, (0, 1), True)
    batch = {"a": np.arange(6.0).reshape(3, 2)}
    np.testing.assert_array_equal(replicas.gather(replicas.split(batch)["a"]), batch["a"])
    replicas.barrier()


def test_multiworker_needs_a_cluster():
    with pytest.raises(InputError, match="--strategy=multiworker needs the environment variable TF_CONFIG"):
        connect(TrainingSettings(strategy="multiworker"))


@pytest.mark.parametrize("text", ["{", "[1]", '{"task": {"index": "first"}}'])
def test_a_wrong_tf_config_is_the_users_mistake(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError, match="TF_CONFIG is not valid"):
        connect(TrainingSettings())


def test_a_cluster_of_one_worker_is_no_cluster(monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}})
    )
    assert connect(TrainingSettings(strategy="auto")).worker == (0, 1)
    with pytest.raises(InputError, match="a cluster of two workers or more"):
        connect(TrainingSettings(strategy="multiworker"))


def test_a_cpu_in_use_cannot_be_divided():
    connect(TrainingSettings(strategy="single"))
    with pytest.raises(InputError, match=r"already in use .* Received: --virtual_devices=3\. .* fresh process"):
        connect(TrainingSettings(virtual_devices=3))


def test_a_batch_must_be_shared_equally():
    replicas = Replicas(_Strategy(4))
    replicas.check_batch_size("batch_size", 8)
    with pytest.raises(InputError, match=r"--batch_size cannot be shared equally\. Received: 6\. .* multiple of 4"):
        replicas.check_batch_size("batch_size", 6)
    assert [replicas.rounded_batch_size(size) for size in (1, 4, 5)] == [4, 4, 8]


def test_the_workers_shares_make_up_the_batch():
    batch = {"a": np.arange(12).reshape(6, 2)}
    shares = [Replicas(_Strategy(3), (index, 3)).share(batch)["a"] for index in range(3)]
    np.testing.assert_array_equal(np.concatenate(shares), batch["a"])
    assert [len(share) for share in shares] == [2, 2, 2]
    assert [Replicas(_Strategy(3), (index, 3)).is_chief for index in range(3)] == [True, False, False]


def test_gather_undoes_split_over_two_replicas(two_replicas):
    assert two_replicas["counts"] == [1, 2]
    found = two_replicas["split"]
    assert found["local"] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert found["whole"] == found["given"]
