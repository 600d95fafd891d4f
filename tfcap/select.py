"""Writes masks from the scores of a run: one for each fraction, in seconds, without training anything.

    python -m tfcap.select --scores=runs/x --selector=stratified --fractions=0.25,0.5,0.75 --out=masks

Beside each mask lies the same subset in other forms: a list of ids, a Parquet table, a COCO captions file. Flags:
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import flags
from tfcap.chosen_selector import made_selector
from tfcap.command_settings import SelectSettings
from tfcap.data.mask_forms import SUFFIXES, check_formats, write_coco, write_ids, write_parquet
from tfcap.data.masks import Mask
from tfcap.errors import InputError
from tfcap.files import refusal_explained
from tfcap.reporting.tables import aligned
from tfcap.scored_run import ScoredRun
from tfcap.selection import EMBEDDING, LABELS, SKETCHES, Signals, budget_of
from tfrecords_builder import integrity

_OF_RUN = (
    *("data_dir", "selector", "selection_score", "noise_cut", "strata", "mixture", "class_balanced"),
    *("seed", "progress"),
)
# What of the signals is an array beside the scores, and its name among them.
_ARRAYS = {EMBEDDING: "embeddings", SKETCHES: "sketches", LABELS: "labels"}


def main(argv: Sequence[str]) -> None:
    """Selects, writes the masks and prints where they are."""
    said = flags.parse_said(argv, ("select",), __doc__ or "", _OF_RUN)
    own = [field.name for field in dataclasses.fields(SelectSettings)]
    asked = SelectSettings(**{name: said.pop(name) for name in own if name in said})
    parts, forms = _fractions(asked.fractions), [form.strip() for form in asked.formats.split(",")]
    check_formats(forms)
    for name in ("scores", "out"):
        if not getattr(asked, name):
            raise InputError(f"--{name} is missing", expected=f"--{name}=...", remedy="See --help.")
    run = ScoredRun(Path(asked.scores), **said)
    if len(run.scores) == 1 and "selection_score" not in said:  # then that one is meant
        run.settings = run.settings.replace(selection_score=next(iter(run.scores)))
    masks = [_mask(run, part) for part in parts]
    if "coco" in forms:
        integrity.check(run.index.folder)  # its records will be read
    out = Path(asked.out)
    with refusal_explained(f"--out={out}"):
        out.mkdir(parents=True, exist_ok=True)
        rows = [("fraction", f"{run.settings.selection.level}s", "files")]
        for part, mask in zip(parts, masks, strict=True):
            name = f"{run.settings.selection.selector}-{part:g}"
            _write(run, mask, out, name, forms)
            written = ",".join([".npz", ".json", *(SUFFIXES[form] for form in forms)])
            rows.append((f"{part:g}", f"{len(mask.ids):,}", f"{out / name}{{{written}}}"))
    print("\n".join(aligned(rows, "<><")))


def _fractions(words: str) -> list[float]:
    try:
        found = [float(word) for word in words.split(",")]
    except ValueError:
        found = [math.nan]
    if not all(0 < part <= 1 for part in found):
        raise InputError(
            "--fractions cannot be read", received=repr(words), expected="numbers in (0, 1], such as 0.25,0.5"
        )
    return found


def _mask(run: ScoredRun, fraction: float) -> Mask:
    """Returns what the experiment's own stage would keep, at this fraction, with these scores."""
    selection, seed = run.settings.selection, run.settings.run.seed
    selector = made_selector(selection)
    arrays: dict[str, Any] = dict(run.sketches() if SKETCHES in selector.needs else {})
    if EMBEDDING in selector.needs:
        arrays["embeddings"] = run.embeddings()
    if LABELS in selector.needs:
        arrays["labels"] = run.labels()
    there = {name: arrays.get(place) is not None for name, place in _ARRAYS.items()}
    missing = [need for need in selector.needs if not there.get(need, need in run.scores)]
    if missing:
        raise InputError(
            f"The selector needs what {run.path} does not have: " + ", ".join(missing),
            received=f"--selector={selection.selector} with the scores {', '.join(run.scores)}",
            expected="a selector or --selection_score that these are enough for, or python -m tfcap.main to make more",
        )
    signals = Signals(run.examples.ids, run.scores, **arrays)
    by = selector.scores[0] if selector.scores else None
    return Mask.of(
        selector(signals, budget_of(fraction, len(run.examples)), np.random.default_rng(seed)),
        run.examples,
        selector=selection.selector,
        level=selection.level,
        fraction=fraction,
        seed=seed,
        score=by,
        score_file=str(run.folder / f"{by}.npy") if by else None,
    )


def _write(run: ScoredRun, mask: Mask, out: Path, name: str, forms: list[str]) -> None:
    mask.save(out, name)
    if "text" in forms:
        write_ids(out / f"{name}.txt", mask)
    if "parquet" in forms:
        write_parquet(out / f"{name}.parquet", mask, run.examples, run.scores)
    if "coco" in forms:
        as_named = run.settings.data.resize_shorter_side == 0
        write_coco(out / f"{name}.coco.json", mask, run.index, run.examples, as_named, run.settings.run.progress)


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv))
