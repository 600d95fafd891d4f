"""The captioners that score: proxies trained for it, each at one moment or several of its training, or a teacher."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import tfcap.quiet  # noqa: F401

import numpy as np

from tfcap.errors import InputError
from tfcap.files import read_json, write_json
from tfcap.models.batch_norm import moving_statistics
from tfcap.models.captioner import Captioner
from tfcap.preparation import Preparation
from tfcap.scoring.signal import Signal
from tfcap.training import checkpoint

KNOWLEDGE = "teacher.json"  # in a run folder: from whom it learned


@dataclasses.dataclass(frozen=True)
class Moment:
    """The weights of a captioner at one moment of its training.

    Attributes:
      name: such as s0-e5, of seed 0 after 5 epochs, or teacher.
      seed: of the training.
      path: of the checkpoint; None before training.
      weight: of the scores that it gives, among those of other moments.
    """

    name: str
    seed: int
    path: Path | None
    weight: float = 1.0

    @property
    def checkpoint(self) -> str | None:
        """SHA-256 (hex) of the parameters' file; None before training."""
        return checkpoint.identity(self.path) if self.path else None

    def set_weights(self, prep: Preparation, model: Captioner) -> None:
        """Gives the model, which must have the proxy's architecture, the weights of this moment."""
        if self.path is not None:
            checkpoint.restore(self.path, model)
            return
        initial = prep.new_captioner(prep.settings.selection.proxy, self.seed)
        trained = (one.trainable_variables + moving_statistics(one) for one in (model, initial))
        for ours, theirs in zip(*trained, strict=True):
            ours.assign(theirs.value)


@dataclasses.dataclass(frozen=True)
class ScoringCaptioners:
    """Whose scores are averaged, what is said of them, and the seconds that their training took in all."""

    moments: list[Moment]
    about: dict[str, Any]
    train_seconds: float


def scoring_captioners(prep: Preparation, signal: Signal) -> ScoringCaptioners:
    """Returns the captioners that give a signal, trained where no earlier run has."""
    selection, seed = prep.settings.selection, prep.settings.run.seed
    about = _about(prep)
    if prep.teacher is not None:
        about["teacher"] = selection.teacher
        if not signal.against_teacher:
            moment = Moment("teacher", seed, prep.teacher)
            return ScoringCaptioners([moment], {**about, "epochs": checkpoint.epoch(prep.teacher)}, 0.0)
    length, epochs = signal.moments(prep.settings)
    seeds = list(range(seed, seed + selection.score_seeds))
    moments, seconds = [], 0.0
    for one in seeds:
        paths, spent = _trained(prep, one, length, [epoch for epoch in epochs if epoch])
        weight, seconds = 1 / (len(seeds) * len(epochs)), seconds + spent
        moments += [Moment(f"s{one}-e{epoch}", one, paths.get(epoch), weight) for epoch in epochs]
    if signal.against_teacher:
        moments.append(Moment("teacher", seed, prep.teacher, weight=-1.0))
    return ScoringCaptioners(moments, {**about, "epochs": length, "seeds": seeds, "at_epochs": epochs}, seconds)


def tracked_captioner(prep: Preparation) -> ScoringCaptioners:
    """Returns the teacher, or the proxy trained to its end, whose training tracked what `prep.plan.tracked` names."""
    selection, seed = prep.settings.selection, prep.settings.run.seed
    about = _about(prep)
    if prep.teacher is not None:
        moment = Moment("teacher", seed, prep.teacher)
        return ScoringCaptioners([moment], {**about, "teacher": selection.teacher}, 0.0)
    length = selection.proxy_epochs if selection.proxy_epochs is not None else prep.settings.training.epochs
    paths, seconds = _trained(prep, seed, length, [length])
    moment = Moment(f"s{seed}-e{length}", seed, paths[length])
    return ScoringCaptioners([moment], {**about, "checkpoint": moment.checkpoint}, seconds)


def teaching_captioner(prep: Preparation) -> Captioner:
    """Returns the teacher of --knowledge_distillation with its weights: that of --teacher, or the scoring captioner.

    The run's teacher.json says which it is; its training is seen to where no earlier run has.

    Raises:
      InputError: this run began with another.
    """
    with prep.alone_in_scoring():
        scoring = tracked_captioner(prep)
    (moment,) = scoring.moments
    model = prep.new_captioner(prep.settings.selection.proxy)
    moment.set_weights(prep, model)
    path = prep.folder / KNOWLEDGE
    known = read_json(path)["checkpoint"] if path.exists() else moment.checkpoint
    if known != moment.checkpoint:
        raise InputError(
            "The teacher has other weights than when this run began",
            received=(moment.checkpoint or "none")[:12],
            expected=(known or "none")[:12],
            remedy="Put back what was there, or start afresh with --noresume.",
        )
    prep.replicas.barrier()  # now all workers have seen the same
    if prep.replicas.is_chief:
        found = {"checkpoint": moment.checkpoint, "train_seconds": scoring.train_seconds}
        write_json(path, {**scoring.about, **found})
    prep.replicas.barrier()
    return model


def _about(prep: Preparation) -> dict[str, Any]:
    """Returns what is said of the scoring captioner: which it is, and what lies behind the names of its beginnings."""
    own = prep.settings.selection.proxy == prep.settings.model.model  # another proxy is not read from --checkpoint
    behind = {flag: digest for flag, digest in prep.contents.items() if own or flag != "checkpoint"}
    about = {"model": prep.settings.selection.proxy, "encoder": prep.settings.model.encoder}
    return {**about, "contents": behind} if behind else about


def _trained(prep: Preparation, seed: int, length: int, epochs: list[int]) -> tuple[dict[int, Path], float]:
    """Trains a proxy, whose schedule is `length` epochs long, to the last of `epochs`.

    Returns:
      The checkpoint after each of `epochs`, and the seconds that the training took.
    """
    if not epochs:
        return {}, 0.0
    name = "proxy" if seed == prep.settings.run.seed else f"proxy-s{seed}"
    title = f"scoring captioner, {epochs[-1]} epochs" + ("" if name == "proxy" else f", seed {seed}")
    model = prep.new_captioner(prep.settings.selection.proxy, seed)
    everything = np.arange(len(prep.examples["train"]))
    track = prep.plan.tracked if name == "proxy" else []
    training = prep.training(model, everything, length, prep.scoring / name, track, seed=seed, title=title)
    found = {}
    for epoch in epochs:
        training.run(until=epoch)
        found[epoch] = prep.chief_first(functools.partial(_kept, prep, prep.scoring / name, epoch))
    prep.keep_dynamics(training, prep.scoring / name / "dynamics")
    return found, training.progress.seconds


def _kept(prep: Preparation, folder: Path, epoch: int) -> Path:
    """Returns the checkpoint after an epoch, which training has just made or an earlier run has kept."""
    if prep.replicas.is_chief:
        checkpoint.keep(folder, epoch)
    path = checkpoint.find(folder, checkpoint.after(epoch))
    if path is None:
        raise RuntimeError(f"{folder} has no checkpoint after epoch {epoch}")
    return path
