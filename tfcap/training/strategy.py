"""Where a step runs: one device, several of one machine, or several machines, behind one small interface."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.errors import InputError
from tfcap.settings import TrainingSettings


class Replicas:
    """A distribution strategy, and how batches reach its replicas and results come back.

    Attributes:
      strategy: the tf.distribute strategy; the default one for a single device.
      worker: (index, count) of this process.
      count: replicas over all workers.
    """

    def __init__(self, strategy: tf.distribute.Strategy, worker: tuple[int, int] = (0, 1)) -> None:
        self.strategy, self.worker = strategy, worker
        self.count = strategy.num_replicas_in_sync
        # As functions, because an eager collective is traced anew at every call.
        self._gathered = tf.function(lambda values: strategy.gather(values, axis=0))
        self._met = tf.function(lambda: strategy.run(_sum_over_replicas))

    @property
    def is_chief(self) -> bool:
        """True in the one process that writes."""
        return self.worker[0] == 0

    def check_batch_size(self, name: str, batch_size: int) -> None:
        """Raises InputError unless the batch can be shared equally."""
        if batch_size % self.count:
            raise InputError(
                f"--{name} cannot be shared equally",
                received=batch_size,
                expected=f"a multiple of {self.count}, the number of replicas",
            )

    def rounded_batch_size(self, batch_size: int) -> int:
        """Returns the smallest batch size from `batch_size` on that can be shared equally."""
        return -(-batch_size // self.count) * self.count

    def split(self, batch: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns a batch of this worker as one value per replica: [B, ...] -> B / local replicas each."""
        local = self.count // self.worker[1]
        first = self.worker[0] * local

        def part(array: np.ndarray) -> Any:
            if self.count == 1:
                return tf.convert_to_tensor(array)
            size = len(array) // local
            return self.strategy.experimental_distribute_values_from_function(
                lambda context: tf.convert_to_tensor(
                    array[
                        (context.replica_id_in_sync_group - first) * size : (
                            context.replica_id_in_sync_group - first + 1
                        )
                        * size
                    ]
                )
            )

        return {name: part(array) for name, array in batch.items()}

    def share(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns this worker's share of a batch that every worker holds whole."""
        index, count = self.worker
        return {
            name: array[index * len(array) // count : (index + 1) * len(array) // count]
            for name, array in batch.items()
        }

    def barrier(self) -> None:
        """Returns when every worker has called it."""
        if self.worker[1] > 1:
            self.strategy.experimental_local_results(self._met())[0].numpy()

    def gather(self, values: Any) -> np.ndarray:
        """Returns the replicas' results, each [b, ...], put together in order: [B, ...]."""
        return values.numpy() if self.count == 1 else self._gathered(values).numpy()


def _sum_over_replicas() -> tf.Tensor:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0))


def connect(settings: TrainingSettings) -> Replicas:
    """Returns the replicas that the settings ask for. Call it before anything else of TensorFlow is used.

    `auto` is multiworker where TF_CONFIG names several workers, mirrored where there are several devices, else single.
    """
    if settings.virtual_devices:
        _divide_cpu(settings.virtual_devices)
    workers = _workers()
    kind = settings.strategy
    if kind == "multiworker" or (kind == "auto" and workers[1] > 1):
        if workers[1] < 2:
            raise InputError(
                "--strategy=multiworker needs the environment variable TF_CONFIG",
                expected="a cluster of two workers or more",
            )
        # Collectives must be set up before devices are, and asking for a list of devices sets them up.
        return Replicas(tf.distribute.MultiWorkerMirroredStrategy(), workers)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if kind == "auto":
        kind = "mirrored" if len(devices) > 1 else "single"
    if kind == "mirrored":
        return Replicas(tf.distribute.MirroredStrategy([device.name for device in devices]))
    return Replicas(tf.distribute.get_strategy())


def _divide_cpu(count: int) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")[:1]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise InputError(
                "The CPU was already in use when it was to be divided",
                received=f"--virtual_devices={count}",
                remedy="Ask for it in a fresh process.",
            ) from None


def _workers() -> tuple[int, int]:
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        return int(config.get("task", {}).get("index", 0)), max(1, len(config.get("cluster", {}).get("worker", [])))
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"TF_CONFIG is not valid ({error})", expected="the JSON that tf.distribute documents"
        ) from None
