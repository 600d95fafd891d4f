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
from tfcap.data.pairs import Pairs
from tfcap.data.record_index import Examples
from tfcap.files import refusal_explained
from tfcap.scored_run import ScoredRun, no_score
from tfcap.selection import Signals, budget_of

if TYPE_CHECKING:
    from tfcap.data.records import Described, Records
    from tfcap.reporting.pictures import Example
    from tfcap.reporting.score_sheet import ScoreView

_PICTURES = 2  # at each end and in the middle


def main(argv: Sequence[str]) -> None:
    """Draws the figure and prints its numbers."""
    said = flags.parse_said(argv, ("inspect",), __doc__ or "", ("data_dir",), argument="run")
    where, out = Path(said.pop("run")), said.pop("out", "")
    run = ScoredRun(where, **said)
    if not run.scores:
        raise no_score(where)
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

    examples = run.examples
    truths = (records.truth(name) for name in ("noisy", "scene_type"))
    noisy, types = (truth if truth is None else truth[examples.images] for truth in truths)
    kept = budget_of(run.settings.selection.fraction, len(examples))
    views = []
    signals = Signals(examples.ids, run.scores)
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
                _pictures(records, examples, values, order, noisy),
                None if noisy is None else noisy == 1,
                types,
                run.settings.selection.level,
            )
        )
    return views


def _pictures(
    records: Records, examples: Examples, values: np.ndarray, order: np.ndarray, noisy: np.ndarray | None
) -> dict[str, list[Example]]:
    """Returns the pictures and captions with the highest, middle and lowest scores, by heading."""
    from tfcap.reporting.pictures import Example

    middle = max(0, (len(order) - _PICTURES) // 2)
    shown = {
        "Highest scores": order[:_PICTURES],
        "Median": order[middle : middle + _PICTURES],
        "Lowest scores": order[::-1][:_PICTURES],
    }
    texts = examples.texts if isinstance(examples, Pairs) else None

    def example(position: int, record: Described) -> Example:
        wrong = noisy is not None and noisy[position]
        return Example(
            records.picture(examples.images[position]),
            record.captions if texts is None else [texts[position]],
            f"image {record.image_id}" + (", wrong captions" if wrong else ""),
            f"{values[position]:.3g}",
        )

    return {
        heading: [
            example(position, record)
            for position, record in zip(positions, records.described(examples.images[positions]), strict=True)
        ]
        for heading, positions in shown.items()
    }


def _subsets(run: ScoredRun, views: Sequence[ScoreView]) -> dict[str, np.ndarray]:
    """Returns the run's masks, and what the highest of each score would be where no mask is just that, bool [N]."""
    folder = run.path / "masks"
    names = [path.stem for path in sorted(folder.glob("*.npz")) if path.with_suffix(".json").exists()]
    found = {name: Mask.load(folder, name, run.examples).mask for name in names}
    for view in views:
        highest = np.zeros(len(run.examples), bool)
        highest[view.order[: view.kept]] = True
        if not any(np.array_equal(highest, mask) for mask in found.values()):
            found[f"highest {view.name}"] = highest
    return found


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv))
