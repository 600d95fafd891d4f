import functools

import numpy as np
import pytest

from tests.training.toy import captioner
from tfcap.errors import InputError
from tfcap.models.lstm import LSTMCaptioner
from tfcap.training import checkpoint
from tfcap.training.step import SummedAdamW


@functools.cache
def _made():
    model = captioner()
    optimizer = SummedAdamW(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def _pair(seed=0):
    """The one model and optimizer of this file, with values by the seed."""
    model, optimizer = _made()
    rng = np.random.default_rng(seed)
    for variable in (*model.trainable_variables, *optimizer.variables):
        variable.assign(rng.integers(0, 1000, variable.shape).astype(variable.dtype))
    return model, optimizer


def _save(folder, step, *, best=False, seed=0):
    model, optimizer = _pair(seed)
    checkpoint.save(folder, model, optimizer, {"step": step}, best=best, writes=True)
    return model, optimizer


def _values(model, optimizer):
    return [variable.numpy() for variable in (*model.trainable_variables, *optimizer.variables)]


def _steps(folder):
    return sorted(path.name for path in folder.glob("step-*"))


def test_what_is_saved_is_restored_bit_by_bit(tmp_path):
    saved = _values(*_save(tmp_path, 7, seed=1))
    other = _pair(seed=2)
    assert checkpoint.restore(checkpoint.find(tmp_path), *other) == {"step": 7}
    for ours, theirs in zip(_values(*other), saved, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_model_alone_is_restored_without_the_optimizer(tmp_path):
    saved = _values(*_save(tmp_path, 1, seed=1))
    model, optimizer = _pair(seed=2)
    ours = _values(model, optimizer)
    checkpoint.restore(checkpoint.find(tmp_path), model)
    count = len(model.trainable_variables)
    for found, expected in zip(_values(model, optimizer), [*saved[:count], *ours[count:]], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_only_latest_and_best_are_kept(tmp_path):
    assert checkpoint.find(tmp_path) is None and checkpoint.find(tmp_path, checkpoint.BEST) is None
    _save(tmp_path, 1)
    assert checkpoint.find(tmp_path, checkpoint.BEST) is None
    _save(tmp_path, 2, best=True)
    _save(tmp_path, 3)
    _save(tmp_path, 4)
    assert _steps(tmp_path) == ["step-00000002", "step-00000004"]
    assert checkpoint.find(tmp_path).name == "step-00000004"
    assert checkpoint.find(tmp_path, checkpoint.BEST).name == "step-00000002"
    _save(tmp_path, 5, best=True)
    assert _steps(tmp_path) == ["step-00000005"]


def test_what_a_kill_left_is_removed_by_the_next_save(tmp_path):
    (tmp_path / ".step-00000001.abc.partial").mkdir()
    (tmp_path / ".step-00000001.abc.partial" / "state.safetensors").touch()
    (tmp_path / ".LATEST.abc.partial").touch()
    _save(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LATEST", "step-00000001"]


def test_a_kill_between_the_pointers_does_not_lose_the_best(tmp_path, monkeypatch):
    """LATEST says what is done, so it is the last to be written: what it names is named by BEST if it is the best."""
    _save(tmp_path, 1, best=True)
    original, written = checkpoint.write_text, []

    def killed_after_one(path, text):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        original(path, text)

    monkeypatch.setattr(checkpoint, "write_text", killed_after_one)
    with pytest.raises(KeyboardInterrupt):
        _save(tmp_path, 2, best=True)
    monkeypatch.undo()
    latest, best = checkpoint.find(tmp_path), checkpoint.find(tmp_path, checkpoint.BEST)
    assert (latest.name, best.name) == ("step-00000001", "step-00000002")
    _save(tmp_path, 2, best=True)
    assert _steps(tmp_path) == ["step-00000002"]


def test_a_worker_that_does_not_write_writes_nothing(tmp_path):
    model, optimizer = _pair()
    checkpoint.save(tmp_path, model, optimizer, {"step": 1}, best=True, writes=False)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_another_model_names_what_differs(tmp_path):
    _save(tmp_path, 1)
    wider = LSTMCaptioner(captioner().encoder, 3, 7, units=3, embedding_size=2, dropout=0.0)
    with pytest.raises(InputError, match=r"is of another model: missing none; left over none; of another shape .*lstm"):
        checkpoint.restore(checkpoint.find(tmp_path), wider)
    with_encoder = captioner(encoder_trains=True)
    with pytest.raises(InputError, match="missing model/dense/bias, model/dense/kernel; left over none"):
        checkpoint.restore(checkpoint.find(tmp_path), with_encoder)


def test_a_model_that_does_not_fit_is_left_as_it_was(tmp_path):
    _save(tmp_path, 1, seed=1)
    model = captioner(encoder_trains=True, seed=2)
    before = [variable.numpy() for variable in model.trainable_variables]
    with pytest.raises(InputError):
        checkpoint.restore(checkpoint.find(tmp_path), model)
    for kept, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), kept)


@pytest.mark.parametrize("harm", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * len(data)])
def test_a_damaged_file_is_an_input_error(tmp_path, harm):
    _save(tmp_path, 1)
    path = checkpoint.find(tmp_path) / "state.safetensors"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(InputError, match=r"is damaged .* Run with --noresume"):
        checkpoint.restore(path.parent, *_pair())


def test_a_pointer_to_nothing_is_an_input_error(tmp_path):
    (tmp_path / "LATEST").write_text("step-00000009")
    with pytest.raises(InputError, match="names a checkpoint that is gone. Received: step-00000009"):
        checkpoint.find(tmp_path)


def test_the_identity_is_of_the_parameters(tmp_path):
    hashes = set()
    for step, seed in ((1, 0), (2, 0), (3, 1)):
        _save(tmp_path, step, seed=seed)
        hashes.add(checkpoint.identity(checkpoint.find(tmp_path)))
    assert len(hashes) == 2


def _save_epoch(folder, step, epoch, step_in_epoch=0):
    model, optimizer = _pair(step)
    state = {"step": step, "epoch": epoch, "step_in_epoch": step_in_epoch}
    checkpoint.save(folder, model, optimizer, state, best=False, writes=True)


def test_the_checkpoint_after_an_epoch_stays_when_it_is_kept(tmp_path):
    _save_epoch(tmp_path, 4, 1)
    checkpoint.keep(tmp_path, 1)
    for step in (8, 12):
        _save_epoch(tmp_path, step, step // 4)
    assert _steps(tmp_path) == ["step-00000004", "step-00000012"]
    checkpoint.keep(tmp_path, 1)  # it is; the latest is another
    kept = checkpoint.find(tmp_path, checkpoint.after(1))
    assert kept.name == "step-00000004" and checkpoint.epoch(kept) == 1


@pytest.mark.parametrize(("epoch", "step_in_epoch"), [(2, 0), (1, 3), (0, 3)])
def test_only_the_latest_checkpoint_at_an_epoch_s_end_is_kept(tmp_path, epoch, step_in_epoch):
    with pytest.raises(RuntimeError, match="not that after epoch 1"):
        checkpoint.keep(tmp_path, 1)
    _save_epoch(tmp_path, 8, epoch, step_in_epoch)
    with pytest.raises(RuntimeError, match="not that after epoch 1"):
        checkpoint.keep(tmp_path, 1)
