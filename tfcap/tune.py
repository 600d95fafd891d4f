"""Searches for good values of flags: trials that Optuna draws, scored by their best validation CIDEr or accuracy.

    python -m tfcap.tune --out=searches/a --search="learning_rate=1e-4..1e-2:log,dropout=0..0.5,units=128|256"

The test split is not looked at. The same command goes on after a kill, the interrupted trial from its last checkpoint;
with more --trials it goes on as if they had been asked for at once. All flags of tfcap.main, for every trial, and:
"""

from __future__ import annotations

import dataclasses
import gc
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import flags
from tfcap.command_settings import TuneSettings
from tfcap.errors import InputError
from tfcap.files import alone_in, remove_partials, write_json
from tfcap.installed import is_installed
from tfcap.progress import progress_bar
from tfcap.reporting.search import TrialFound, search_chart, search_table
from tfcap.search import Axis, search_of, word_of
from tfcap.settings import Settings
from tfcap.trackers import check_installed

if TYPE_CHECKING:
    from tfcap.experiment import Watch
    from tfcap.trials import Trials

_OF_EACH_TRIAL = ("run_dir", "resume")  # flags that a search sets itself
_ENOUGH = 3  # trials in a row that are refused in the same words: then it is not their values


def main(argv: Sequence[str]) -> None:
    """Runs the trials that are left and prints the best ones."""
    said = flags.parse_said(argv, ("tune", *flags.GROUPS), __doc__ or "")
    own = [field.name for field in dataclasses.fields(TuneSettings)]
    asked = TuneSettings(**{name: value for name, value in said.items() if name in own})
    of_run = {name: value for name, value in said.items() if name not in own}
    base = Settings().replace(**of_run)
    check_installed(base)
    axes = search_of(asked.search, base)
    _check(asked, of_run, axes)
    with alone_in(asked.out, "search"):
        from tfcap.trials import Trials  # Optuna may be absent

        remove_partials(asked.out)
        trials = Trials(asked, axes, base, _train)
        _run(trials, asked.trials, base.run.progress)
        fixed = {name: value for name, value in of_run.items() if name not in [axis.name for axis in axes]}
        print(_results(trials, fixed))


def _check(asked: TuneSettings, of_run: Mapping[str, Any], axes: Sequence[Axis]) -> None:
    if not asked.out:
        raise InputError("--out is missing", expected="--out=FOLDER", remedy="See --help.")
    if not is_installed("optuna"):
        raise InputError(
            "tfcap.tune needs Optuna, which is not installed",
            remedy="pip install 'optuna>=5,<6', the extra tfcap[tuning].",
        )
    for name in _OF_EACH_TRIAL:
        if name in of_run:
            raise InputError(f"--{name} is each trial's own", expected="--out alone")
    twice = [axis.name for axis in axes if axis.name in of_run]
    if twice:
        raise InputError(f"--{twice[0]} is searched, and is said as well", expected="one of the two")
    if of_run.get("strategy") == "multiworker":
        raise InputError("A search runs on one machine", received="--strategy=multiworker", expected="another strategy")


def _train(settings: Settings, watch: Watch) -> float:
    """Returns the best validation score of an experiment, of which nothing after training is done.

    Raises:
      MemoryError: the device has too little.
    """
    import tfcap.quiet  # noqa: F401 - TensorFlow is imported only when it is needed

    import keras
    import tensorflow as tf

    from tfcap.experiment import best_validation

    try:
        return best_validation(settings, watch)
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(str(error)[:300]) from None
    finally:
        keras.utils.clear_session()
        gc.collect()


def _run(trials: Trials, wanted: int, shown: bool) -> None:
    """Runs the trials that are left; raises InputError where it is the search that the experiment refuses."""
    if len(trials.finished) < wanted:
        import tfrecords_builder  # TensorFlow is imported only when it is needed

        tfrecords_builder.build(trials.base.data, shown)  # what is wrong with the data is no trial's fault
    with progress_bar(wanted, "trials", "trial", shown=shown, done=len(trials.finished)) as bar:
        while len(trials.finished) < wanted:
            one = trials.run_next()
            found = _found(one)
            words = " ".join(f"--{name}={word_of(value)}" for name, value in found.params.items())
            outcome = found.reason or trials.quality.said(found.value or 0)
            bar.write(f"trial {found.number}: {outcome} {words}", file=sys.stderr)
            best = trials.best
            if best is not None:
                bar.set_postfix_str(f"best {trials.quality.said(best.value or 0)}, trial {best.number}")
            bar.update()
            _write(trials)
            _stop_if_refused(trials)


def _stop_if_refused(trials: Trials) -> None:
    """Raises InputError if the last trials were all refused in the same words."""
    from tfcap.trials import IMPOSSIBLE

    reasons = [trial.user_attrs["reason"] for trial in trials.finished[-_ENOUGH:]]
    if len(reasons) == _ENOUGH and len(set(reasons)) == 1 and reasons[0].startswith(IMPOSSIBLE):
        raise InputError(
            f"The last {_ENOUGH} trials could not be run, all for one reason: {reasons[0].removeprefix(IMPOSSIBLE)}",
            remedy="The same command goes on with the next trial.",
        )


def _write(trials: Trials) -> None:
    """Writes tune.json and tune.png, of what is finished."""
    found = [_found(trial) for trial in trials.finished]
    best = trials.best
    write_json(
        trials.out / "tune.json",
        {
            "search": ",".join(map(str, trials.axes)),
            "objective": f"best val_{trials.quality.name}",
            "seed": trials.seed,
            "best": None if best is None else best.number,
            "trials": [dataclasses.asdict(one) for one in found],
            **trials.begun,
        },
    )
    search_chart(trials.out / "tune.png", found, trials.quality, [axis.name for axis in trials.axes if axis.log])


def _results(trials: Trials, fixed: Mapping[str, Any]) -> str:
    """Returns the table of the best trials and the command that goes on with the best one."""
    _write(trials)
    table = search_table([_found(trial) for trial in trials.finished], trials.quality)
    best = trials.best
    if best is None:
        return f"{table}\n\nNo trial came to its end. Lower the search's learning rates, or choose --pruner=none."
    settings = trials.settings(best.number, best.params)
    places = {name: settings.get(name) for name in ("run_dir", "scoring_dir")}
    words = ["python -m tfcap.main", *map(_flag, {**fixed, **best.params, **places}.items())]
    trained = f"The best trial's {trials.quality.model} is trained"
    return (
        f"{table}\n\n{trained}; this evaluates it on the test split and exports it:\n"
        f"  {' '.join(words)}\n\n  trials   {trials.out / 'tune.json'}\n  picture  {trials.out / 'tune.png'}"
    )


def _flag(said: tuple[str, Any]) -> str:
    name, value = said
    return shlex.quote(f"--{name}={word_of(value)}")


def _found(trial: Any) -> TrialFound:
    """Returns what the reports know of one of Optuna's trials."""
    return TrialFound(
        number=trial.number,
        params=dict(trial.params),
        value=trial.value if not trial.user_attrs["reason"] else None,
        validations=[value for _, value in sorted(trial.intermediate_values.items())],
        reason=trial.user_attrs["reason"],
    )


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv), "interrupted; the same command goes on")
