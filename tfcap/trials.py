"""The trials of a search: Optuna draws them, each is a run of its own, and one without hope stops at a validation.

What trial n tries is a function of --seed, n and what the trials before it have found, and of nothing that a process
holds: its sampler is a new one, and what that draws is in the storage before anything runs. So a search that was killed
goes on as the same search.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, Trial, TrialState

from tfcap.command_settings import TuneSettings
from tfcap.errors import InputError, TrainingDiverged, TrainingStopped
from tfcap.files import hash_of
from tfcap.reporting.quality import QUALITIES, Quality
from tfcap.run_folder import drop_checkpoints, provenance
from tfcap.search import Axis, quality_of
from tfcap.settings import NEUTRAL, Settings

if TYPE_CHECKING:
    from tfcap.experiment import Watch

IMPOSSIBLE = "cannot be: "  # the reason of a trial whose values the experiment refused begins so
_NAME = "tfcap"  # of the study in the storage
# Trains the model of some settings, under a watch; returns the best validation score.
Train = Callable[[Settings, "Watch"], float]
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Trials:
    """The trials in a folder, those of earlier calls and the next ones.

    Args:
      base: the experiment around which is searched, not resolved.
      train: goes on from the last checkpoint in the run's folder, and lets through what the watcher raises.

    Raises:
      InputError: the folder holds another search.
    """

    def __init__(self, asked: TuneSettings, axes: Sequence[Axis], base: Settings, train: Train) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.out, self.axes, self.base, self.seed = Path(asked.out), axes, base, base.run.seed
        self._train = train
        self.out.mkdir(parents=True, exist_ok=True)
        place = sqlalchemy.URL.create("sqlite", database=str((self.out / "optuna.sqlite3").resolve()))
        self._storage = optuna.storages.RDBStorage(place.render_as_string())
        self.study = optuna.create_study(
            storage=self._storage,
            study_name=_NAME,
            direction="maximize",
            pruner=_pruner(asked.pruner, self._validations()),
            load_if_exists=True,
        )
        self._check(asked)
        self._keep_best_weights()  # a killed process may not have come to it

    def _check(self, asked: TuneSettings) -> None:
        """Raises InputError unless the folder's trials are of this search; settles it for those that come."""
        searched = {axis.name for axis in self.axes}
        values = self.base.by_name()
        ours = {"search": ",".join(map(str, self.axes)), "pruner": asked.pruner}
        ours |= {name: values[name] for name in values if name not in NEUTRAL and name not in searched}
        known = self.study.user_attrs.get("asked")
        if known is None:
            self.study.set_user_attr("begun", json.dumps(provenance()))
            self.study.set_user_attr("asked", json.dumps(ours))
            return
        theirs = json.loads(known)
        names = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
        if names:
            words = ", ".join(f"--{name} was {theirs.get(name)!r} and is now {ours.get(name)!r}" for name in names)
            raise InputError(f"{self.out} holds another search: {words}", remedy="Choose another --out.")

    def _validations(self) -> int:
        """Returns how many validations the longest trial has."""
        point = {axis.name: max(axis.corners) if axis.name == "epochs" else axis.corners[0] for axis in self.axes}
        training = self.base.replace(**point).resolve().training
        return math.ceil(training.epochs / training.validate_every)

    @property
    def quality(self) -> Quality:
        """What says how good a trial is."""
        return QUALITIES[quality_of(self.axes, self.base)]

    @property
    def begun(self) -> dict[str, Any]:
        """The provenance of the command that began the search; of this one where an earlier version kept none."""
        known = self.study.user_attrs.get("begun")
        return json.loads(known) if known else provenance()

    @property
    def finished(self) -> list[FrozenTrial]:
        """The trials that are done, in their order."""
        return self.study.get_trials(deepcopy=False, states=_FINISHED)

    @property
    def best(self) -> FrozenTrial | None:
        """The finished trial with the best validation score, the first of several, or None while there is none."""
        done = [trial for trial in self.finished if trial.state == TrialState.COMPLETE]
        return max(done, key=lambda trial: (trial.value, -trial.number), default=None)

    def run_dir(self, number: int) -> Path:
        """Returns the run folder of a trial."""
        return self.out / "runs" / f"trial-{number:04d}"

    def settings(self, number: int, params: Mapping[str, Any]) -> Settings:
        """Returns the experiment of a trial, not resolved."""
        scoring = self.base.run.scoring_dir or str(self.out / "scoring")
        return self.base.replace(**params, run_dir=str(self.run_dir(number)), scoring_dir=scoring)

    def run_next(self) -> FrozenTrial:
        """Runs the trial that was interrupted, or the next one; returns what became of it."""
        trial = self._begun()
        try:
            value, reason = self._value(trial), ""
        except TrainingStopped:
            value, reason = None, "pruned"
        except TrainingDiverged as error:
            value, reason = None, f"diverged: {error}"
        except MemoryError:
            value, reason = None, "out of memory"
        except InputError as error:
            value, reason = None, f"{IMPOSSIBLE}{error}"
        trial.set_user_attr("reason", reason)
        # One without a value counts as pruned: Optuna forgets a failed trial, and would go back there.
        found = self.study.tell(trial, value, TrialState.COMPLETE if value is not None else TrialState.PRUNED)
        self._keep_best_weights()
        return found

    def _begun(self) -> Trial:
        """Returns the trial that a killed process left, or the next, whose values are in the storage from the start."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if running:
            of_study = self._storage.get_study_id_from_name(_NAME)
            number = running[0].number
            return Trial(self.study, self._storage.get_trial_id_from_study_id_trial_number(of_study, number))
        if not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(self._drawn())
        return self.study.ask()

    def _drawn(self) -> dict[str, Any]:
        """Returns what the next trial tries."""
        finished = self.finished
        sampler = optuna.samplers.TPESampler(seed=int(hash_of(self.seed, len(finished))[:8], 16))
        scratch = optuna.create_study(study_name=_NAME, direction="maximize", sampler=sampler, pruner=self.study.pruner)
        scratch.add_trials(finished)
        return self._params(scratch.ask())

    def _params(self, trial: Trial) -> dict[str, Any]:
        return {axis.name: _suggested(trial, axis) for axis in self.axes}

    def _value(self, trial: Trial) -> float:
        """Returns the best validation score of a trial; raises TrainingStopped where the pruner ends it."""
        params = self._params(trial)
        known = set(self.study.get_trials(deepcopy=False)[trial.number].intermediate_values)

        def watch(number: int, score: float, last: bool) -> None:
            if number not in known:  # a validation is done again where a process was killed before its checkpoint
                trial.report(score, number)
            if not last and trial.should_prune():
                raise TrainingStopped

        return self._train(self.settings(trial.number, params), watch)

    def _keep_best_weights(self) -> None:
        """Deletes the checkpoints of every finished trial but the best."""
        best = self.best
        for trial in self.finished:
            if best is None or trial.number != best.number:
                drop_checkpoints(self.run_dir(trial.number))


def _pruner(name: str, validations: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner()
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=validations)
    return optuna.pruners.NopPruner()


def _suggested(trial: Trial, axis: Axis) -> Any:
    """Returns what a trial tries of a flag: what it has been given, or what its study's sampler draws."""
    if axis.choices:
        return trial.suggest_categorical(axis.name, axis.choices)
    if isinstance(axis.low, int) and isinstance(axis.high, int):
        return trial.suggest_int(axis.name, axis.low, axis.high, step=axis.step, log=axis.log)
    return trial.suggest_float(axis.name, axis.low, axis.high, log=axis.log)
