"""The trials of a search around a training that is made up: what is drawn, stopped, interrupted and kept."""

import dataclasses

import pytest
from optuna.trial import TrialState

from tfcap.command_settings import TuneSettings
from tfcap.errors import InputError, TrainingDiverged
from tfcap.search import search_of
from tfcap.settings import Settings
from tfcap.trials import Trials

_SEARCH = "learning_rate=1e-4..1e-2:log,dropout=0..0.5,units=8|16"
_BASE = Settings().replace(epochs=4, validate_every=1)


def _cider(settings, number):
    """Validation `number` of 4: best at a rate of 1e-3 without dropout."""
    from math import log10

    return number / 4 * (1 - 0.3 * abs(3 + log10(settings.training.learning_rate)) - settings.model.dropout)


def _to_the_end(settings, watch):
    values = [_cider(settings, number) for number in (1, 2, 3, 4)]
    for number, value in enumerate(values, start=1):
        watch(number, value, number == 4)
    return max(values)


class Kill(BaseException):
    """What no handler stops."""


class KilledAt:
    """A training that is killed at chosen (call, validation), before that is told or after."""

    def __init__(self, moments):
        self.moments, self.calls, self.validations = moments, 0, []

    def __call__(self, settings, watch):
        self.calls += 1
        values = [_cider(settings, number) for number in (1, 2, 3, 4)]
        for number, value in enumerate(values, start=1):
            if (self.calls, number, "before") in self.moments:
                raise Kill
            self.validations.append((settings.run.run_dir, number))
            watch(number, value, number == 4)
            if (self.calls, number, "after") in self.moments:
                raise Kill
        return max(values)


def _trials(out, train=_to_the_end, search=_SEARCH, base=_BASE, **said):
    asked = TuneSettings(**{"out": str(out), "search": search, **said})
    return Trials(asked, search_of(asked.search, base), base, train)


def _run(trials, count):
    while len(trials.finished) < count:
        trials.run_next()
    return trials


def _all(trials):
    return [(one.number, one.params, one.state, one.value, one.intermediate_values) for one in trials.finished]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search of 14 trials that nothing interrupted; from the eleventh on they are not drawn at random."""
    return _run(_trials(tmp_path_factory.mktemp("searches") / "whole"), 14)


def test_what_is_drawn_lies_in_the_search(whole):
    for trial in whole.finished:
        assert 1e-4 <= trial.params["learning_rate"] <= 1e-2 and 0 <= trial.params["dropout"] <= 0.5
        assert trial.params["units"] in (8, 16) and isinstance(trial.params["units"], int)
    assert len({trial.params["learning_rate"] for trial in whole.finished}) == 14  # no two processes' draws are equal


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_search_killed_again_and_again_is_the_search_that_was_not(tmp_path, pruner):
    whole = _run(_trials(tmp_path / "whole", pruner=pruner), 13)
    moments = {(1, 1, "before"), (3, 2, "after"), (7, 4, "after"), (9, 1, "after"), (13, 1, "before")}
    train = KilledAt(moments)
    for _ in range(len(moments) + 1):
        try:
            killed = _run(_trials(tmp_path / "killed", train, pruner=pruner), 13)  # a new one, as in a new process
        except Kill:
            continue
    assert _all(killed) == _all(whole)
    assert train.calls == 13 + len(moments)


def test_a_trial_that_was_drawn_and_not_begun_is_the_next(whole, tmp_path):
    left = _trials(tmp_path)
    left.study.enqueue_trial(left._drawn())  # a process was killed here
    assert _all(_run(_trials(tmp_path), 2)) == _all(whole)[:2]
    half = _trials(tmp_path)
    half.study.enqueue_trial(half._drawn())
    half.study.ask().suggest_float("learning_rate", 1e-4, 1e-2, log=True)  # or here, with one flag of three
    assert _all(_run(_trials(tmp_path), 3)) == _all(whole)[:3]


def test_more_trials_go_on_as_if_asked_for_at_once_and_none_is_run_twice(whole, tmp_path):
    _run(_trials(tmp_path), 6)
    train = KilledAt(set())
    assert _all(_run(_trials(tmp_path, train), 14)) == _all(whole)
    assert train.calls == 8
    _run(_trials(tmp_path, train), 14)
    assert train.calls == 8


def test_another_seed_draws_others(whole, tmp_path):
    other = _run(_trials(tmp_path, base=_BASE.replace(seed=1)), 2)
    assert other.finished[0].params != whole.finished[0].params


def test_a_pruned_trial_stops_at_its_validation_and_the_best_is_the_best(tmp_path):
    train = KilledAt(set())
    trials = _run(_trials(tmp_path, train), 14)
    stopped = [one for one in trials.finished if one.state == TrialState.PRUNED]
    assert stopped
    for one in stopped:
        seen = [number for run, number in train.validations if run == str(trials.run_dir(one.number))]
        assert seen == list(one.intermediate_values) and len(seen) < 4
        assert one.user_attrs["reason"] == "pruned"
    done = [one.value for one in trials.finished if one.state == TrialState.COMPLETE]
    assert trials.best.value == max(done)
    assert trials.best.value == pytest.approx(_cider(trials.settings(trials.best.number, trials.best.params), 4))


def test_a_trial_that_was_trained_to_its_end_is_not_stopped_there(tmp_path):
    curves = iter([[0.1, 0.1, 0.1, 0.9]] * 5 + [[0.5] * 4])

    def train(settings, watch):
        values = next(curves)
        for number, value in enumerate(values, start=1):
            watch(number, value, number == 4)
        return max(values)

    trials = _run(_trials(tmp_path, train), 6)
    assert (trials.finished[5].state, trials.finished[5].value) == (TrialState.COMPLETE, 0.5)


def test_without_a_pruner_every_trial_goes_to_its_end(tmp_path):
    trials = _run(_trials(tmp_path, pruner="none"), 8)
    assert {one.state for one in trials.finished} == {TrialState.COMPLETE}


def test_one_that_diverges_or_has_no_memory_is_left_and_the_search_goes_on(tmp_path):
    raised = iter([TrainingDiverged("at step 3"), MemoryError("too much")])

    def train(settings, watch):
        for error in raised:
            raise error
        return _to_the_end(settings, watch)

    trials = _run(_trials(tmp_path, train), 3)
    assert [one.user_attrs["reason"] for one in trials.finished] == ["diverged: at step 3", "out of memory", ""]
    assert trials.best.number == 2


def test_a_value_that_the_experiment_refuses_is_left_and_the_search_goes_on(tmp_path):
    def train(settings, watch):
        if settings.training.batch_size % 2:
            raise InputError("--batch_size cannot be shared equally", received=settings.training.batch_size)
        return _to_the_end(settings, watch)

    trials = _run(_trials(tmp_path, train, "batch_size=15..17,learning_rate=1e-4..1e-2:log", pruner="none"), 12)
    refused = [one for one in trials.finished if one.user_attrs["reason"]]
    assert refused and all(one.state == TrialState.PRUNED and one.params["batch_size"] % 2 for one in refused)
    for one in refused:
        words = f"cannot be: --batch_size cannot be shared equally. Received: {one.params['batch_size']}."
        assert one.user_attrs["reason"] == words
    assert trials.best.params["batch_size"] == 16


def test_steps_are_kept(tmp_path):
    trials = _run(_trials(tmp_path, search="batch_size=16..64:16", pruner="none"), 12)
    assert {one.params["batch_size"] for one in trials.finished} == {16, 32, 48, 64}


def test_only_the_best_trial_keeps_its_checkpoints(tmp_path):
    def train(settings, watch):
        trials.run_dir(int(settings.run.run_dir[-4:])).joinpath("checkpoints").mkdir(parents=True)
        return _to_the_end(settings, watch)

    trials = _trials(tmp_path, train)
    _run(trials, 5)
    kept = [path.parent.name for path in tmp_path.glob("runs/*/checkpoints")]
    assert kept == [trials.run_dir(trials.best.number).name]


def test_what_a_kill_before_the_cleaning_left_is_cleaned(tmp_path):
    trials = _run(_trials(tmp_path, pruner="none"), 2)
    for number in (0, 1):
        trials.run_dir(number).joinpath("checkpoints").mkdir(parents=True)
    _trials(tmp_path, pruner="none")
    assert [path.parent.name for path in tmp_path.glob("runs/*/checkpoints")] == [f"trial-{trials.best.number:04d}"]


def test_a_folder_may_have_any_name(tmp_path):
    out = tmp_path / "which rate? {a} #1 100%"
    _run(_trials(out), 1)
    assert [path.name for path in tmp_path.iterdir()] == [out.name] and (out / "optuna.sqlite3").is_file()
    assert len(_trials(out).finished) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"search": "dropout=0..0.5"}, "--search was 'learning_rate=.*' and is now 'dropout=0.0..0.5'"),
        ({"pruner": "none"}, "--pruner was 'median' and is now 'none'"),
        ({"base": _BASE.replace(fraction=0.5)}, "--fraction was 0.75 and is now 0.5"),
    ],
)
def test_a_folder_of_another_search_is_refused(tmp_path, changed, words):
    _trials(tmp_path)
    with pytest.raises(InputError, match=words):
        _trials(tmp_path, **changed)


def test_what_changes_no_number_may_change(tmp_path):
    before = _trials(tmp_path).study.user_attrs
    after = _trials(tmp_path, base=_BASE.replace(xla=False, data_dir="elsewhere"), trials=50).study.user_attrs
    assert after == before and "asked" in before


def test_settings_of_a_trial_are_those_of_the_base_but_for_what_is_searched(whole):
    trial = whole.finished[3]
    settings = whole.settings(3, trial.params)
    places = {"run_dir": str(whole.run_dir(3)), "scoring_dir": str(whole.out / "scoring")}
    assert settings == _BASE.replace(**trial.params, **places)
    assert dataclasses.asdict(settings)["training"]["learning_rate"] == trial.params["learning_rate"]
