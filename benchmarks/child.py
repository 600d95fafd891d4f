"""A process that waits, computes once for each line that it reads, and answers with a line of JSON."""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def answer(ways: Mapping[str, Callable[[], dict[str, Any]]]) -> None:
    """Answers until stdin ends; each line there names a way."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps({**ways[line.strip()](), "peak_memory_mib": peak_memory_mib()}), flush=True)


def peak_memory_mib() -> float:
    """Returns this program's largest resident size; `getrusage` would count the process that started it too."""
    return _resident("VmHWM")


class Memory:
    """What the program takes above what it holds when this is made (Linux); its largest size starts again then."""

    def __init__(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later would hide what is needed
        Path("/proc/self/clear_refs").write_text("5")
        self.before = _resident("VmRSS")

    def above(self) -> float:
        """Returns the largest size since then above the first, MiB."""
        return round(_resident("VmHWM") - self.before, 1)


def _resident(which: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))
