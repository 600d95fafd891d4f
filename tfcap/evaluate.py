"""Evaluates a pretrained captioner as it is, without training it.

    python -m tfcap.evaluate --model=gemma3 --checkpoint=FOLDER --dataset=coco_captions --split=test --out=RUN

The same command goes on after a kill, at whatever moment, and does nothing where all is done. Flags:
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flags
from tfcap import registry
from tfcap.command_settings import EvaluateSettings
from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.reporting.tables import metrics_table
from tfcap.settings import DECODING, Settings

if TYPE_CHECKING:
    import numpy as np

    from tfcap.data.records import Records
    from tfcap.evaluation_folder import EvaluationFolder

    # From records and positions, batch by batch, to the positions and their captions.
    Captioning = Callable[[Records, np.ndarray], Iterator[tuple[np.ndarray, list[str]]]]

# What metrics.json has of a run and a direct evaluation has not.
_NOT_MEASURED = ("steps_per_second", "train_seconds", "scoring_seconds", "teacher_seconds", "features_seconds")
_ALSO = (
    *("encoder", "encoder_weights", "tokenizer", *DECODING, "eval_batch_size", "bootstrap_resamples", "java"),
    *("samples", "xla", "seed", "resume", "progress"),
)


def main(argv: Sequence[str]) -> None:
    """Evaluates, and prints what was found and where it lies."""
    said = flags.parse_said(argv, ("evaluate", "data"), __doc__ or "", also=_ALSO)
    _check_direct(said.get("model"))
    own = [field.name for field in dataclasses.fields(EvaluateSettings)]
    asked = EvaluateSettings(**{name: said.pop(name) for name in own if name in said})
    for name in ("checkpoint", "out"):
        if not getattr(asked, name):
            raise InputError(f"--{name} is missing", expected=f"--{name}=...", remedy="See --help.")
    metrics = evaluate(asked, said)
    places = [("results", asked.out), ("pictures", Path(asked.out) / "samples.png")]
    print("\n".join([metrics_table(metrics), "", *(f"  {name:<18} {place}" for name, place in places)]))


def evaluate(asked: EvaluateSettings, said: Mapping[str, Any]) -> dict[str, Any]:
    """Captions a split, or what is left of it, and returns what its metrics.json holds.

    Args:
      said: settings of data, decoding and run by name, where they are not the defaults.

    Raises:
      InputError: the captioner cannot be had or not be used like this, the split is empty, or --out is of another
        evaluation.
    """
    settings = settings_of(asked, said)
    from tfcap.evaluation_folder import EvaluationFolder  # TensorFlow is imported only when it is needed

    folder = EvaluationFolder(asked, settings)
    import tfrecords_builder
    from tfcap import cards
    from tfcap.data.records import Records
    from tfcap.evaluation.tokenizer import tokenize
    from tfcap.models.checkpoints import folder_of, preset_folder
    from tfcap.models.contents import contents_behind

    built = tfrecords_builder.build(settings.data, settings.run.progress)
    records = Records(built, asked.split, settings.data.limit)
    if settings.evaluation.java == "require":
        tokenize({0: ["a word"]}, "require")
    captioning = functools.cache(lambda: _captioning(asked, settings))
    if not folder.is_begun:
        captioning()  # it may be missing or damaged, and then nothing is to be written
    find = folder_of if asked.model in registry.CAPTIONERS else preset_folder
    with folder.alone():
        folder.describe(records.fingerprint, lambda: contents_behind(folder.choices, find), records.data_set)
        if not folder.is_finished:
            _finish(folder, records, captioning, settings)
        folder.journal.unlink(missing_ok=True)
        usual = EvaluateSettings()
        of_command = {name: value for name, value in dataclasses.asdict(asked).items() if value != getattr(usual, name)}
        cards.write_of_evaluation(folder.path, {"model": asked.model, **of_command, **said})
        return read_json(folder.path / "metrics.json")


def _check_direct(model: str | None) -> None:
    """Raises InputError for a captioner that is known and cannot be used as it is."""
    if model in registry.CAPTIONERS and model not in registry.DIRECT:
        raise InputError(
            "The captioner cannot be used without training, since no checkpoint holds all of it",
            received=f"--model={model}",
            expected="one of " + ", ".join(registry.DIRECT),
            remedy=f"python -m tfcap.main --model={model} trains and evaluates it.",
        )


def settings_of(asked: EvaluateSettings, said: Mapping[str, Any]) -> Settings:
    """Returns the settings of data, decoding and run, and of the captioner if it is one of ours."""
    ours = asked.model in registry.CAPTIONERS
    if ours and asked.prompt:
        raise InputError(f"{asked.model} takes no prompt", received=f"--prompt={asked.prompt}")
    if said.get("augment"):
        raise InputError(
            "Pictures are evaluated as they are", received=f"--augment={said['augment']}", expected="no --augment"
        )
    of_ours = [
        name for name in ("encoder", "encoder_weights", "tokenizer", "min_word_count", "image_size") if name in said
    ]
    if not ours and of_ours:
        raise InputError(
            f"{asked.model} is used as KerasHub has it",
            received=", ".join(f"--{name}={said[name]}" for name in of_ours),
            expected="none of these",
        )
    model: dict[str, Any] = {"model": asked.model, "checkpoint": asked.checkpoint} if ours else {}
    model["mixed_precision"] = ours and asked.precision == "bfloat16"
    return Settings().replace(**said, **model).resolve()


def _captioning(asked: EvaluateSettings, settings: Settings) -> Captioning:
    """Returns what captions pictures, with its weights."""
    if asked.model in registry.CAPTIONERS:
        return _of_ours(settings)
    model = registry.DIRECT[asked.model](asked.checkpoint, asked.prompt, asked.precision, settings)

    def of_keras_hub(records: Records, positions: np.ndarray) -> Iterator[tuple[np.ndarray, list[str]]]:
        size = settings.evaluation.eval_batch_size
        for start in range(0, len(positions), size):
            block = positions[start : start + size]
            yield block, model.captions([records.picture(position) for position in block], block)

    return of_keras_hub


def _of_ours(settings: Settings) -> Captioning:
    import tfcap.quiet  # noqa: F401, I001
    import keras

    from tfcap.data.pipeline import Inputs
    from tfcap.models.build import build_captioner, decoding_of
    from tfcap.preparation import named_tokenizer
    from tfcap.training.decoding import Decoder
    from tfcap.training.strategy import connect

    registry.ENCODERS[settings.model.encoder].check_image_size(settings.data.image_size)
    keras.config.set_dtype_policy("mixed_bfloat16" if settings.training.mixed_precision else "float32")
    replicas = connect(settings.training)
    if replicas.worker[1] > 1:
        raise InputError("An evaluation is of one process", received="TF_CONFIG with several workers")
    tokenizer = named_tokenizer(settings)
    if tokenizer is None:
        raise InputError("--checkpoint is missing", expected="--checkpoint=FOLDER")
    with replicas.strategy.scope():
        model = build_captioner(settings, len(tokenizer), marks=tokenizer.marks)
    decoder = Decoder(model, tokenizer, replicas, decoding_of(settings), xla=settings.training.xla)

    def of_ours(records: Records, positions: np.ndarray) -> Iterator[tuple[np.ndarray, list[str]]]:
        inputs = Inputs(records, settings.data.image_size)
        for block, texts, _ in decoder.batches(inputs, positions, settings.evaluation.eval_batch_size):
            yield block, texts

    return of_ours


def _finish(
    folder: EvaluationFolder, records: Records, captioning: Callable[[], Captioning], settings: Settings
) -> None:
    """Captions what has no caption yet, and writes the results."""
    from tfcap.journal import Journal
    from tfcap.results import write_results

    with Journal(folder.journal) as journal:
        _caption(journal, records, captioning, settings.run.progress)
        texts = [text for entry in journal.entries for text in entry["captions"]]
        seconds = sum(entry["seconds"] for entry in journal.entries)
        costs = {
            "split": records.split,
            "images_per_second": len(texts) / seconds if seconds else None,
            **dict.fromkeys(_NOT_MEASURED),
        }
        write_results(folder.path, records, texts, settings, costs)


def _caption(journal: Any, records: Records, captioning: Callable[[], Captioning], progress: bool) -> None:
    """Adds to the journal, batch by batch, the captions of the images that it does not hold."""
    import numpy as np

    from tfcap.progress import progress_bar

    held = [image_id for entry in journal.entries for image_id in entry["image_ids"]]
    if held != records.ids[: len(held)].tolist():
        raise InputError(f"{journal.path} is of other images", remedy="Start afresh with --noresume.")
    left = np.arange(len(held), len(records))
    if not len(left):
        return
    batches = captioning()(records, left)
    began = time.perf_counter()
    with progress_bar(len(records), f"{records.split} captions", "image", shown=progress, done=len(held)) as bar:
        for block, texts in batches:
            now = time.perf_counter()
            journal.add({"image_ids": records.ids[block].tolist(), "captions": texts, "seconds": now - began})
            began = now
            bar.update(len(block))


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv), "interrupted; the same command goes on where it stopped")
