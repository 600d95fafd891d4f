"""A mask comes back as it was saved, and only for the data it was made for."""

import numpy as np
import pytest

from tfcap.data.masks import Mask
from tfcap.data.records import Records
from tfcap.errors import InputError


@pytest.fixture
def records(scenes):
    return Records(scenes, "train")


@pytest.fixture
def saved(records, tmp_path):
    chosen = records.ids[[30, 2, 17]]
    mask = Mask.of(chosen, records, selector="random", fraction=0.0625, seed=3, score=None)
    mask.save(tmp_path, "toy")
    return mask


def test_round_trip_keeps_the_order_of_selection(saved, records, tmp_path):
    loaded = Mask.load(tmp_path, "toy", records)
    assert loaded.ids.tolist() == records.ids[[30, 2, 17]].tolist() and loaded.ids.dtype == np.int64
    assert np.flatnonzero(loaded.mask).tolist() == [2, 17, 30] and loaded.mask.dtype == bool
    assert loaded.positions.tolist() == [2, 17, 30]
    assert loaded.about == {
        "selector": "random",
        "fraction": 0.0625,
        "seed": 3,
        "score": None,
        "fingerprint": records.fingerprint,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.json", "toy.npz"]


def test_a_mask_holds_no_pickle(saved, tmp_path):
    with np.load(tmp_path / "toy.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["ids", "mask"]


@pytest.mark.parametrize(("split", "limit"), [("validation", 0), ("train", 47)])
def test_other_data_are_refused(saved, scenes, tmp_path, split, limit):
    other = Records(scenes, split, limit)
    with pytest.raises(InputError, match=rf"toy.npz was made for other data.*{other.fingerprint[:12]}"):
        Mask.load(tmp_path, "toy", other)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "missing", "no mask"])
def test_a_damaged_file_is_named(saved, records, tmp_path, damage):
    path = tmp_path / "toy.npz"
    if damage == "missing":
        path.unlink()
    elif damage == "no mask":
        np.savez(path, ids=saved.ids)
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:-30], "text": b"hello"}[damage])
    with pytest.raises(InputError, match=r"The mask .*toy.npz is damaged.*Delete it and run again"):
        Mask.load(tmp_path, "toy", records)
