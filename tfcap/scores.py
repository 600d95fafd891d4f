"""The scores of a run: read where they have been made, and made otherwise by the captioner that the settings name."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap import registry
from tfcap.data.pipeline import Inputs, SequentialBatches, SingleCaptions
from tfcap.errors import InputError
from tfcap.files import atomic_file
from tfcap.models.captioner import Captioner
from tfcap.preparation import Preparation
from tfcap.scoring import score_store
from tfcap.scoring.gradient_sketch import GradientSketch, unpacked
from tfcap.scoring.signal import Signal, TextSignal, score
from tfcap.training import checkpoint


def scores_of(prep: Preparation, name: str) -> np.ndarray:
    """Returns the scores `name` of the train split's examples, float32 [N]."""
    return _read_or_make(prep, registry.SCORES[name](prep.settings.selection), name, "train")


def sketches(prep: Preparation) -> dict[str, np.ndarray]:
    """Returns the gradient sketches of train and, as targets, of validation, whose examples are dealt into groups."""
    signal = GradientSketch(prep.settings.selection)
    of_train, targets = (
        unpacked(_read_or_make(prep, signal, f"gradient_sketch-{split}", split)) for split in ("train", "validation")
    )
    groups = np.arange(len(targets)) % prep.settings.selection.targets
    dealt = np.random.default_rng(prep.settings.run.seed).permutation(groups)
    return {"sketches": of_train, "target_sketches": targets, "target_groups": dealt}


def _read_or_make(prep: Preparation, signal: Signal | TextSignal, name: str, split: str) -> np.ndarray:
    folder, examples = prep.folder / "scores", prep.examples[split]
    found = score_store.load(folder, name, examples, signal.choices)
    if found is None:
        if isinstance(signal, TextSignal):
            about = _score_texts(prep, signal, name, split)
        else:
            about = _score_examples(prep, signal, name, split)
        if prep.replicas.is_chief:
            settings = prep.settings
            said = {"unit": signal.unit, "level": settings.selection.level, "seed": settings.run.seed}
            score_store.describe(folder, name, examples, {**about, **signal.choices, **said})
        prep.replicas.barrier()
        found = score_store.load(folder, name, examples)
    if found is None:
        raise InputError(f"The scores {name} are gone from {folder}")
    return found[0]


def _score_texts(prep: Preparation, signal: TextSignal, name: str, split: str) -> dict[str, Any]:
    """Writes the scores that need captions alone; returns what they cost."""
    began = time.perf_counter()
    if prep.replicas.is_chief:
        pairs = prep.settings.selection.level == "pair"
        values = (signal.of_captions if pairs else signal.of_images)(prep.records[split].captions)
        with atomic_file(prep.folder / "scores" / f"{name}.npy") as path:
            np.save(path, values.astype(np.float32), allow_pickle=False)
    seconds = time.perf_counter() - began
    return {"train_seconds": 0.0, "pass_seconds": seconds, "seconds": seconds}


def _score_examples(prep: Preparation, signal: Signal, name: str, split: str) -> dict[str, Any]:
    """Writes what a captioner gives each example of a split; returns which captioner it was and what that cost."""
    settings, records = prep.settings, prep.records[split]
    model, about, train_seconds = _scoring_captioner(prep, signal.default_epochs(settings.training.epochs))
    size = prep.replicas.rounded_batch_size(settings.selection.score_batch_size)
    plain = Inputs(records, settings.data.image_size, "none", prep.inputs(split).features)
    captions = prep.captions[split]
    asked = SingleCaptions(captions) if settings.selection.level == "pair" else captions
    by_length = np.argsort(asked.longest(), kind="stable")  # a batch is padded to its longest caption
    batches = SequentialBatches(plain, by_length, size, asked)
    folder: Path = prep.folder / "scores"
    seconds = score(signal, model, batches, prep.replicas, settings.training.xla, folder, name, prep.progress)
    return {**about, "train_seconds": train_seconds, "pass_seconds": seconds, "seconds": train_seconds + seconds}


def _scoring_captioner(prep: Preparation, default_epochs: int) -> tuple[Captioner, dict[str, Any], float]:
    """Returns the captioner that scores, what is said of it, and the seconds its training took."""
    selection = prep.settings.selection
    if prep.teacher is not None:
        return _teacher(prep, prep.teacher)
    model = prep.new_captioner(selection.proxy)
    epochs = selection.proxy_epochs if selection.proxy_epochs is not None else default_epochs
    about = {"model": selection.proxy, "encoder": prep.settings.model.encoder, "epochs": epochs}
    if epochs == 0:
        return model, {**about, "checkpoint": None}, 0.0
    everything = np.arange(len(prep.examples["train"]))
    training = prep.training(model, everything, epochs, "proxy", title=f"scoring captioner, {epochs} epochs")
    progress = training.run()
    path = checkpoint.find(prep.folder / "proxy")
    return model, {**about, "checkpoint": checkpoint.identity(path) if path else None}, progress.seconds


def _teacher(prep: Preparation, path: Path) -> tuple[Captioner, dict[str, Any], float]:
    """Returns the captioner whose checkpoint lies at `path`, which must have the proxy's architecture."""
    model = prep.new_captioner(prep.settings.selection.proxy)
    state = checkpoint.restore(path, model)
    about = {"model": prep.settings.selection.proxy, "encoder": prep.settings.model.encoder}
    about |= {"teacher": prep.settings.selection.teacher, "epochs": state["epoch"]}
    return model, {**about, "checkpoint": checkpoint.identity(path)}, 0.0
