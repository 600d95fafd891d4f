import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.training.toy import FEATURES, ToyRecords, captioner
from tfcap.data.pipeline import Captions, Inputs, TrainingBatches
from tfcap.data.text import WordTokenizer
from tfcap.errors import InputError, TrainingDiverged
from tfcap.files import read_json
from tfcap.scoring.tracking import tracking_of
from tfcap.settings import Settings, TrainingSettings
from tfcap.training import checkpoint
from tfcap.training.knowledge import TaughtCaptioner
from tfcap.training.loop import Training
from tfcap.training.strategy import connect

_REPOSITORY = Path(__file__).resolve().parents[2]
_RECORDS = 10
TRACK = ("loss", "gradient_norm", "forgetting", "aum")


def _training(
    folder,
    epochs=2,
    features=None,
    validate=None,
    log=None,
    track=(),
    kept=_RECORDS,
    steps=0,
    judged_by="val_CIDEr",
    alpha=None,
    **values,
):
    """Ten records in batches of four: three steps an epoch; with `alpha` also from a teacher."""
    records = ToyRecords(_RECORDS)
    tokenizer = WordTokenizer(["<pad>", "<begin>", "<end>", "<unk>", "word0", "word1", "and"], max_tokens=6)
    if features is None:
        features = np.random.default_rng(0).normal(size=(_RECORDS, FEATURES)).astype(np.float32)
    batches = TrainingBatches(
        Inputs(records, 16, features=features), Captions(records, tokenizer), np.arange(kept), 4, seed=0
    )
    settings = Settings().replace(xla=False, progress=False, dropout=0.3, batch_size=4, **values)
    replicas = connect(TrainingSettings(strategy="single"))
    model = captioner(dropout=0.3)
    tracking = tracking_of(track, model, settings.selection) if track else None
    objective = None if alpha is None else TaughtCaptioner(model, captioner(seed=1), alpha=alpha, temperature=4.0)
    named = {"tracking": tracking, "steps": steps, "judged_by": judged_by, "objective": objective}
    return Training(model, batches, settings, epochs, replicas, folder, validate, log, **named)


def _parameters(training):
    return np.concatenate([variable.numpy().ravel() for variable in training.model.trainable_variables])


def test_epochs_of_steps_and_one_value_of_each_series_an_epoch(tmp_path):
    scores = iter([{"val_loss": 2.0, "val_CIDEr": 0.5}, {"val_loss": 1.0, "val_CIDEr": 0.7}])
    progress = _training(tmp_path, epochs=3, validate=lambda: next(scores), validate_every=2).run()
    assert (progress.step, progress.epoch, progress.step_in_epoch, progress.best) == (9, 3, 0, 0.7)
    assert progress.history["val_CIDEr"] == [None, 0.5, 0.7]
    assert {len(series) for series in progress.history.values()} == {3}
    assert all(math.isfinite(value) for value in progress.history["loss"])
    assert progress.history["learning_rate"][-1] == 0.0


def test_validation_picks_the_best_checkpoint(tmp_path):
    scores = iter([{"val_loss": 1.0, "val_CIDEr": value} for value in (0.5, 0.9, 0.9, 0.1)])
    _training(tmp_path, epochs=4, validate=lambda: next(scores), validate_every=1).run()
    assert checkpoint.find(tmp_path, checkpoint.BEST).name == "step-00000006"
    assert checkpoint.find(tmp_path).name == "step-00000012"


def test_accuracy_picks_it_where_training_is_judged_by_that(tmp_path):
    scores = iter([{"val_loss": 1.0, "val_accuracy": value} for value in (0.5, 0.9, 0.1)])
    judged = {"validate": lambda: next(scores), "validate_every": 1, "judged_by": "val_accuracy"}
    progress = _training(tmp_path, epochs=3, **judged).run()
    assert progress.best == 0.9 and progress.history["val_accuracy"] == [0.5, 0.9, 0.1]
    assert checkpoint.find(tmp_path, checkpoint.BEST).name == "step-00000006"
    assert "val_CIDEr" not in progress.history


def test_so_many_steps_whatever_the_epochs_and_as_many_validations(tmp_path):
    scores = iter([{"val_loss": 1.0, "val_CIDEr": value} for value in (0.5, 0.7)])
    training = _training(tmp_path, validate=lambda: next(scores), validate_every=1, kept=6, steps=7)
    progress = training.run()  # two steps an epoch: three epochs and a half
    assert (progress.step, progress.epoch, progress.best) == (7, 4, 0.7)
    assert progress.history["val_CIDEr"] == [None, 0.5, None, 0.7]
    assert progress.history["learning_rate"][-1] == 0.0 < progress.history["learning_rate"][-2]
    assert progress.history["images_per_second"][-1] == pytest.approx((3 * 6 + 4) / progress.seconds)


def test_so_many_steps_are_those_of_a_training_of_whole_epochs(tmp_path):
    by_epochs, by_steps = _training(tmp_path / "epochs"), _training(tmp_path / "steps", epochs=1, steps=6)
    by_epochs.run()
    by_steps.run()
    np.testing.assert_array_equal(_parameters(by_steps), _parameters(by_epochs))


class _Stop(Exception):
    pass


def _stop(training, step):
    """Runs the training until it has saved the step, and no further."""
    original = training._save

    def stops(best):
        original(best)
        if training.progress.step == step:
            raise _Stop

    training._save = stops
    with pytest.raises(_Stop):
        training.run()


def test_an_interrupted_training_goes_on_where_it_was(tmp_path):
    whole = _training(tmp_path / "whole")
    whole.run()
    for done, stop in ((0, 1), (1, 3), (3, 4)):  # in the first epoch, at its end, in the second
        training = _training(tmp_path / "parts", checkpoint_every=1)
        assert training.progress.step == done
        _stop(training, stop)
    resumed = _training(tmp_path / "parts", checkpoint_every=1)
    resumed.run()
    np.testing.assert_array_equal(_parameters(resumed), _parameters(whole))
    for name in ("loss", "gradient_norm", "learning_rate"):
        assert resumed.progress.history[name] == whole.progress.history[name]


def test_a_teacher_is_learned_from_and_nothing_of_it_is_kept(tmp_path):
    """With alpha = 1 it says nothing, and training is that of the captions alone, dropout included."""
    plain, silent, taught = (_training(tmp_path / str(alpha), alpha=alpha) for alpha in (None, 1.0, 0.1))
    for training in (plain, silent, taught):
        training.run()
    np.testing.assert_allclose(_parameters(silent), _parameters(plain), rtol=1e-5, atol=1e-7)
    assert np.abs(_parameters(taught) - _parameters(plain)).max() > 1e-3
    stored = [load_file(checkpoint.find(tmp_path / alpha) / "state.safetensors") for alpha in ("None", "0.1")]
    assert stored[0].keys() == stored[1].keys()


def test_an_interrupted_student_goes_on_where_it_was(tmp_path):
    whole = _training(tmp_path / "whole", alpha=0.1)
    whole.run()
    _stop(_training(tmp_path / "parts", checkpoint_every=1, alpha=0.1), 4)
    resumed = _training(tmp_path / "parts", alpha=0.1)
    assert resumed.progress.step == 4 and resumed.run().step == 6
    np.testing.assert_array_equal(_parameters(resumed), _parameters(whole))
    assert resumed.progress.history["loss"] == whole.progress.history["loss"]


def test_an_interrupted_last_part_of_an_epoch_goes_on_where_it_was(tmp_path):
    whole = _training(tmp_path / "whole", steps=5)
    whole.run()
    _stop(_training(tmp_path / "parts", checkpoint_every=1, steps=5), 4)
    resumed = _training(tmp_path / "parts", checkpoint_every=1, steps=5)
    assert resumed.run().step == 5
    np.testing.assert_array_equal(_parameters(resumed), _parameters(whole))
    assert _training(tmp_path / "parts", steps=5).run().step == 5


def test_tracking_changes_nothing_and_gives_each_kept_example_a_number_an_epoch(tmp_path):
    plain, tracked = (_training(tmp_path / str(len(track)), kept=9, track=track) for track in ((), TRACK))
    plain.run()
    tracked.run()
    np.testing.assert_allclose(_parameters(tracked), _parameters(plain), rtol=1e-5)
    assert list(tracked.dynamics) == list(TRACK) and plain.dynamics == {}
    for array in tracked.dynamics.values():
        assert array.shape == (2, _RECORDS) and array.dtype == np.float32
        assert np.isfinite(array[:, :9]).all() and np.isnan(array[:, 9]).all()
    assert len(list(tmp_path.glob("4/*/dynamics.safetensors"))) == 1
    assert not list(tmp_path.glob("0/*/dynamics.safetensors"))


def test_an_interrupted_training_loses_nothing_that_was_tracked(tmp_path):
    whole = _training(tmp_path / "whole", track=TRACK)
    whole.run()
    for done, stop in ((0, 1), (1, 3), (3, 5)):  # in the first epoch, at its end, in the second
        training = _training(tmp_path / "parts", checkpoint_every=1, track=TRACK)
        assert training.progress.step == done
        assert np.isfinite(training.dynamics["loss"]).sum() == {0: 0, 1: 4, 3: 10}[done]
        _stop(training, stop)
    resumed = _training(tmp_path / "parts", checkpoint_every=1, track=TRACK)
    resumed.run()
    for name, array in whole.dynamics.items():
        np.testing.assert_array_equal(resumed.dynamics[name], array, err_msg=name)
        np.testing.assert_array_equal(_training(tmp_path / "parts", track=TRACK).dynamics[name], array)


def test_a_checkpoint_of_a_training_that_tracked_otherwise_is_refused(tmp_path):
    _training(tmp_path, epochs=1).run()
    with pytest.raises(InputError, match="is of another training: missing aum, loss; left over none"):
        _training(tmp_path, epochs=1, track=("loss", "aum"))
    (found,) = tmp_path.glob("step-*")
    save_file({"loss": np.zeros([1, _RECORDS], np.float32)}, found / "dynamics.safetensors")
    assert (_training(tmp_path, epochs=1, track=("loss",)).dynamics["loss"] == 0).all()
    for track, words in ((("loss", "aum"), "missing aum; left over none"), ((), "missing none; left over loss")):
        with pytest.raises(InputError, match=f"is of another training: {words}"):
            _training(tmp_path, epochs=1, track=track)
    (found / "dynamics.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match="is damaged .*--noresume"):
        _training(tmp_path, epochs=1, track=("loss",))


def test_a_finished_training_is_not_done_again(tmp_path):
    first = _training(tmp_path).run()
    again = _training(tmp_path)
    again._step = None
    assert dataclasses.asdict(again.run()) == dataclasses.asdict(first)


def test_nan_names_the_step_and_leaves_the_last_checkpoint(tmp_path):
    whole = _training(tmp_path / "unused")
    reached = [step for step, batch in enumerate(whole.batches.epoch(0)) if 7 in batch["position"]]
    features = np.array(whole.batches.inputs.features)
    (step,), features[7] = reached, np.nan
    training = _training(tmp_path, features=features, checkpoint_every=1)
    with pytest.raises(TrainingDiverged, match=rf"diverged at step {step} \(epoch 0\): loss nan.*checkpoint is intact"):
        training.run()
    found = checkpoint.find(tmp_path)
    if step == 0:
        assert found is None
    else:
        assert read_json(found / "state.json")["step"] == step
        assert all(np.isfinite(array).all() for array in load_file(found / "state.safetensors").values())


def test_divergence_is_exit_code_1_on_the_command_line_and_leaves_the_last_checkpoint(tmp_path):
    """A weight is multiplied by 1 - rate x decay = -9999 at each step, so it overflows after some."""
    flags = (
        "--scenes_size=20 --min_word_count=1 --image_size=16 --max_tokens=8 --units=4 --embedding_size=4 --epochs=50"
    )
    wild = "--learning_rate=100 --weight_decay=100 --warmup_fraction=0 --clip_norm=0 --fraction=1 --batch_size=16"
    done = subprocess.run(
        [sys.executable, "-m", "tfcap.main", *flags.split(), *wild.split(), "--noxla", "--noprogress"]
        + [f"--data_dir={tmp_path / 'data'}", f"--run_dir={tmp_path / 'run'}", "--checkpoint_every=1"]
        + ["--validate_every=100"],
        cwd=_REPOSITORY,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("error: Training diverged at step ") and "Traceback" not in done.stderr
    path = checkpoint.find(tmp_path / "run" / "checkpoints")
    state = read_json(path / "state.json")
    assert f"at step {state['step']} (epoch {state['epoch']})" in said and state["step"] > 1
    assert load_file(path / "state.safetensors")
    assert not list(tmp_path.rglob("*.partial*"))
