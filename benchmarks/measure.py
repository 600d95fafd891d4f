"""What every benchmark shares: runs of both sides in turn, medians with their range, and one JSON object at the end."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import tensorflow as tf

Side = Callable[[], object]
REPOSITORY = Path(__file__).resolve().parents[1]


def parser(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser with the flags of every benchmark: `--quick` and `--repeats`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="small sizes; ends within a minute on two cores")
    made.add_argument("--repeats", type=int, default=0, help="measured runs of each side (0: as the benchmark says)")
    return made


def say(text: str) -> None:
    """Shows progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def interleaved(sides: Mapping[str, Side], repeats: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Returns the wall seconds of each side, run in turn (A B A B ...) so that a machine's drift falls on all alike.

    Args:
      repeats: measured runs of each side.
      warm_up: runs of each side before, not measured.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(-warm_up, repeats):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            if round_number >= 0:
                seconds[name].append(time.perf_counter() - began)
        say(f"round {round_number + 1} of {repeats}" if round_number >= 0 else "warmed up")
    return seconds


@contextlib.contextmanager
def child(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """Yields a process that answers each line with a line of JSON, once its first line says that it is ready."""
    with subprocess.Popen(
        list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as process:
        try:
            _line(process)
            yield process
        finally:
            process.communicate()


def asking(process: subprocess.Popen[str], way: str, answers: dict[str, dict[str, Any]], name: str) -> Side:
    """Returns a side that has a child compute once, and keeps what it answered under a name."""

    def run() -> None:
        if process.stdin is None:
            raise RuntimeError("the process has no pipes")
        process.stdin.write(f"{way}\n")
        process.stdin.flush()
        answers[name] = _line(process)

    return run


def _line(process: subprocess.Popen[str]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise SystemExit(f"error: a process of the benchmark ended with code {process.wait()}")
    return json.loads(line)


def summary(values: Sequence[float], unit: str) -> dict[str, Any]:
    """Returns the median, minimum and maximum of repeated measurements."""
    return {
        "unit": unit,
        "median": _rounded(statistics.median(values)),
        "minimum": _rounded(min(values)),
        "maximum": _rounded(max(values)),
        "runs": len(values),
    }


def case(measured: Mapping[str, Sequence[float]], unit: str, ratios: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Returns the summary of each side and `<ours>_over_<theirs>`, the ratio of their medians, for each pair."""
    found: dict[str, Any] = {name: summary(values, unit) for name, values in measured.items()}
    for ours, theirs in ratios:
        found[f"{ours}_over_{theirs}"] = _rounded(found[ours]["median"] / found[theirs]["median"])
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def report(name: str, quick: bool, sizes: Mapping[str, Any], cases: Mapping[str, Any], **more: Any) -> None:
    """Prints the benchmark's one JSON object, as the last line of stdout."""
    found = {
        "benchmark": name,
        "quick": quick,
        "sizes": dict(sizes),
        "cases": dict(cases),
        **more,
        "peak_memory_mib": peak_memory_mib(),
        "versions": versions(),
        "machine": machine(),
    }
    print(json.dumps(found, allow_nan=False), flush=True)


def peak_memory_mib() -> float:
    """Returns the largest resident size that this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def versions() -> dict[str, str]:
    """Returns the versions that a figure depends on, and the commit that was measured."""
    import tfcap

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    packages = {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")}
    return {
        "tfcap": tfcap.__version__,
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        **packages,
    }


def machine() -> dict[str, Any]:
    """Returns what the figures were measured on; `load` is the mean number of running processes of the last minute."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": [_gpu_name(gpu) for gpu in tf.config.list_physical_devices("GPU")],
        "load": round(os.getloadavg()[0], 2),
    }


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _gpu_name(gpu: Any) -> str:
    return str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
