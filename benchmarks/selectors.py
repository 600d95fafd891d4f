"""Seconds and peak memory of every selector as the data grow, over memory-mapped embeddings.

    python -m benchmarks.selectors [--quick] [--fraction=0.01]

Each selector and size has a process of its own; its peak memory counts the pages of the embeddings that it has read.
`growth` is the exponent p of seconds ~ N^p between sizes, the budget being a fixed part of N. A selector that would
need more than LIMIT multiplications is skipped, and its case says so. k_center also keeps half of as many images as
COCO has. Where there is another way to the same result, both sides are measured in turn: plain greedy for k_center and
facility_location, scikit-learn for k_means.
"""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from benchmarks import measure
from benchmarks.one_selection import BALANCED
from tfcap import registry
from tfcap.selection import Signals
from tfcap.selection.facility_location import FacilityLocation
from tfcap.selection.k_center import KCenter
from tfcap.selection.k_means import KMeansPrototypes

DIMENSIONS = 512
COCO = 118_000  # images of its train split
LIMIT = 1e13  # multiplications: some minutes of two cores

# Multiplications of a selector, by the number of examples and the budget; the others need about N times DIMENSIONS.
MULTIPLICATIONS: dict[str, Callable[[int, int], float]] = {
    "herding": lambda count, budget: 20 * count * budget * DIMENSIONS,  # those that wait for memory count 20 times
    "k_center": lambda count, budget: count * budget * DIMENSIONS,
    "k_means": lambda count, budget: 10 * count * budget * DIMENSIONS,
    "facility_location": lambda count, budget: count**2 * DIMENSIONS,
    "deduplication": lambda count, budget: 10 * count**1.5 * DIMENSIONS,
    "d2": lambda count, budget: count**2 * DIMENSIONS,
}


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--fraction", type=float, default=0, help="kept part (0: 0.01, or 0.1 with --quick)")
    arguments = parser.parse_args()
    quick = arguments.quick
    counts = (500, 1000) if quick else (10_000, 100_000, 1_000_000)
    fraction, repeats = arguments.fraction or (0.1 if quick else 0.01), arguments.repeats or 3
    half = 2000 if quick else COCO
    cases: dict[str, Any] = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            write_embeddings(Path(folder), count)
            for name in (*registry.SELECTORS, BALANCED):
                cases[f"{name}_n{count}"] = selection(name, Path(folder), count, int(fraction * count), repeats)
    with tempfile.TemporaryDirectory() as folder:
        write_embeddings(Path(folder), half)
        cases["k_center_half"] = selection("k_center", Path(folder), half, half // 2, repeats)
    cases |= references(300 if quick else 2000, repeats)
    sizes = {"counts": counts, "dimensions": DIMENSIONS, "fraction": fraction, "half_of": half}
    measure.report("selectors", quick, sizes, cases, growth=growth(cases, counts))


def write_embeddings(folder: Path, count: int) -> None:
    """Writes float32 [count, DIMENSIONS] in clusters, block by block."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=[100, DIMENSIONS])
    array = np.lib.format.open_memmap(folder / "embeddings.npy", "w+", np.float32, (count, DIMENSIONS))
    for start in range(0, count, 10_000):
        rows = slice(start, min(start + 10_000, count))
        shape = [rows.stop - rows.start, DIMENSIONS]
        array[rows] = centres[rng.integers(0, 100, shape[0])] + rng.normal(size=shape)
    array.flush()


def selection(name: str, folder: Path, count: int, budget: int, repeats: int) -> dict[str, Any]:
    """Returns the seconds and peak memory of a selector in a process of its own, or why it was skipped."""
    needed = MULTIPLICATIONS[name](count, budget) if name in MULTIPLICATIONS else 0.0
    if needed > LIMIT:
        return {"skipped": f"about {needed:.0e} multiplications, above {LIMIT:.0e}"}
    job = {"selector": name, "folder": str(folder), "budget": budget, "repeats": repeats}
    command = [sys.executable, "-m", "benchmarks.one_selection", json.dumps(job)]
    done = subprocess.run(command, cwd=measure.REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-1000:]}")
    found = json.loads(done.stdout)
    measure.say(f"{name}, {budget} of {count}: {min(found['seconds']):.3g} s, {found['peak_memory_mib']} MiB")
    seconds = measure.summary(found["seconds"], "s")
    return {"selection": seconds, "budget": budget, "peak_memory_mib": found["peak_memory_mib"]}


def growth(cases: dict[str, Any], counts: Sequence[int]) -> dict[str, dict[str, float]]:
    """Returns by selector the exponent of its seconds between each size and the next."""
    found: dict[str, dict[str, float]] = {}
    for name, (small, large) in itertools.product((*registry.SELECTORS, BALANCED), itertools.pairwise(counts)):
        pair = [cases[f"{name}_n{count}"].get("selection") for count in (small, large)]
        if all(pair):
            exponent = math.log(pair[1]["median"] / pair[0]["median"]) / math.log(large / small)
            found.setdefault(name, {})[f"{small}_to_{large}"] = round(exponent, 2)
    return found


def references(count: int, repeats: int) -> dict[str, Any]:
    """Returns both sides of the selectors that have another way to the same result.

    They keep a tenth of `count` images, but for k_center, which keeps half of five times as many.
    """
    rng = np.random.default_rng
    points = rng(2).normal(size=[count, DIMENSIONS]).astype(np.float32)
    signals, budget = Signals(np.arange(count), embeddings=points), count // 10
    more_points = rng(3).normal(size=[5 * count, DIMENSIONS]).astype(np.float32)
    more, half = Signals(np.arange(5 * count), embeddings=more_points), 5 * count // 2
    pairs: dict[str, tuple[str, measure.Side, str, measure.Side]] = {
        "k_center_reference": (
            *("blocks", lambda: KCenter()(more, half, rng(0))),
            *("plain_greedy", lambda: plain_k_center(more_points, half, int(rng(0).integers(5 * count)))),
        ),
        "facility_location_reference": (
            *("lazy_greedy", lambda: FacilityLocation(neighbours=count)(signals, budget, rng(0))),
            *("plain_greedy", lambda: plain_facility_location(points, budget)),
        ),
        "k_means_reference": (
            *("prototypes", lambda: KMeansPrototypes()(signals, budget, rng(0))),
            *("scikit_learn", lambda: KMeans(budget, n_init=1, random_state=0).fit(points)),
        ),
    }
    cases = {}
    for name, (ours, our_side, theirs, their_side) in pairs.items():
        measure.say(name)
        seconds = measure.interleaved({ours: our_side, theirs: their_side}, repeats)
        cases[name] = measure.case(seconds, "s", [(ours, theirs)])
    return cases


def plain_k_center(points: np.ndarray, budget: int, first: int) -> list[int]:
    """Returns k_center's order, reading all points for each centre."""
    length, distance = np.einsum("nd,nd->n", points, points), np.full(len(points), np.inf, np.float32)
    kept = [first]
    while len(kept) < budget:
        distance = np.minimum(distance, length - 2 * (points @ points[kept[-1]]) + length[kept[-1]])
        distance[kept[-1]] = -1
        kept.append(int(distance.argmax()))
    return kept


def plain_facility_location(points: np.ndarray, budget: int) -> list[int]:
    """Returns facility location's order, evaluating every example at every step."""
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    similarity, best, kept = np.maximum(unit @ unit.T, 0), np.zeros(len(points), np.float32), list[int]()
    while len(kept) < budget:
        gains = np.maximum(similarity - best, 0).sum(axis=1)
        gains[kept] = -1
        kept.append(int(gains.argmax()))
        best = np.maximum(best, similarity[kept[-1]])
    return kept


if __name__ == "__main__":
    main()
