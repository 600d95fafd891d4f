import numpy as np
import pytest

from tests.training.toy import ToyRecords
from tfcap.errors import InputError
from tfcap.scoring import score_store

_RECORDS = ToyRecords(4)


def _stored(folder, scores=(1.0, 2.0, 3.0, 4.0)):
    np.save(folder / "loss.npy", np.array(scores, np.float32))
    score_store.describe(folder, "loss", _RECORDS, {"unit": "nats", "seed": 3})
    return folder / "loss.npy"


def test_what_was_described_is_loaded(tmp_path):
    _stored(tmp_path)
    scores, about = score_store.load(tmp_path, "loss", _RECORDS)
    assert scores.tolist() == [1, 2, 3, 4] and scores.dtype == np.float32
    assert about == {"score": "loss", "fingerprint": _RECORDS.fingerprint, "unit": "nats", "seed": 3}


def test_scores_without_a_description_are_none_yet(tmp_path):
    assert score_store.load(tmp_path, "loss", _RECORDS) is None
    np.save(tmp_path / "loss.npy", np.zeros(4, np.float32))
    assert score_store.load(tmp_path, "loss", _RECORDS) is None


@pytest.mark.parametrize("records", [ToyRecords(4, fingerprint="e" * 64), ToyRecords(5)])
def test_scores_of_other_data_are_refused(tmp_path, records):
    _stored(tmp_path)
    with pytest.raises(InputError, match="were made for other data.*Score again on this data set"):
        score_store.load(tmp_path, "loss", records)


@pytest.mark.parametrize("data", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_an_input_error(tmp_path, data):
    _stored(tmp_path).write_bytes(data)
    with pytest.raises(InputError, match="is damaged.*Delete loss.json and run again"):
        score_store.load(tmp_path, "loss", _RECORDS)


def test_a_missing_file_is_an_input_error(tmp_path):
    _stored(tmp_path).unlink()
    with pytest.raises(InputError, match="is damaged"):
        score_store.load(tmp_path, "loss", _RECORDS)


def test_a_file_that_is_cut_is_an_input_error(tmp_path):
    path = _stored(tmp_path)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(InputError, match="is damaged"):
        score_store.load(tmp_path, "loss", _RECORDS)


def test_a_pickle_is_refused(tmp_path):
    path = _stored(tmp_path)
    np.save(path, np.array([{}, 1, 2, 3], dtype=object))
    with pytest.raises(InputError, match="is damaged"):
        score_store.load(tmp_path, "loss", _RECORDS)


def test_scores_that_were_made_by_other_choices_are_refused(tmp_path):
    _stored(tmp_path)
    score_store.describe(tmp_path, "loss", _RECORDS, {"token_reduction": "mean"})
    assert score_store.load(tmp_path, "loss", _RECORDS, {"token_reduction": "mean", "newer": 1}) is not None
    with pytest.raises(InputError, match="made otherwise.*Received: --token_reduction=sum.*=mean.*Delete loss.json"):
        score_store.load(tmp_path, "loss", _RECORDS, {"token_reduction": "sum"})
