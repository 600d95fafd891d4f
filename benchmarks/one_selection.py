"""One selector over one memory-mapped array, in a process that holds nothing else, so that its peak memory is its own.

python -m benchmarks.one_selection '{"selector": "herding", "folder": ..., "budget": 100, "repeats": 3}'
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

from tfcap import registry
from tfcap.selection import Selector, Signals
from tfcap.selection.class_balanced import ClassBalanced

BALANCED = "class_balanced random"


def made(name: str) -> Selector:
    """Returns the selector with its published options; mixed is half hardest and half random."""
    if name == BALANCED:
        return ClassBalanced(made("random"))
    parts = {"parts": ((made("loss"), 0.5), (made("random"), 0.5))} if name == "mixed" else {}
    return registry.SELECTORS[name](**parts)


def signals(folder: Path) -> Signals:
    """Returns signals that differ between examples, all from the embeddings that lie in the folder."""
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    rng = np.random.default_rng(1)
    score = rng.lognormal(size=len(embeddings)).astype(np.float32)
    return Signals(
        np.arange(len(embeddings)),
        dict.fromkeys(("loss", "gradient_norm", "el2n", "forgetting"), score),
        embeddings,
        sketches=embeddings,
        target_sketches=rng.normal(size=[100, embeddings.shape[1]]),
        target_groups=np.arange(100) % 5,
        labels=np.arange(len(embeddings)) % 10,
    )


def main() -> None:
    """Measures and prints."""
    job = json.loads(sys.argv[1])
    selector, given, seconds = made(job["selector"]), signals(Path(job["folder"])), []
    for _ in range(job["repeats"]):
        began = time.perf_counter()
        selector(given, job["budget"], np.random.default_rng(0))
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": seconds, "peak_memory_mib": round(peak_memory_mib(), 1)}))


def peak_memory_mib() -> float:
    """Returns the largest resident size of this program; getrusage on Linux counts that of the parent too."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
