"""Records found by position are the records that a sequential reader finds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.files import read_json, write_json


def _sequential(folder: Path, split: str) -> list[bytes]:
    shards = read_json(folder / "tfcap.json")["splits"][split]["shards"]
    return list(tf.data.TFRecordDataset([str(folder / shard["file"]) for shard in shards]).as_numpy_iterator())


@pytest.mark.parametrize(("split", "count"), [("train", 48), ("validation", 6), ("test", 6)])
def test_every_position_holds_what_a_sequential_reader_finds(scenes, split, count):
    records = Records(scenes, split)
    assert len(records) == count
    assert records.raw(range(count)) == _sequential(scenes, split)


def test_positions_may_come_in_any_order_and_twice(scenes):
    whole = _sequential(scenes, "train")
    positions = np.array([47, 0, 13, 13])
    assert Records(scenes, "train").raw(positions) == [whole[position] for position in positions]


def test_ids_and_captions_are_the_records_own(scenes):
    records = Records(scenes, "train")
    parsed = [tf.train.Example.FromString(raw).features.feature for raw in _sequential(scenes, "train")]
    assert records.ids.tolist() == [feature["image/id"].int64_list.value[0] for feature in parsed]
    expected = [[text.decode() for text in feature["captions/text"].bytes_list.value] for feature in parsed]
    assert records.captions == expected


def test_captions_of_more_than_one_parse_block_stay_in_order(scenes, monkeypatch):
    expected = Records(scenes, "train").captions
    monkeypatch.setattr("tfcap.data.records._PARSE_BLOCK", 7)
    assert Records(scenes, "train").captions == expected


def test_picture_is_the_stored_image(scenes):
    encoded = tf.train.Example.FromString(_sequential(scenes, "test")[2]).features.feature["image"].bytes_list.value[0]
    picture = Records(scenes, "test").picture(2)
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, tf.io.decode_jpeg(encoded, channels=3).numpy())


def test_limit_takes_the_first_records_and_another_fingerprint(scenes):
    whole, limited = Records(scenes, "train"), Records(scenes, "train", limit=5)
    assert limited.ids.tolist() == whole.ids[:5].tolist()
    assert limited.captions == whole.captions[:5]
    prints = [Records(scenes, "train", limit=limit).fingerprint for limit in (0, 5, 6)]
    assert len(set(prints)) == 3
    assert prints[0] == whole.fingerprint
    assert limited.fingerprint == prints[1]


@pytest.mark.parametrize("limit", [48, 1000])
def test_a_limit_that_takes_everything_changes_nothing(scenes, limit):
    assert Records(scenes, "train", limit).fingerprint == Records(scenes, "train").fingerprint


def test_splits_have_fingerprints_of_their_own(scenes):
    assert len({Records(scenes, split).fingerprint for split in ("train", "validation", "test")}) == 3


def test_truth_is_read_in_record_order_and_none_where_there_is_none(scenes):
    records = Records(scenes, "train")
    parsed = [tf.train.Example.FromString(raw).features.feature for raw in _sequential(scenes, "train")]
    noisy = records.truth("noisy")
    assert noisy.tolist() == [feature["truth/noisy"].int64_list.value[0] for feature in parsed]
    assert noisy.sum() == round(0.05 * 48)
    assert records.truth("beauty") is None


@pytest.fixture
def damaged(scenes, tmp_path) -> Path:
    return Path(shutil.copytree(scenes, tmp_path / "copy"))


def test_a_shard_cut_short_is_an_error_that_names_it(damaged):
    records = Records(damaged, "train")
    shard = next(damaged.glob("*train*"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(InputError, match=f"cut short.*{shard.name}.*build it again"):
        records.raw([len(records) - 1])
    assert len(records.raw([0])) == 1


def test_an_unknown_split_lists_the_known_ones(scenes):
    with pytest.raises(InputError, match="Received: training.*train or validation or test"):
        Records(scenes, "training")


def test_an_empty_split_is_an_error(damaged):
    with np.load(damaged / "tfcap_index.npz") as index:
        arrays = {name: index[name][:0] if name.startswith("test/") else index[name] for name in index}
    np.savez(damaged / "tfcap_index.npz", **arrays)
    manifest = read_json(damaged / "tfcap.json")
    manifest["splits"]["test"]["records"] = 0
    write_json(damaged / "tfcap.json", manifest)
    with pytest.raises(InputError, match="The test split of .* is empty"):
        Records(damaged, "test")


@pytest.mark.parametrize("damage", [b"", b"hello", None])
def test_a_damaged_index_is_named(damaged, damage):
    path = damaged / "tfcap_index.npz"
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    with pytest.raises(InputError, match=r"The index .*tfcap_index.npz is damaged.*build it again"):
        Records(damaged, "train")


def test_described_says_what_the_records_at_the_positions_say(scenes, monkeypatch):
    monkeypatch.setattr("tfcap.data.records._PARSE_BLOCK", 2)
    whole, records = _sequential(scenes, "train"), Records(scenes, "train")
    for position, said in zip([47, 3, 0], records.described([47, 3, 0]), strict=True):
        feature = tf.train.Example.FromString(whole[position]).features.feature
        assert said.image_id == feature["image/id"].int64_list.value[0] == records.ids[position]
        assert said.filename.encode() == feature["image/filename"].bytes_list.value[0]
        assert (said.height, said.width) == (96, 96)
        assert said.captions == records.captions[position]
        assert said.caption_ids == list(feature["captions/id"].int64_list.value)
