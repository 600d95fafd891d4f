"""What every data set gets from the base: the record, its order, the quarantine, the index and the manifest."""

import hashlib
import json
import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import tfrecords_builder
from tests.tfrecords_builder.toy import Toy, encoded, example
from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder import captions_builder, features


def _build(data: DataSettings):
    return tfrecords_builder.build(data, progress=False)


def _manifest(folder):
    return json.loads((folder / "tfcap.json").read_text())


def _payloads(folder, split="train"):
    paths = [str(folder / shard["file"]) for shard in _manifest(folder)["splits"][split]["shards"]]
    return [record.numpy() for record in tf.data.TFRecordDataset(paths)]


def test_the_serialised_keys_are_the_documented_ones(toy_data, monkeypatch):
    monkeypatch.setattr(Toy, "extras", ("truth/noisy",))
    monkeypatch.setattr(Toy, "contents", {"train": [example(4, extras={"truth/noisy": 1})]})
    proto = tf.train.Example.FromString(_payloads(_build(toy_data))[0]).features.feature
    of_image = ["image", "image/filename", "image/height", "image/id", "image/width"]
    assert sorted(proto) == ["captions/id", "captions/text", *of_image, "truth/noisy"]
    assert proto["image"].bytes_list.value[0] == encoded(4)
    assert list(proto["captions/text"].bytes_list.value) == [b"caption 4 a", b"caption 4 b"]
    assert list(proto["captions/id"].int64_list.value) == [40, 41]
    assert [proto[f"image/{key}"].int64_list.value[0] for key in ("id", "height", "width")] == [4, 16, 24]
    assert proto["truth/noisy"].int64_list.value[0] == 1


def test_parse_spec_reads_a_batch_eagerly_and_in_a_graph(toy_data):
    payloads = tf.constant(_payloads(_build(toy_data)))
    spec = features.parse_spec(extras=["truth/noisy"])
    for parse in (tf.io.parse_example, tf.function(tf.io.parse_example)):
        parsed = parse(payloads, spec)
        assert parsed["image/id"].numpy().tolist() == [7, 3, 5]
        assert parsed["captions/text"].to_list()[1] == [b"caption 3 a", b"caption 3 b"]
        assert parsed["truth/noisy"].numpy().tolist() == [-1, -1, -1]
    assert "image" not in features.parse_spec(with_image=False)


@pytest.mark.filterwarnings("ignore:label\\(\\) is deprecated:DeprecationWarning")  # TFDS 4.9.10 with protobuf 6
def test_plain_tfds_reads_it(toy_data):
    folder = _build(toy_data)
    by_name = tfds.load("toy/plain", split="train", data_dir=toy_data.data_dir)
    by_folder = tfds.builder_from_directory(str(folder)).as_dataset(split="train")
    for dataset in (by_name, by_folder):
        records = list(dataset.as_numpy_iterator())
        assert [record["image/id"] for record in records] == [7, 3, 5]
        assert records[0]["image"].shape == (16, 24, 3)
        assert records[0]["captions/text"].tolist() == [b"caption 7 a", b"caption 7 b"]


def test_the_index_finds_every_record_in_record_order(toy_data):
    folder = _build(DataSettings(**{**vars(toy_data), "shards": 1}))
    with np.load(folder / "tfcap_index.npz", allow_pickle=False) as index:
        assert sorted(index) == sorted(
            f"{s}/{k}" for s in ("train", "test") for k in ("ids", "shard", "offset", "length")
        )
        assert index["train/ids"].tolist() == [7, 3, 5] and index["train/shard"].dtype == np.int32
        shard = (folder / _manifest(folder)["splits"]["train"]["shards"][0]["file"]).read_bytes()
        spans = zip(index["train/offset"], index["train/length"], strict=True)
        assert [shard[start : start + length] for start, length in spans] == _payloads(folder)


def test_the_manifest_describes_every_shard_and_the_fingerprint_does_not_depend_on_them(
    toy_data, tmp_path, monkeypatch
):
    monkeypatch.setattr(Toy, "contents", {"train": [example(n) for n in range(8)]})
    one = _build(toy_data)
    four = _build(DataSettings(**{**vars(toy_data), "shards": 4, "data_dir": str(tmp_path / "four")}))
    assert _manifest(one)["splits"]["train"]["fingerprint"] == _manifest(four)["splits"]["train"]["fingerprint"]
    described = _manifest(four)["splits"]["train"]
    assert described["records"] == 8 and [shard["records"] for shard in described["shards"]] == [2, 2, 2, 2]
    for shard in described["shards"]:
        content = (four / shard["file"]).read_bytes()
        assert (shard["bytes"], shard["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert np.load(four / "tfcap_index.npz")["train/shard"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    "change",
    [{"image": encoded(99)}, {"captions": ["caption 5 a", "caption 5 B"]}, {"image_id": 6}],
    ids=["pixels", "captions", "id"],
)
def test_the_fingerprint_changes_with_what_a_split_holds(toy_data, tmp_path, monkeypatch, change):
    before = _manifest(_build(toy_data))["splits"]
    monkeypatch.setitem(Toy.contents, "train", [example(7), example(3), example(5, **change)])
    after = _manifest(_build(DataSettings(**{**vars(toy_data), "data_dir": str(tmp_path / "other")})))["splits"]
    assert before["train"]["fingerprint"] != after["train"]["fingerprint"]
    assert before["test"] == after["test"]


def test_a_split_larger_than_memory_is_spilled_in_pieces_and_keeps_its_order(toy_data, monkeypatch):
    numbers = np.random.default_rng(0).permutation(60).tolist()
    monkeypatch.setattr(Toy, "contents", {"train": [example(n) for n in numbers]})
    shuffle = captions_builder.tfds_shuffle
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 0)
    monkeypatch.setattr(captions_builder, "_BUCKET_BYTES", 5_000)
    pieces = []
    read_values = shuffle._Bucket.read_values
    monkeypatch.setattr(
        shuffle._Bucket, "read_values", lambda bucket: pieces.append(len(bucket)) or read_values(bucket)
    )
    folder = _build(toy_data)
    assert np.load(folder / "tfcap_index.npz")["train/ids"].tolist() == numbers
    assert sum(pieces) == 60 and max(pieces) < 12


def test_spill_keys_increase_and_fill_the_buckets_in_order():
    shuffle = captions_builder.tfds_shuffle
    sizes = [bucket * captions_builder._BUCKET_BYTES for bucket in range(shuffle.BUCKETS_NUMBER + 5)]
    keys = [captions_builder.spill_key(position, size) for position, size in enumerate(sizes)]
    assert keys == sorted(set(keys)) and max(keys) < 2**shuffle.HKEY_SIZE
    assert [shuffle.get_bucket_number(key, shuffle.BUCKETS_NUMBER) for key in keys] == [*range(1000), *[999] * 5]


def test_captions_are_normalised_and_empty_ones_left_out(toy_data, monkeypatch):
    texts = ["  Cafe\u0301 \n au\u00a0lait ", " \t", "two  words"]
    monkeypatch.setattr(Toy, "contents", {"train": [example(1, captions=texts, caption_ids=[11, 12, 13])]})
    folder = _build(toy_data)
    record = tf.io.parse_example(tf.constant(_payloads(folder)), features.parse_spec())
    assert [text.decode() for text in record["captions/text"].to_list()[0]] == ["Caf\u00e9 au lait", "two words"]
    assert record["captions/id"].to_list() == [[11, 13]]
    assert _manifest(folder)["counts"] == {"empty_captions": 1}
    (line,) = (folder / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line) == {"filename": "1.jpg", "reason": "1 of 3 captions are empty"}


def test_one_bad_image_in_a_hundred_is_quarantined(toy_data, monkeypatch):
    examples = [example(n) for n in range(100)]
    examples[42] = example(42, image=encoded(42)[:-40])
    monkeypatch.setattr(Toy, "contents", {"train": examples})
    folder = _build(toy_data)
    assert _manifest(folder)["splits"]["train"]["records"] == 99
    assert _manifest(folder)["counts"] == {"bad_images": 1}
    assert json.loads((folder / "quarantine.jsonl").read_text())["filename"] == "42.jpg"


@pytest.mark.parametrize("totals_known", [False, True])
def test_more_bad_images_stop_the_build_and_leave_nothing(toy_data, tmp_path, monkeypatch, totals_known):
    examples = [example(n) for n in range(100)]
    examples[10] = example(10, image=None)
    examples[20] = example(20, captions=["", " "])
    examples[30] = example(30, image=b"text")
    monkeypatch.setattr(Toy, "contents", {"train": examples})
    if totals_known:
        splits = Toy.splits
        monkeypatch.setattr(Toy, "splits", lambda self, data: self.totals.update(train=100) or splits(self, data))
    with pytest.raises(InputError) as caught:
        _build(toy_data)
    assert ("2 of 100 images are bad (stopped after 21)" if totals_known else "3 of 100 images are bad,") in str(
        caught.value
    )
    assert "10.jpg (the file is missing or cannot be read), 20.jpg (all captions are empty)" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [".toy.lock"]


def test_an_id_that_occurs_in_two_splits_is_an_error(toy_data, monkeypatch):
    monkeypatch.setitem(Toy.contents, "test", [example(3, filename="other.jpg")])
    with pytest.raises(InputError, match="3 occurs twice. Received: 3.jpg and other.jpg"):
        _build(toy_data)


def test_an_empty_split_and_too_many_shards_are_errors(toy_data, monkeypatch):
    with pytest.raises(InputError, match="fewer images than --shards. Received: 4. Expected: at most 3"):
        _build(DataSettings(**{**vars(toy_data), "shards": 4}))
    monkeypatch.setitem(Toy.contents, "train", [])
    with pytest.raises(InputError, match="train split of toy is empty"):
        _build(toy_data)


def test_a_resized_data_set_is_another_configuration(toy_data):
    folder = _build(DataSettings(**{**vars(toy_data), "resize_shorter_side": 8}))
    assert folder.parts[-3:] == ("toy", "plain-r8", "1.0.0")
    record = tf.io.parse_example(tf.constant(_payloads(folder)), features.parse_spec())
    assert record["image/height"].numpy().tolist() == [8, 8, 8] and record["image/width"].numpy().tolist() == [12] * 3
    assert tfrecords_builder.locate(toy_data) is None


def test_a_second_build_finds_the_first_and_two_at_once_build_one(toy_data):
    threads = [threading.Thread(target=_build, args=[toy_data]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _build(toy_data) == tfrecords_builder.locate(toy_data)
    assert Toy.built == 1


def test_builders_say_nothing(toy_data, capfd):
    _build(toy_data)
    assert capfd.readouterr() == ("", "")
