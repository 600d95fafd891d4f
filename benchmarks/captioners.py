"""Captioners at base shape against PyTorch's on the same weights and pictures: a training step, and beam search.

    python -m benchmarks.captioners [--quick] [--cases=vit_gpt2,git,clip_gpt2]     (pip install torch==2.13.0)

transformers makes the weights, random, and writes them as a folder that both sides read. Each side has a process of its
own, which waits while the other computes. A step trains all weights; a caption is searched with 3 beams, none of which
ends before the last token, so that both sides do the same work.
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

CASES = ("vit_gpt2", "git", "clip_gpt2")
_WAYS = ("step", "generate")
_MODULES = {"tfcap": "benchmarks.captioners_tfcap", "torch": "benchmarks.captioners_torch"}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured; `quick` takes a captioner of a few million weights."""

    batch: int = 8
    tokens: int = 21  # of a caption, the begin mark included
    beams: int = 3
    prefix: int = 10
    tiny: bool = False


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated names of captioners")
    arguments = parser.parse_args()
    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(f"error: {' and '.join(missing)} not installed. pip install torch==2.13.0 transformers")
    repeats = arguments.repeats or (2 if arguments.quick else 5)
    sizes = Sizes(batch=2, tokens=9, tiny=True) if arguments.quick else Sizes()
    found = {}
    for name in arguments.cases.split(","):
        if name not in CASES:
            raise SystemExit(f"error: no case {name!r}. Expected some of {','.join(CASES)}.")
        measure.say(name)
        found[name] = measured(name, sizes, repeats)
    measure.report("captioners", arguments.quick, dataclasses.asdict(sizes), found)


def measured(name: str, sizes: Sizes, repeats: int) -> dict[str, Any]:
    """Returns milliseconds an image of each way and side, their ratios, the peaks, and whether the captions agree."""
    answers: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        job = json.dumps({"case": name, "folder": folder, "threads": measure.cores(), **dataclasses.asdict(sizes)})
        # PyTorch first: it makes the weights.
        children = {
            side: stack.enter_context(measure.child([sys.executable, "-m", _MODULES[side], job]))
            for side in ("torch", "tfcap")
        }
        seconds: dict[str, list[float]] = {}
        for way in ("generate", "step"):  # captions first: a step changes the weights
            sides = {
                f"{way}_{side}": measure.asking(children[side], way, answers, f"{way}_{side}") for side in children
            }
            seconds |= measure.interleaved(sides, repeats)
    milliseconds = {key: [1000 * value / sizes.batch for value in values] for key, values in seconds.items()}
    ratios = [(f"{way}_tfcap", f"{way}_torch") for way in _WAYS]
    captions = [np.array(answers[f"generate_{side}"]["tokens"]) for side in ("tfcap", "torch")]
    return {
        **measure.case(milliseconds, "ms an image", ratios),
        "captions_that_agree": float((captions[0] == captions[1]).all(axis=1).mean()),
        "peak_memory_mib": {key: round(answers[key]["peak_memory_mib"], 1) for key in milliseconds},
        "parameters": {side: answers[f"step_{side}"]["parameters"] for side in children},
    }


def batch_of(sizes: dict[str, Any], side: int, end: int) -> dict[str, np.ndarray]:
    """Returns pictures uint8 [B, side, side, 3] and captions int32 [B, T] without an end, equal on both sides."""
    rng = np.random.default_rng(0)
    words = rng.integers(3, min(end, 20_000), [sizes["batch"], sizes["tokens"]])
    return {
        "images": rng.integers(0, 256, [sizes["batch"], side, side, 3]).astype(np.uint8),
        "tokens": words.astype(np.int32),
    }


def folder_of(job: dict[str, Any], part: str = "") -> Path:
    """Returns where a part of the case's weights lies."""
    return Path(job["folder"]) / (part or "whole")


if __name__ == "__main__":
    main()
