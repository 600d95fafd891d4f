"""A pass that is killed goes on where it was, and a cache of another encoder is never found."""

import json

import numpy as np
import pytest

from tfcap.data import feature_cache, resumable
from tfcap.data.feature_cache import features
from tfcap.data.pipeline import Inputs, SequentialBatches
from tfcap.data.records import Records
from tfcap.errors import InputError

SIZE = 16


class Killed(Exception):
    pass


class Encoder:
    """Mean colour and position of each image; counts the batches, and dies before the one numbered `dies_at`."""

    def __init__(self, dies_at=None):
        self.calls, self.dies_at = 0, dies_at

    def __call__(self, batch):
        if self.calls == self.dies_at:
            raise Killed
        self.calls += 1
        means = batch["images"].mean(axis=(1, 2))
        return np.concatenate([means, batch["position"][:, None]], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def records(scenes):
    return Records(scenes, "train")


def _features(records, folder, encoder, batch_size=10, encoder_hash="e", size=SIZE):
    return features(records, size, encoder_hash, encoder, folder, batch_size, progress=False)


def test_rows_are_the_features_in_record_order(records, tmp_path):
    array, seconds = _features(records, tmp_path, Encoder())
    assert array.shape == (48, 4) and array.dtype == np.float32 and isinstance(array, np.memmap)
    assert array[:, 3].tolist() == list(range(48))
    batch = next(iter(SequentialBatches(Inputs(records, SIZE), np.array([31]), 1)))
    np.testing.assert_allclose(array[31, :3], batch["images"][0].mean(axis=(0, 1)), rtol=1e-6)
    assert seconds > 0


def test_features_of_the_last_padded_batch_are_not_written_twice(records, tmp_path):
    array, _ = _features(records, tmp_path, Encoder(), batch_size=32)
    assert array[:, 3].tolist() == list(range(48))


def test_a_second_call_computes_nothing_and_says_the_same_seconds(records, tmp_path):
    first, seconds = _features(records, tmp_path, Encoder())
    again = Encoder()
    second, said = _features(records, tmp_path, again)
    assert again.calls == 0 and said == seconds
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("dies_at", [0, 1, 3, 4])
def test_a_killed_pass_continues_and_gives_the_same(records, tmp_path, monkeypatch, dies_at):
    monkeypatch.setattr(resumable, "_SAVE_SECONDS", 0.0)
    expected, _ = _features(records, tmp_path / "whole", Encoder())
    killed = Encoder(dies_at)
    with pytest.raises(Killed):
        _features(records, tmp_path / "killed", killed)
    assert not list((tmp_path / "killed").rglob("features-train.npy"))
    rest = Encoder()
    found, _ = _features(records, tmp_path / "killed", rest)
    assert rest.calls == 5 - dies_at
    np.testing.assert_array_equal(found, expected)
    assert [p.name for p in (tmp_path / "killed").rglob(".*")] == [".features-train.lock"]


def test_a_whole_cache_is_read_where_nothing_can_be_written(records, tmp_path, monkeypatch):
    first, _ = _features(records, tmp_path, Encoder())

    def refused(lock):
        raise PermissionError(lock)

    monkeypatch.setattr(feature_cache, "locked", refused)
    again, _ = _features(records, tmp_path, Encoder())
    np.testing.assert_array_equal(again, first)


def test_work_since_the_last_save_is_done_again(records, tmp_path, monkeypatch):
    """Rows are trusted only up to what the journal names."""
    monkeypatch.setattr(resumable, "_SAVE_SECONDS", 0.0)
    with pytest.raises(Killed):
        _features(records, tmp_path, Encoder(dies_at=3))
    (journal,) = tmp_path.rglob("*.partial.json")
    (partial,) = tmp_path.rglob("*.partial.npy")
    journal.write_text(json.dumps({**json.loads(journal.read_text()), "batches": 2}))
    array = np.load(partial, mmap_mode="r+")
    array[20:] = np.nan
    array.flush()
    rest = Encoder()
    found, _ = _features(records, tmp_path, rest)
    assert rest.calls == 3 and found[:, 3].tolist() == list(range(48))


def test_another_batch_size_starts_afresh(records, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "_SAVE_SECONDS", 0.0)
    with pytest.raises(Killed):
        _features(records, tmp_path, Encoder(dies_at=3))
    rest = Encoder()
    found, _ = _features(records, tmp_path, rest, batch_size=16)
    assert rest.calls == 3 and found[:, 3].tolist() == list(range(48))


@pytest.mark.parametrize("journal", ["", "{"])
def test_a_damaged_journal_is_named(records, tmp_path, monkeypatch, journal):
    monkeypatch.setattr(resumable, "_SAVE_SECONDS", 0.0)
    with pytest.raises(Killed):
        _features(records, tmp_path, Encoder(dies_at=3))
    (path,) = tmp_path.rglob("*.partial.json")
    path.write_text(journal)
    with pytest.raises(InputError, match=rf"{path.name} is not valid JSON.*Delete it and run again"):
        _features(records, tmp_path, Encoder())


def test_encoder_size_and_data_each_have_a_cache_of_their_own(records, scenes, tmp_path):
    calls = [
        {"encoder_hash": "e"},
        {"encoder_hash": "other"},
        {"size": 8},
        {"records": Records(scenes, "train", limit=20)},
    ]
    for index, changes in enumerate(calls):
        encoder = Encoder()
        _features(**{"records": records, "folder": tmp_path, "encoder": encoder, **changes})
        assert encoder.calls > 0, changes
        assert len(list(tmp_path.iterdir())) == index + 1
    for changes in calls:
        encoder = Encoder()
        _features(**{"records": records, "folder": tmp_path, "encoder": encoder, **changes})
        assert encoder.calls == 0, changes


def test_a_process_that_does_not_write_computes_every_batch_and_writes_nothing(records, tmp_path):
    encoder = Encoder()
    batches = SequentialBatches(Inputs(records, SIZE), np.arange(48), 10)
    resumable.fill(tmp_path / "out", "x", batches, encoder, progress=False, writes=False)
    assert encoder.calls == 5
    assert not (tmp_path / "out").exists()
