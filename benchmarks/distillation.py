"""One outer step of trajectory matching against plain PyTorch: time, peak memory, and how both grow.

    python -m benchmarks.distillation [--quick] [--settings=features,pixels] [--xla=features]
                                                                                    (pip install torch==2.13.0)

A step unrolls a student's descent on all pairs and gives the loss and its gradients at the pairs and at the rates.
Sides: `plain` keeps all inner steps, `low_memory` computes each again on the way back, `torch` keeps all, by
`create_graph`. Each has a process of its own for each size, which waits while another side runs. Memory is what the
process takes above what it held before the first step, tracing and compiling included. Before anything is timed, loss
and gradients must agree. Settings: projections on features; a small NF-ResNet on pixels. `--xla` names those that XLA
compiles.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from benchmarks import measure
from benchmarks.distillation_case import result

SIDES = {"plain": "tfcap", "low_memory": "tfcap", "torch": "torch"}  # ours first: it makes the parameters
_RATIOS = [("plain", "torch"), ("low_memory", "torch"), ("low_memory", "plain")]
_MOST_APART = 1e-2  # of the largest gradient; float32, through many steps


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured: every number of pairs with the middle one of steps, and the other way round.

    Attributes:
      image, text, projection: D, E and P.
      side: of pictures; 0 where images are features.
    """

    image: int = 1280
    text: int = 384
    projection: int = 512
    side: int = 0
    pairs: tuple[int, ...] = (50, 100, 200)
    inner_steps: tuple[int, ...] = (4, 8, 16)

    def points(self) -> list[tuple[int, int]]:
        """Returns pairs and inner steps of each measurement."""
        middle = self.pairs[len(self.pairs) // 2], self.inner_steps[len(self.inner_steps) // 2]
        found = [(pairs, middle[1]) for pairs in self.pairs] + [(middle[0], steps) for steps in self.inner_steps]
        return sorted(set(found))


SETTINGS = {"features": Sizes(), "pixels": Sizes(side=32)}
_QUICK = {
    "features": Sizes(64, 32, 16, 0, (4, 8), (2,)),
    "pixels": Sizes(64, 32, 16, 16, (2,), (2,)),
}


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--settings", default=",".join(SETTINGS), help="comma-separated names of settings")
    parser.add_argument("--xla", default="features", help="comma-separated names of those compiled by XLA")
    arguments = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        raise SystemExit("error: torch not installed. pip install torch==2.13.0")
    repeats = arguments.repeats or (3 if arguments.quick else 5)
    compiled = arguments.xla.split(",") if arguments.xla else []
    settings = arguments.settings.split(",")
    unknown = [name for name in [*settings, *compiled] if name not in SETTINGS]
    if unknown:
        raise SystemExit(f"error: no setting {unknown[0]!r}. Expected some of {','.join(SETTINGS)}.")
    cases: dict[str, Any] = {}
    growth: dict[str, Any] = {}
    chosen = {name: (_QUICK if arguments.quick else SETTINGS)[name] for name in settings}
    for name, sizes in chosen.items():
        found = {}
        for pairs, steps in sizes.points():
            case = f"{name}_p{pairs}_s{steps}"
            measure.say(case)
            found[pairs, steps] = cases[case] = measured(sizes, pairs, steps, name in compiled, repeats)
        growth[name] = _growth(found)
    measure.report(
        "distillation",
        arguments.quick,
        {name: dataclasses.asdict(sizes) | {"xla": name in compiled} for name, sizes in chosen.items()},
        cases,
        growth=growth,
    )


def measured(sizes: Sizes, pairs: int, steps: int, xla: bool, repeats: int) -> dict[str, Any]:
    """Returns milliseconds of a step of each side, their memory, the ratios, and how far the sides are apart."""
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        sides: dict[str, measure.Side] = {}
        for side, library in SIDES.items():
            job = dataclasses.asdict(sizes) | {"pairs": pairs, "inner_steps": steps, "xla": xla}
            job |= {"way": side, "folder": folder, "threads": measure.cores()}
            command = [sys.executable, "-m", f"benchmarks.distillation_{library}", json.dumps(job)]
            sides[side] = measure.asking(stack.enter_context(measure.child(command)), "step", answers, side)
            sides[side]()
        apart = {side: _apart(Path(folder), side) for side in SIDES if side != "torch"}
        if max(max(one.values()) for one in apart.values()) > _MOST_APART:
            raise SystemExit(f"error: the sides differ: {apart}")
        seconds = measure.interleaved(sides, repeats)
    memory = {side: answers[side]["memory_mib"] for side in SIDES}
    memory |= {f"{ours}_over_{theirs}": round(memory[ours] / memory[theirs], 4) for ours, theirs in _RATIOS}
    return {
        **measure.case({name: [1000 * value for value in found] for name, found in seconds.items()}, "ms", _RATIOS),
        "memory_mib": memory,
        "peak_memory_mib": {side: round(answers[side]["peak_memory_mib"], 1) for side in SIDES},
        "largest_relative_difference": apart,
    }


def _apart(folder: Path, side: str) -> dict[str, float]:
    """Returns how far loss and gradients are from PyTorch's, over the largest of each."""
    with np.load(result(folder, side)) as ours, np.load(result(folder, "torch")) as theirs:
        return {name: float(np.abs(ours[name] - theirs[name]).max() / np.abs(theirs[name]).max()) for name in theirs}


def _growth(found: dict[tuple[int, int], dict[str, Any]]) -> dict[str, Any]:
    """Returns the exponents of time and memory in the number of pairs and of inner steps, where there are several."""
    growth: dict[str, Any] = {}
    middle = max(found, key=lambda point: sum(point[0] == one[0] or point[1] == one[1] for one in found))
    for axis, name in enumerate(("pairs", "inner_steps")):
        points = sorted(point for point in found if point[1 - axis] == middle[1 - axis])
        if len(points) < 2:
            continue
        sizes = [point[axis] for point in points]
        growth[name] = {
            side: {
                "time": _exponent(sizes, [found[point][side]["median"] for point in points]),
                "memory": _exponent(sizes, [found[point]["memory_mib"][side] for point in points]),
            }
            for side in SIDES
        }
    return growth


def _exponent(sizes: list[int], values: list[float]) -> float:
    return round(float(np.polyfit(np.log(sizes), np.log(values), 1)[0]), 3)


if __name__ == "__main__":
    main()
