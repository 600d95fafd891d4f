"""Scores from made-up dynamics against counts written out, and the files of dynamics."""

import numpy as np
import pytest

from tests.training.toy import ToyRecords
from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.registry import SCORES
from tfcap.scoring import training_dynamics
from tfcap.settings import SelectionSettings


def _score(name, tracked, **settings):
    return SCORES[name](SelectionSettings(**settings)).of_epochs(np.array(tracked, np.float32))


def _forgotten(series, threshold):
    """Returns the events of one example, one pair of consecutive presentations after the other."""
    learnt = [value >= threshold for value in series if not np.isnan(value)]
    if not learnt:
        return np.nan
    if not any(learnt):
        return len(series) + 1
    return sum(before and not after for before, after in zip(learnt, learnt[1:], strict=False))


@pytest.mark.parametrize("threshold", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("epochs", [1, 2, 7])
def test_forgetting_events_are_those_counted_one_by_one(epochs, threshold):
    rng = np.random.default_rng(epochs)
    tracked = rng.integers(0, 5, [epochs, 200]).astype(np.float32) / 4  # with values at each threshold
    tracked[rng.random(tracked.shape) < 0.1] = np.nan
    expected = [_forgotten(series, np.float32(threshold)) for series in tracked.T]
    found = _score("forgetting", tracked, learnt_accuracy=threshold)
    assert found.dtype == np.float32 and (epochs < 7 or len(set(expected)) > 2)
    np.testing.assert_array_equal(found, expected)


def test_a_few_images_by_hand():
    tracked = np.array([[1, 0, 1, 0, 0.4], [0, 0, 1, 1, 0.4], [1, 0, 1, 1, 0.4], [0, 0, 1, 0, 0.6]])
    assert _score("forgetting", tracked).tolist() == [2, 5, 0, 1, 0]


def test_what_was_never_learnt_is_above_all():
    rng = np.random.default_rng(0)
    tracked = rng.random([9, 500])
    tracked[0], tracked[:, 0] = 0.9, 0.1
    found = _score("forgetting", tracked)
    assert found.argmax() == 0 and found[0] == 10 and np.sort(found)[-2] <= 9 // 2


def test_the_area_under_the_margin_is_minus_the_mean_of_the_epochs_that_there_were():
    tracked = [[1.0, -2.0, np.nan, np.nan], [3.0, -4.0, 5.0, np.nan]]
    np.testing.assert_array_equal(_score("aum", tracked), np.array([-2.0, 3.0, -5.0, np.nan], np.float32))


_RECORDS = ToyRecords(4)
_TRACKED = {"forgetting": np.arange(8, dtype=np.float32).reshape(2, 4), "loss": np.zeros([2, 4], np.float32)}


def test_dynamics_come_back_with_what_is_said_of_them(tmp_path):
    training_dynamics.save(tmp_path / "dynamics", _TRACKED, _RECORDS, {"images": 4, "seed": 3})
    for name, array in _TRACKED.items():
        np.testing.assert_array_equal(training_dynamics.load(tmp_path / "dynamics", name, _RECORDS), array)
    assert training_dynamics.load(tmp_path / "dynamics", "aum", _RECORDS) is None
    assert read_json(tmp_path / "dynamics" / "loss.json") == {
        "score": "loss",
        "fingerprint": _RECORDS.fingerprint,
        "unit": "nats per token",
        "epochs": 2,
        "images": 4,
        "seed": 3,
    }
    assert sorted(path.name for path in (tmp_path / "dynamics").iterdir()) == [
        f"{name}.{kind}" for name in ("forgetting", "loss") for kind in ("json", "npy")
    ]


@pytest.mark.parametrize("records", [ToyRecords(4, fingerprint="e" * 64), ToyRecords(2)])
def test_dynamics_of_other_data_are_refused(tmp_path, records):
    training_dynamics.save(tmp_path, _TRACKED, _RECORDS, {})
    with pytest.raises(InputError, match="were made for other data"):
        training_dynamics.load(tmp_path, "loss", records)


def test_a_teacher_must_have_tracked_every_image(tmp_path):
    training_dynamics.save(tmp_path / "dynamics", _TRACKED, _RECORDS, {})
    np.testing.assert_array_equal(
        training_dynamics.of_teacher(tmp_path, "forgetting", _RECORDS), _TRACKED["forgetting"]
    )
    with pytest.raises(
        InputError, match=r"did not track aum. Received: --teacher=.* Run it with --fraction=1 --track=aum"
    ):
        training_dynamics.of_teacher(tmp_path, "aum", _RECORDS)
    holes = {"aum": np.array([[1, np.nan, 1, np.nan], [np.nan, np.nan, 1, np.nan]], np.float32)}
    training_dynamics.save(tmp_path / "dynamics", holes, _RECORDS, {})
    with pytest.raises(InputError, match=r"not trained on all images.*without 2 of 4.*--fraction=1 --track=aum"):
        training_dynamics.of_teacher(tmp_path, "aum", _RECORDS)
