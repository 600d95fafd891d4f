"""The peak memory of one side of `benchmarks.gradient_norms`, in a process that runs nothing else (Linux).

python -m benchmarks.norm_memory '{"case": "lstm", "side": "ours_xla", "quick": false}'

Prints the MiB that three calls take above what the process held before the first, tracing and compiling included. With
`"batch": 512` in its argument, the LSTM and the ResNet take a batch of that size.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import json
import sys
from pathlib import Path

from benchmarks.gradient_norms import QUICK, Sizes, cases, sides

CALLS = 3


def main() -> None:
    """Measures and prints."""
    job = json.loads(sys.argv[1])
    sizes = QUICK if job["quick"] else Sizes()
    sizes = dataclasses.replace(sizes, batch=job.get("batch", sizes.batch))
    side = sides(cases(sizes)[job["case"]]())[job["side"]]
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later would hide what the calls need
    Path("/proc/self/clear_refs").write_text("5")  # the largest size starts again from the present one
    before = _resident("VmRSS")
    for _ in range(CALLS):
        side()
    print(round(_resident("VmHWM") - before, 1))


def _resident(which: str) -> float:
    """Returns the present (VmRSS) or largest (VmHWM) resident size of this program in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))


if __name__ == "__main__":
    main()
