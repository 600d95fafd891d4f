"""Draws the scores of a run: distributions, examples, how they find known noise, and how masks overlap.

    python -m tfcap.inspect runs/x

The figure goes to scores.png in the run folder, and its numbers to the terminal. Flags:
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import flags
from tfcap.data.masks import Mask
from tfcap.files import refusal_explained
from tfcap.scored_run import ScoredRun
from tfcap.selection import Signals, budget_of

if TYPE_CHECKING:
    from tfcap.data.records import Records
    from tfcap.reporting.pictures import Example
    from tfcap.reporting.score_sheet import ScoreView

_PICTURES = 2  # at each end and in the middle


def main(argv: Sequence[str]) -> None:
    """Draws the figure and prints its numbers."""
    said = flags.parse_said(argv, ("inspect",), __doc__ or "", ("data_dir",), argument="run")
    where, out = Path(said.pop("run")), said.pop("out", "")
    run = ScoredRun(where, **said)
    target = Path(out) if out else run.path / "scores.png"
    from tfcap.data.records import Records  # TensorFlow is imported only when it is needed
    from tfcap.reporting.score_sheet import overlap_table, score_sheet, score_table
    from tfrecords_builder import integrity

    integrity.check(run.index.folder)
    views = _views(run, Records(run.index.folder, "train", run.settings.data.limit))
    subsets = _subsets(run, views)
    with refusal_explained(str(target)):
        score_sheet(target, views, subsets)
    tables = [score_table(view) for view in views] + ([overlap_table(subsets)] if len(subsets) > 1 else [])
    print("\n\n".join([*tables, str(target)]))


def _views(run: ScoredRun, records: Records) -> list[ScoreView]:
    from tfcap.reporting.score_sheet import ScoreView

    noisy, types = records.truth("noisy"), records.truth("scene_type")
    kept = budget_of(run.settings.selection.fraction, len(records))
    views = []
    signals = Signals(records.ids, run.scores)
    for name in run.scores:
        values = signals.score(name)
        order = signals.descending(values)
        views.append(
            ScoreView(
                name,
                run.about[name].get("unit", "no unit"),
                values,
                order,
                kept,
                _examples(records, values, order, noisy),
                None if noisy is None else noisy == 1,
                types,
            )
        )
    return views


def _examples(
    records: Records, values: np.ndarray, order: np.ndarray, noisy: np.ndarray | None
) -> dict[str, list[Example]]:
    """Returns the pictures with the highest, middle and lowest scores, by heading."""
    from tfcap.reporting.pictures import Example

    middle = max(0, (len(order) - _PICTURES) // 2)
    shown = {
        "Highest scores": order[:_PICTURES],
        "Median": order[middle : middle + _PICTURES],
        "Lowest scores": order[::-1][:_PICTURES],
    }
    return {
        heading: [
            Example(
                records.picture(position),
                record.captions,
                f"image {record.image_id}" + (", wrong captions" if noisy is not None and noisy[position] else ""),
                f"{values[position]:.3g}",
            )
            for position, record in zip(positions, records.described(positions), strict=True)
        ]
        for heading, positions in shown.items()
    }


def _subsets(run: ScoredRun, views: Sequence[ScoreView]) -> dict[str, np.ndarray]:
    """Returns the run's masks, and what the highest of each score would be where no mask is just that, bool [N]."""
    folder = run.path / "masks"
    names = [path.stem for path in sorted(folder.glob("*.npz")) if path.with_suffix(".json").exists()]
    found = {name: Mask.load(folder, name, run.index).mask for name in names}
    for view in views:
        highest = np.zeros(len(run.index), bool)
        highest[view.order[: view.kept]] = True
        if not any(np.array_equal(highest, mask) for mask in found.values()):
            found[f"highest {view.name}"] = highest
    return found


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv))
