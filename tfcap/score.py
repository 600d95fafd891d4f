"""Scores a data set's train split by its captions alone, in this process or through Apache Beam.

    python -m tfcap.score --dataset=coco_captions --score=caption_consensus --out=runs/x --runner=DirectRunner

The score goes into the folder of a run, from which tfcap.select and tfcap.inspect take it. Flags:
"""

from __future__ import annotations

import dataclasses
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flags
from tfcap import registry
from tfcap.command_settings import ScoreSettings
from tfcap.errors import InputError
from tfcap.files import refusal_explained, remove_partials, scratch_folder
from tfcap.installed import is_installed
from tfcap.run_folder import RunFolder, description_of
from tfcap.settings import Settings

if TYPE_CHECKING:
    import numpy as np

    from tfcap.data.caption_blocks import Block
    from tfcap.data.record_index import Examples
    from tfcap.data.records import Records
    from tfcap.scoring.signal import TextSignal

_OF_RUN = ("level", "progress")
_MOST_BLOCKS = 16_384  # beside those that end with a shard
_LEAST_RECORDS = 512  # of a block


def main(argv: Sequence[str]) -> None:
    """Scores, and prints where the score is."""
    said = flags.parse_said(argv, ("score", "data"), __doc__ or "", _OF_RUN)
    own = [field.name for field in dataclasses.fields(ScoreSettings)]
    asked = ScoreSettings(**{name: said.pop(name) for name in own if name in said})
    if not asked.out:
        raise InputError("--out is missing", expected="--out=RUN", remedy="See --help.")
    about, count = score(asked, said)
    speed = f"{about['seconds']:.1f} s, {count / about['seconds']:,.0f} a second" if about["seconds"] else "0 s"
    print(f"{Path(asked.out) / 'scores' / asked.score}.npy")
    print(f"  {count:,} {about['level']}s, {about['unit']}; {speed}")


def score(asked: ScoreSettings, said: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Scores the train split and writes the score into `asked.out`, unless it is there; a missing data set is built.

    Args:
      said: settings of the run by name, where they are not the defaults or those of the run that is there.

    Returns:
      What is said of the score, and of how many examples it is.

    Raises:
      InputError: the score needs a captioner, the folder is another run's, or Apache Beam or the runner is not there.
    """
    settings = _settings(Path(asked.out), said)
    from tfcap.scoring import score_store  # TensorFlow is imported only when it is needed

    signal, runner = _signal(asked.score, settings), _runner(asked)
    records, fingerprints = _built(settings)
    examples = _examples(records, settings)
    with refusal_explained(f"--out={asked.out}"):
        folder = RunFolder(settings)
        folder.describe(fingerprints, data_set=records.data_set)
    scores = folder / "scores"
    remove_partials(scores)
    if score_store.load(scores, asked.score, examples, signal.choices) is None:
        began = time.perf_counter()
        values = _values(signal, records, settings, runner, scores)
        seconds = time.perf_counter() - began
        with refusal_explained(f"--out={asked.out}"):
            _write(scores, asked, signal, settings, examples, values, seconds)
    found = score_store.load(scores, asked.score, examples)
    if found is None:
        raise InputError(f"The scores {asked.score} are gone from {scores}")
    return found[1], len(found[0])


def _settings(out: Path, said: Mapping[str, Any]) -> Settings:
    """Returns the settings of the run in `out`, or of a new one; raises InputError if the run has others."""
    known = description_of(out)[0] if (out / "experiment.json").is_file() else None
    settings = (known or Settings()).replace(**said, run_dir=str(out), resume=True).resolve()
    other = known.difference(settings) if known else {}
    if other:
        words = ", ".join(f"--{name} is {then!r} and not {now!r}" for name, (then, now) in other.items())
        raise InputError(f"The run {out} has other settings: {words}", remedy="Choose another --out.")
    return settings


def _signal(name: str, settings: Settings) -> TextSignal:
    from tfcap.scoring.signal import TextSignal

    signal = registry.SCORES[name](settings.selection)
    if not isinstance(signal, TextSignal):
        texts = [one for one in registry.SCORES if issubclass(registry.SCORES[one], TextSignal)]
        raise InputError(
            "The score is a captioner's, and this command has none",
            received=f"--score={name}",
            expected=" or ".join(texts),
            remedy=f"python -m tfcap.main --selector=hardest --selection_score={name} makes it.",
        )
    return signal


def _runner(asked: ScoreSettings) -> Any:
    """Returns the runner and its options; None where none is named."""
    if not asked.runner:
        return None
    if not is_installed("apache_beam"):
        raise InputError(
            "--runner needs Apache Beam, which is not installed",
            received=f"--runner={asked.runner}",
            remedy="pip install 'apache-beam>=2.77,<3', the extra tfcap[beam]; without --runner it is not needed.",
        )
    logging.disable(logging.WARNING)  # Beam says which of Google's packages it does without
    try:
        from tfcap.scoring.texts_on_beam import runner_of

        return runner_of(asked.runner, asked.workers, asked.beam_options)
    finally:
        logging.disable(logging.NOTSET)


def _built(settings: Settings) -> tuple[Records, dict[str, str]]:
    """Returns the train split, and the fingerprint of each split."""
    import tfrecords_builder
    from tfcap.data.record_index import RecordIndex
    from tfcap.data.records import Records

    built, limit = tfrecords_builder.build(settings.data, settings.run.progress), settings.data.limit
    splits = {split: RecordIndex(built, split, limit).fingerprint for split in ("train", "validation", "test")}
    return Records(built, "train", limit), splits


def _examples(records: Records, settings: Settings) -> Examples:
    from tfcap.data.pairs import Pairs

    return Pairs(records) if settings.selection.level == "pair" else records


def blocks_of_split(records: Records) -> list[Block]:
    """Returns the split as blocks, each of which is a worker's work for a while and one file of scores."""
    from tfcap.data.caption_blocks import blocks_of

    return blocks_of(records, max(_LEAST_RECORDS, -(-len(records) // _MOST_BLOCKS)))


def _values(signal: TextSignal, records: Records, settings: Settings, runner: Any, scores: Path) -> np.ndarray:
    """Returns the scores, float32 [N]."""
    from tfcap.data.caption_blocks import texts_of

    blocks = blocks_of_split(records)
    pairs, progress = settings.selection.level == "pair", settings.run.progress
    if runner is None:
        from tfcap.scoring.texts import score_texts

        def parts() -> Any:
            return (texts for block in blocks for texts in texts_of(block))

        return score_texts(signal, parts, len(records), pairs, progress)
    from tfcap.scoring.texts_on_beam import score_on_beam

    with scratch_folder(scores.resolve(), "beam") as scratch:
        return score_on_beam(signal, blocks, pairs, runner, scratch, progress)


def _write(
    scores: Path,
    asked: ScoreSettings,
    signal: TextSignal,
    settings: Settings,
    examples: Examples,
    values: np.ndarray,
    seconds: float,
) -> None:
    from tfcap.scoring import score_store

    if len(values) != len(examples):
        raise RuntimeError(f"{len(values)} scores of {len(examples)} examples")
    score_store.save(scores, asked.score, values)
    by = {"runner": asked.runner, **({"workers": asked.workers} if asked.workers else {})} if asked.runner else {}
    costs = {"train_seconds": 0.0, "pass_seconds": seconds, "seconds": seconds}
    score_store.describe(scores, asked.score, examples, {**costs, **by, **signal.about(settings)})


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv))
