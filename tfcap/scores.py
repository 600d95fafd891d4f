"""The scores of a run: read where they have been made, and made otherwise by the captioner that the settings name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap import registry
from tfcap.data.caption_blocks import texts_in
from tfcap.data.pipeline import Inputs, SequentialBatches, SingleCaptions
from tfcap.data.record_index import Examples
from tfcap.errors import InputError
from tfcap.files import atomic_file
from tfcap.preparation import Preparation
from tfcap.proxies import Moment, scoring_captioners, tracked_captioner
from tfcap.scoring import score_store, training_dynamics
from tfcap.scoring.embedding import Embedding
from tfcap.scoring.gradient_sketch import GradientSketch
from tfcap.scoring.signal import EpochsSignal, PairSignal, Pass, Signal, TextSignal, image_means
from tfcap.scoring.sketch_files import for_influence
from tfcap.scoring.texts import score_texts


def scores_of(prep: Preparation, name: str) -> np.ndarray:
    """Returns the scores `name` of the train split's examples, float32 [N]."""
    return _read_or_make(prep, registry.SCORES[name](prep.settings.selection), name, "train")


def embeddings(prep: Preparation) -> np.ndarray:
    """Returns what an encoder makes of each image of train, float [N, D]: the frozen one, or a scoring captioner's."""
    signal = Embedding(prep.settings.selection)
    if not prep.settings.model.freeze_encoder:
        return _read_or_make(prep, signal, "embedding", "train")
    found = prep.embeddings("train")
    with prep.alone_in_scoring():
        if prep.replicas.is_chief:
            _keep_features(prep.scoring / "scores", found)
            about = {"unit": signal.unit, "encoder": prep.settings.model.encoder, "seconds": prep.features_seconds}
            score_store.describe(prep.scoring / "scores", "embedding", prep.examples["train"], about)
    return found


def _keep_features(folder: Path, features: np.ndarray) -> None:
    """Puts the frozen encoder's embeddings beside the scores, by a link where they are the feature cache itself."""
    path = folder / "embedding.npy"
    if isinstance(features, np.memmap):
        folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(os.path.relpath(str(features.filename), folder.resolve()))
        return
    with atomic_file(path) as temporary:
        np.save(temporary, features.astype(np.float32), allow_pickle=False)


def sketches(prep: Preparation) -> dict[str, np.ndarray]:
    """Returns the gradient sketches of train and, as targets, of validation, whose examples are dealt into groups."""
    signal = GradientSketch(prep.settings.selection)
    of_train, targets = (
        _read_or_make(prep, signal, f"gradient_sketch-{split}", split) for split in ("train", "validation")
    )
    return for_influence(of_train, targets, prep.settings.selection.targets, prep.settings.run.seed)


def _read_or_make(
    prep: Preparation, signal: Signal | TextSignal | PairSignal | EpochsSignal, name: str, split: str
) -> np.ndarray:
    folder, examples = prep.scoring / "scores", prep.examples[split]
    with prep.alone_in_scoring():
        found = score_store.load(folder, name, examples, signal.choices)
        prep.replicas.barrier()  # now all workers have seen the same
        if found is None:
            _make(prep, signal, name, split)
            found = loaded(folder, name, examples)
    return found[0]


def _make(prep: Preparation, signal: Signal | TextSignal | PairSignal | EpochsSignal, name: str, split: str) -> None:
    if isinstance(signal, TextSignal):
        about = _score_texts(prep, signal, name, split)
    elif isinstance(signal, PairSignal):
        about = _score_pairs(prep, signal, name, split)
    elif isinstance(signal, EpochsSignal):
        about = _score_epochs(prep, signal, name)
    else:
        about = _score_examples(prep, signal, name, split)
    if prep.replicas.is_chief:
        folder = prep.scoring / "scores"
        score_store.describe(folder, name, prep.examples[split], {**about, **signal.about(prep.settings)})
    prep.replicas.barrier()


def loaded(folder: Path, name: str, examples: Examples) -> tuple[np.ndarray, dict[str, Any]]:
    """Returns scores that are there and what is said of them; unlike `scores_of` it needs no other worker."""
    found = score_store.load(folder, name, examples)
    if found is None:
        raise InputError(f"The scores {name} are gone from {folder}")
    return found


def _score_texts(prep: Preparation, signal: TextSignal, name: str, split: str) -> dict[str, Any]:
    """Writes the scores that need captions alone; returns what they cost."""
    began = time.perf_counter()
    if prep.replicas.is_chief:
        captions, pairs = prep.records[split].captions, prep.settings.selection.level == "pair"
        values = score_texts(signal, lambda: texts_in(captions), len(captions), pairs, prep.progress)
        score_store.save(prep.scoring / "scores", name, values)
    seconds = time.perf_counter() - began
    return {"train_seconds": 0.0, "pass_seconds": seconds, "seconds": seconds}


def _score_pairs(prep: Preparation, signal: PairSignal, name: str, split: str) -> dict[str, Any]:
    """Writes the scores that the dual encoder gives; returns which one it is and what that cost."""
    records, folder, encoders = prep.records[split], prep.scoring / "scores", prep.dual_encoder
    pairs = prep.settings.selection.level == "pair"
    file = name if pairs else f"{name}-captions"  # stays: which caption of an image does not fit is there to be seen
    seconds = signal.of_pairs(encoders, records, prep.replicas, prep.settings, folder, file)
    if prep.replicas.is_chief and not pairs:
        score_store.save(folder, name, image_means(np.load(folder / f"{file}.npy"), records.captions))
    return {"weights": encoders.identity, "train_seconds": 0.0, "pass_seconds": seconds, "seconds": seconds}


def _score_epochs(prep: Preparation, signal: EpochsSignal, name: str) -> dict[str, Any]:
    """Writes the scores that come of the teacher's training, or of the scoring captioner's; returns which it was."""
    scoring = tracked_captioner(prep)
    tracked, seconds = _tracked(prep, name), scoring.train_seconds
    if prep.replicas.is_chief:
        score_store.save(prep.scoring / "scores", name, signal.of_epochs(tracked))
    return {**scoring.about, "epochs": len(tracked), "train_seconds": seconds, "pass_seconds": 0.0, "seconds": seconds}


def _tracked(prep: Preparation, name: str) -> np.ndarray:
    """Returns what the teacher's training, or the scoring captioner's, tracked: float32 [epochs, N]."""
    records, folder = prep.records["train"], prep.scoring / "proxy" / "dynamics"
    if prep.teacher is not None:
        return training_dynamics.of_teacher(Path(prep.settings.selection.teacher), name, records)
    found = training_dynamics.load(folder, name, records)
    if found is None:
        raise InputError(f"What the scoring captioner tracked is gone from {folder}", remedy="Run with --noresume.")
    return found


def _score_examples(prep: Preparation, signal: Signal, name: str, split: str) -> dict[str, Any]:
    """Writes what captioners give each example of a split; returns which captioners they were and what that cost."""
    scoring = scoring_captioners(prep, signal)
    model, batches = prep.new_captioner(prep.settings.selection.proxy), _batches(prep, split)
    folder: Path = prep.scoring / "scores"
    of_split = Pass(signal, model, batches, prep.replicas, prep.settings.training.xla)

    def one_pass(moment: Moment, file: str) -> float:
        moment.set_weights(prep, model)
        return of_split.write(folder, file, prep.progress)

    if len(scoring.moments) == 1:
        (moment,) = scoring.moments
        seconds, found = one_pass(moment, name), {"checkpoint": moment.checkpoint}
    else:
        seconds, found = _combine(prep, name, split, scoring.moments, one_pass)
    costs = {"train_seconds": scoring.train_seconds, "pass_seconds": seconds}
    return {**scoring.about, **found, **costs, "seconds": scoring.train_seconds + seconds}


def _batches(prep: Preparation, split: str) -> SequentialBatches:
    """Returns the examples of a split in batches of captions of like length: a batch is padded to its longest."""
    settings = prep.settings
    plain = Inputs(prep.records[split], settings.data.image_size, "none", prep.inputs(split).features)
    captions = prep.captions[split]
    asked = SingleCaptions(captions) if settings.selection.level == "pair" else captions
    size = prep.replicas.rounded_batch_size(settings.selection.score_batch_size)
    return SequentialBatches(plain, np.argsort(asked.longest(), kind="stable"), size, asked)


def _combine(
    prep: Preparation, name: str, split: str, moments: Sequence[Moment], one_pass: Callable[[Moment, str], float]
) -> tuple[float, dict[str, Any]]:
    """Writes the weighted sum of the scores at several moments, each of which stays in a file of its own.

    Returns:
      The seconds of all passes, and what is said of the captioners.
    """
    folder, examples = prep.scoring / "scores", prep.examples[split]
    total, seconds = np.zeros(len(examples)), 0.0
    for moment in moments:
        part = f"{name}-{moment.name}"
        if not (folder / f"{part}.json").exists():
            spent = one_pass(moment, part)
            if prep.replicas.is_chief:
                score_store.describe(folder, part, examples, {"checkpoint": moment.checkpoint, "pass_seconds": spent})
            prep.replicas.barrier()
        values, about = loaded(folder, part, examples)
        total, seconds = total + moment.weight * values, seconds + about["pass_seconds"]
    if prep.replicas.is_chief:
        with atomic_file(folder / f"{name}.npy") as path:
            np.save(path, total.astype(np.float32), allow_pickle=False)
    return seconds, {"checkpoints": {moment.name: moment.checkpoint for moment in moments}}
