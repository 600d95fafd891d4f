"""Parts of this machine for processes that run at once: cores and GPUs."""

from __future__ import annotations

import dataclasses
import os
import platform
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

from tfcap.errors import InputError


@dataclasses.dataclass(frozen=True)
class Part:
    """What one of several processes may use.

    Attributes:
      cores: by number; none where the system does not bind processes to cores.
      gpus: as CUDA_VISIBLE_DEVICES names them; none on a machine without.
    """

    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()


def parts_of(jobs: int, cores: Sequence[int], gpus: Sequence[str]) -> list[Part]:
    """Returns a part for each of `jobs` processes; no two share a GPU, nor a core while there are enough.

    Raises:
      InputError: there are GPUs, and fewer than processes.
    """
    if gpus and jobs > len(gpus):
        raise InputError(
            "--jobs is more than there are GPUs",
            received=jobs,
            expected=f"at most {len(gpus)}",
            remedy="Two processes on one GPU would run out of its memory; CUDA_VISIBLE_DEVICES='' leaves it unused.",
        )
    return [Part(_share(cores, part, jobs) or tuple(cores), _share(gpus, part, jobs)) for part in range(jobs)]


def _share(several: Sequence[Any], part: int, parts: int) -> tuple[Any, ...]:
    return tuple(several[part * len(several) // parts : (part + 1) * len(several) // parts])


def cores() -> list[int]:
    """Returns the cores that this process may use; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if platform.system() == "Linux" else []


def gpus() -> list[str]:
    """Returns the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import tfcap.quiet  # noqa: F401

    import tensorflow as tf

    several = len(tf.config.list_physical_devices("GPU"))
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (named or [str(number) for number in range(several)])[:several]


def start(command: Sequence[str], part: Part, log: Any) -> subprocess.Popen[bytes]:
    """Starts a process on its part of the machine, which on Linux ends with this one; its output goes to a file."""
    devices = {"CUDA_VISIBLE_DEVICES": ",".join(part.gpus)} if part.gpus else {}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **devices},
        preexec_fn=(lambda: _settle(part.cores)) if platform.system() == "Linux" else None,
    )


def _settle(of_part: Sequence[int]) -> None:
    import ctypes

    os.sched_setaffinity(0, of_part)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
