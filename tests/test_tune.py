"""A search by the command line, on a toy: killed and gone on, its best trial's command, and mistakes."""

import json
import os
import shlex
import signal
import sys
import time

import pytest

from tests.toy_commands import arguments_of, done, started

_SHORT = {"epochs": 3, "validate_every": 1}
_SEARCH = "--search=learning_rate=1e-3..1e-1:log,attention=true|false"


@pytest.fixture(scope="module")
def searched(toy_flags, tmp_path_factory):
    """A search that was killed when its first trial had a checkpoint, and then ran to its end."""
    out = tmp_path_factory.mktemp("searches") / "toy"
    arguments = arguments_of({**toy_flags, **_SHORT}, out, _SEARCH, "--trials=2")
    process = started("tfcap.tune", arguments)
    deadline = time.monotonic() + 300
    while not (out / "runs" / "trial-0000" / "checkpoints" / "LATEST").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return out, arguments, done(started("tfcap.tune", arguments))


@pytest.mark.slow
def test_a_killed_search_goes_on_to_its_table(searched):
    out, _, (code, shown, errors) = searched
    assert code == 0, errors
    found = json.loads((out / "tune.json").read_text())
    assert [one["number"] for one in found["trials"]] == [0, 1]
    assert found["best"] == max(found["trials"], key=lambda one: (one["value"], -one["number"]))["number"]
    for one in found["trials"]:
        run = out / "runs" / f"trial-{one['number']:04d}"
        history = json.loads((run / "history.json").read_text())
        assert len(history["loss"]) == 3 and one["value"] == max(history["val_CIDEr"])
        settings = json.loads((run / "experiment.json").read_text())["settings"]
        assert settings["training"]["learning_rate"] == one["params"]["learning_rate"]
        assert settings["model"]["attention"] == one["params"]["attention"]
    assert shown.splitlines()[1].split()[0] == str(found["best"])
    assert (out / "tune.png").exists()


@pytest.mark.slow
def test_it_is_the_search_that_was_not_killed(searched, toy_flags, tmp_path):
    """By losses, since a toy's captions have no CIDEr that could differ."""
    killed, _, _ = searched
    whole = tmp_path / "whole"
    code, _, errors = done(started("tfcap.tune", arguments_of({**toy_flags, **_SHORT}, whole, _SEARCH, "--trials=2")))
    assert code == 0, errors
    histories = {}
    for out in (killed, whole):
        found = json.loads((out / "tune.json").read_text())
        assert all(one["params"] for one in found["trials"])
        runs = [json.loads(path.read_text()) for path in sorted(out.glob("runs/*/history.json"))]
        losses = [(run["loss"], run["val_loss"]) for run in runs]
        histories[out] = (found["trials"], found["best"], losses)
        assert len({loss for of_train, _ in losses for loss in of_train}) == 6  # two trials of three epochs that differ
    assert histories[killed] == histories[whole]


@pytest.mark.slow
def test_nothing_looked_at_the_test_split(searched):
    out, _, _ = searched
    for name in ("metrics.json", "captions.json", "per_image.json", "samples.png", "saved_model"):
        assert not list(out.rglob(name)), name


@pytest.mark.slow
def test_a_finished_search_trains_nothing(searched):
    out, arguments, (_, shown, _) = searched
    histories = {path: path.stat().st_mtime_ns for path in out.rglob("history.json")}
    code, again, _ = done(started("tfcap.tune", arguments))
    assert code == 0 and again == shown
    assert histories == {path: path.stat().st_mtime_ns for path in out.rglob("history.json")}


@pytest.mark.slow
def test_the_best_trial_s_command_evaluates_its_captioner_without_training_it_again(searched):
    out, _, (_, shown, _) = searched
    line = next(line for line in shown.splitlines() if line.strip().startswith("python -m tfcap.main"))
    run = out / "runs" / f"trial-{json.loads((out / 'tune.json').read_text())['best']:04d}"
    before = (run / "history.json").stat().st_mtime_ns
    code, _, errors = done(started("tfcap.main", shlex.split(line)[3:]))
    assert code == 0, errors
    assert (run / "metrics.json").exists() and (run / "history.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([_SEARCH], "--out is missing"),
        (["--out=x"], "--search is missing"),
        (["--out=x", "--search=dropout=0..2"], "--dropout is out of range"),
        (["--out=x", "--search=seed=0..9"], "cannot choose --seed"),
        (["--out=x", _SEARCH, "--attention"], "--attention is searched, and is said as well"),
        (["--out=x", _SEARCH, "--run_dir=y"], "--run_dir is each trial's own"),
        (["--out=x", _SEARCH, "--strategy=multiworker"], "A search runs on one machine"),
        (["--out=x", _SEARCH, "--pruner=mean"], "Unknown --pruner"),
        (["--out=x", _SEARCH, "--trials=0"], "--trials is out of range"),
    ],
)
def test_mistakes_end_with_2_and_leave_nothing(tmp_path, monkeypatch, arguments, words):
    import flags
    from tfcap import tune

    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patched:
        said = []
        patched.setattr("builtins.print", lambda text, **_: said.append(text))
        flags.exit_after(lambda: tune.main(["tune", *arguments]))
    assert ended.value.code == 2 and words in said[0] and "\n" not in said[0]
    assert not list(tmp_path.iterdir())


def _refusing(monkeypatch, words):
    """Has the experiment refuse each trial with the next of the words; returns what trained."""
    from tfcap import tune
    from tfcap.errors import InputError

    trained = []

    def train(settings, watch):
        trained.append(settings.run.run_dir)
        word = next(words)
        if word:
            raise InputError(word)
        watch(1, 0.5, True)
        return 0.5

    monkeypatch.setattr(tune, "_train", train)
    return trained


def test_a_trial_that_is_refused_is_no_end_of_the_search(toy_flags, tmp_path, monkeypatch, capsys):
    from tfcap import tune

    trained = _refusing(monkeypatch, iter(["17 is odd", "15 is odd", "17 is odd", ""]))
    tune.main(["tune", *arguments_of({**toy_flags, **_SHORT}, tmp_path / "x", _SEARCH, "--trials=4")])
    assert len(trained) == 4 and "1 of 4 trials ran to their end" in capsys.readouterr().out
    found = json.loads((tmp_path / "x" / "tune.json").read_text())["trials"]
    assert [one["reason"] for one in found] == [*(f"cannot be: {one} is odd." for one in (17, 15, 17)), ""]


def test_what_no_trial_can_mend_ends_the_search_after_three(toy_flags, tmp_path, monkeypatch):
    from tfcap import tune
    from tfcap.errors import InputError

    trained = _refusing(monkeypatch, iter(["no weights"] * 3 + [""] * 2))
    arguments = arguments_of({**toy_flags, **_SHORT}, tmp_path / "x", _SEARCH, "--trials=5")
    with pytest.raises(InputError, match="last 3 trials could not be run, all for one reason: no weights"):
        tune.main(["tune", *arguments])
    assert len(trained) == 3
    tune.main(["tune", *arguments])  # what was wrong has been mended
    assert len(trained) == 5


def test_the_first_command_is_the_one_that_is_told_and_leftovers_go(toy_flags, tmp_path, monkeypatch):
    from tfcap import tune

    _refusing(monkeypatch, iter(["", ""]))
    out = tmp_path / "x"
    for trials in (1, 2):
        arguments = ["tune", *arguments_of({**toy_flags, **_SHORT}, out, _SEARCH, f"--trials={trials}")]
        monkeypatch.setattr(sys, "argv", arguments)
        tune.main(arguments)
        found = json.loads((out / "tune.json").read_text())
        assert found["command"][-1] == "--trials=1" and len(found["trials"]) == trials
        assert not list(out.glob(".tune*"))
        (out / ".tune.json.abc.partial.json").touch()  # as a kill leaves it


def test_data_that_cannot_be_had_are_no_trial_s_fault(tmp_path, monkeypatch):
    from tfcap import tune
    from tfcap.errors import InputError

    trained = _refusing(monkeypatch, iter([]))
    said = ["--dataset=flickr8k", f"--data_dir={tmp_path}", "--search=dropout=0..0.5", f"--out={tmp_path / 'x'}"]
    with pytest.raises(InputError, match="needs its source"):
        tune.main(["tune", *said])
    assert trained == []


def test_without_optuna_the_error_says_what_to_install(tmp_path, monkeypatch):
    from tfcap import tune
    from tfcap.errors import InputError

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs Optuna, which is not installed. pip install 'optuna>=5,<6'"):
        tune.main(["tune", f"--out={tmp_path / 'x'}", _SEARCH, "--tracker=tensorboard"])
    assert not (tmp_path / "x").exists()
