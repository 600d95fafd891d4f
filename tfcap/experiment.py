"""One experiment, stage after stage; a stage whose output is there and valid is not done again."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap import cards, export
from tfcap.chosen_selector import chosen_selector
from tfcap.data.masks import Mask
from tfcap.errors import InputError
from tfcap.fields import several
from tfcap.files import atomic_folder, read_json, write_json
from tfcap.models.build import build_captioner, decoding_of
from tfcap.models.captioner import Captioner
from tfcap.preparation import Preparation
from tfcap.proxies import KNOWLEDGE, teaching_captioner
from tfcap.reporting.curves import training_curves
from tfcap.reporting.tables import metrics_table, parameters_in_words
from tfcap.results import write_results
from tfcap.scores import embeddings, loaded, scores_of, sketches
from tfcap.selection import EMBEDDING, LABELS, SKETCHES, Signals, budget_of
from tfcap.settings import Settings
from tfcap.trackers import Trackers, check_installed
from tfcap.training import checkpoint
from tfcap.training.knowledge import TaughtCaptioner
from tfcap.validation import Validation

# Told each validation's number, from 1, its CIDEr or accuracy, and if it is the last; what it raises ends training.
Watch = Callable[[int, float, bool], None]


@dataclasses.dataclass(frozen=True)
class Result:
    """What a finished experiment found and where it lies."""

    run_dir: Path
    metrics: dict[str, Any]

    def summary(self) -> str:
        """Returns the table of metrics and where to look, for the terminal."""
        places = {
            "results": self.run_dir,
            "pictures": self.run_dir / "samples.png",
            "curves": f"tensorboard --logdir {self.run_dir / 'tensorboard'}",
            "caption a picture": f"python -m tfcap.caption --model={self.run_dir / 'saved_model'} picture.jpg",
        }
        if not (self.run_dir / "saved_model").exists():
            del places["caption a picture"]
        lines = [f"  {name:<18} {place}" for name, place in places.items()]
        return "\n".join([metrics_table(self.metrics), "", *lines])


def run(settings: Settings) -> Result:
    """Runs the whole experiment, or what is left of it.

    Raises:
      InputError: the settings or the data cannot be used as they are.
      TrainingDiverged: a loss or gradient was not finite.
    """
    check_installed(settings)
    prep = Preparation(settings.resolve())
    mask = select(prep)
    with trackers_of(prep) as trackers:
        train(prep, mask, trackers)
        evaluate_best(prep, mask)
        trackers.deliver(read_json(prep.folder / "metrics.json"))
    export_best(prep)
    if prep.replicas.is_chief:
        cards.write_of_run(prep.folder.path)
    prep.replicas.barrier()  # a worker that ends earlier would take the others with it
    return Result(prep.folder.path, read_json(prep.folder / "metrics.json"))


def best_validation(settings: Settings, watch: Watch) -> float:
    """Trains as `run` does, without a look at the test split; returns the best validation CIDEr, or accuracy."""
    prep = Preparation(settings.resolve())
    with trackers_of(prep) as trackers:
        train(prep, select(prep), trackers, watch)
    history = read_json(prep.folder / "history.json")
    return max(value for value in history[f"val_{prep.settings.quality}"] if value is not None)


def select(prep: Preparation) -> Mask:
    """Returns the mask of the kept examples, scoring and selecting where no earlier run has."""
    selection, examples = prep.settings.selection, prep.examples["train"]
    name, masks = f"{selection.selector}-{selection.fraction:g}", prep.folder / "masks"
    budget = budget_of(selection.fraction, len(examples))
    if (masks / f"{name}.json").exists():
        return Mask.load(masks, name, examples)
    selector = chosen_selector(prep.settings)
    signals = Signals(
        examples.ids,
        {needed: scores_of(prep, needed) for needed in selector.scores},
        embeddings(prep) if EMBEDDING in selector.needs else None,
        **(sketches(prep) if SKETCHES in selector.needs else {}),
        labels=prep.labels if LABELS in selector.needs else None,
    )
    by = selector.scores[0] if selector.scores else None
    began = time.perf_counter()
    kept = selector(signals, budget, np.random.default_rng(prep.settings.run.seed))
    mask = Mask.of(
        kept,
        examples,
        selector=selection.selector,
        level=selection.level,
        fraction=selection.fraction,
        seed=prep.settings.run.seed,
        score=by,
        score_file=f"scores/{by}.npy" if by else None,
        seconds=time.perf_counter() - began,
    )
    if prep.replicas.is_chief:
        mask.save(masks, name)
    return mask


def trackers_of(prep: Preparation) -> Trackers:
    """Returns what follows the run; only the chief's writes."""
    return Trackers(prep.folder.path, prep.settings, prep.replicas.is_chief)


def train(prep: Preparation, mask: Mask, trackers: Trackers, watch: Watch | None = None) -> None:
    """Trains a captioner on the kept examples, to the last epoch; its best checkpoint stays in the run folder."""
    track = several(prep.settings.training.track)
    done = [prep.folder / "history.json", *(prep.folder / "dynamics" / f"{name}.json" for name in track)]
    if all(path.exists() for path in done):
        return
    model, judged_by = prep.new_captioner(), f"val_{prep.settings.quality}"
    validation = Validation(prep, model, trackers)

    def validate() -> dict[str, float]:
        scores = validation.run()
        if watch is not None:
            before = training.progress.history.get(judged_by, [])
            number = 1 + sum(value is not None for value in before)
            watch(number, scores[judged_by], training.progress.epoch == training.epochs)
        return scores

    training = prep.training(
        model,
        mask.positions,
        prep.settings.training.epochs,
        prep.folder / "checkpoints",
        track,
        steps=_budget(prep),
        validate=validate,
        judged_by=judged_by,
        objective=_objective(prep, model),
        log=validation.log,
        title=f"training {parameters_in_words(model.parameters_trained, model.parameters)}",
    )
    progress = training.run()
    prep.keep_dynamics(training, prep.folder / "dynamics")
    if prep.replicas.is_chief:
        training_curves(prep.folder / "curves.png", progress.history)
        write_json(
            prep.folder / "history.json", {**progress.history, "steps": progress.step, "seconds": progress.seconds}
        )
    prep.replicas.barrier()


def _objective(prep: Preparation, model: Captioner) -> TaughtCaptioner | None:
    """Returns the model with its teacher, trained where no earlier run has; None where it learns from data alone."""
    asked = prep.settings.training
    if not asked.knowledge_distillation:
        return None
    teacher = teaching_captioner(prep)
    with prep.replicas.strategy.scope():
        return TaughtCaptioner(model, teacher, alpha=asked.kd_alpha, temperature=asked.kd_temperature)


def _budget(prep: Preparation) -> int:
    """Returns how many steps --budget_steps takes, or 0 for as many as --epochs make of what is kept."""
    training = prep.settings.training
    every = math.ceil(len(prep.records["train"]) / training.batch_size)
    return training.epochs * every if training.budget_steps else 0


def _with_best_weights(prep: Preparation, model: Captioner) -> Captioner:
    """Returns the model after giving it the weights that validation picked."""
    path = checkpoint.find(prep.folder / "checkpoints", checkpoint.BEST)
    if path is None:
        raise InputError(f"The run {prep.folder.path} has no best checkpoint", remedy="Run with --noresume.")
    prep.check_contents()  # training took a while, and what was frozen has just been read again
    checkpoint.restore(path, model)
    return model


def evaluate_best(prep: Preparation, mask: Mask) -> None:
    """Writes the test split's captions, metrics and sample pictures."""
    if (prep.folder / "metrics.json").exists():
        return
    evaluation, records = prep.settings.evaluation, prep.records["test"]
    model = _with_best_weights(prep, prep.new_captioner())
    decoder = prep.decoder(model, decoding_of(prep.settings))
    texts, _ = decoder.captions(
        prep.inputs("test"), np.arange(len(records)), evaluation.eval_batch_size, "test captions", prep.progress
    )
    if prep.replicas.is_chief:
        weights = {"parameters": model.parameters, "parameters_trained": model.parameters_trained}
        write_results(prep.folder.path, records, texts, prep.settings, {**_costs(prep, mask), **weights})
    prep.replicas.barrier()


def _costs(prep: Preparation, mask: Mask) -> dict[str, Any]:
    history = read_json(prep.folder / "history.json")
    kept, steps, seconds = len(mask.ids), history["steps"], history["seconds"]
    scored = [read_json(prep.folder / "scores" / f"{name}.json") for name in prep.plan.files]
    if prep.settings.training.knowledge_distillation:
        scored.append({**read_json(prep.folder / KNOWLEDGE), "pass_seconds": 0.0})
    # Where there are several scores, one captioner gives them all.
    scoring = max((one["train_seconds"] for one in scored), default=0.0) + sum(one["pass_seconds"] for one in scored)
    return {
        "level": prep.settings.selection.level,
        "examples_total": len(mask.mask),
        "examples_kept": kept,
        "steps_per_second": steps / seconds if seconds else None,
        "images_per_second": history["images_per_second"][-1] or None,
        "train_seconds": seconds,
        "scoring_seconds": scoring + mask.about.get("seconds", 0.0),
        "teacher_seconds": _teacher_seconds(prep),
        "features_seconds": prep.features_seconds,
        **_against_truth(prep, mask),
    }


def _teacher_seconds(prep: Preparation) -> float | None:
    """Returns how long the teacher was trained, 0 where none is asked; None where its run is not finished."""
    if not prep.settings.selection.teacher or not (prep.plan.files or prep.settings.training.knowledge_distillation):
        return 0.0
    history = Path(prep.settings.selection.teacher) / "history.json"
    return read_json(history)["seconds"] if history.exists() else None


def _against_truth(prep: Preparation, mask: Mask) -> dict[str, float]:
    """Returns how selection dealt with known caption noise, where the data set records it; nothing elsewhere.

    `noise_precision_top_5_percent` is the part of wrong examples among the 5 % with the highest score.
    """
    noisy = prep.records["train"].truth("noisy")
    if noisy is None:
        return {}
    noisy = noisy[prep.examples["train"].images]
    found = {"noise_rate": float(noisy.mean()), "noise_rate_kept": float(noisy[mask.positions].mean())}
    if mask.about["score"]:
        scores, _ = loaded(prep.scoring / "scores", mask.about["score"], prep.examples["train"])
        top = np.argsort(-scores, kind="stable")[: max(1, len(scores) // 20)]
        found["noise_precision_top_5_percent"] = float(noisy[top].mean())
    return found


def export_best(prep: Preparation) -> None:
    """Writes the SavedModel of the best captioner, unless it is there or not wanted."""
    target = prep.folder / "saved_model"
    if not prep.settings.evaluation.export or target.exists() or not prep.replicas.is_chief:
        return
    # Built outside the strategy: a SavedModel is of one device.
    model = _with_best_weights(prep, build_captioner(prep.settings, len(prep.tokenizer), marks=prep.tokenizer.marks))
    with atomic_folder(target) as folder:
        export.save(
            folder,
            model,
            prep.tokenizer,
            decoding_of(prep.settings),
            image_size=prep.settings.data.image_size,
        )
