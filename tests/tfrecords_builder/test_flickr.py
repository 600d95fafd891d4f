import json

import numpy as np
import pytest
import tensorflow as tf

import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder.features import parse_spec

_NAMES = ["c.jpg", "a.jpg", "b.jpg", "d.jpg"]
_LISTS = {"train": ["c.jpg", "a.jpg"], "dev": ["b.jpg"], "test": ["d.jpg"]}


@pytest.fixture
def source(tmp_path):
    """A folder in the layout of Flickr8k: four images, two captions each, in no order."""
    folder = tmp_path / "flickr"
    (folder / "Flicker8k_Dataset").mkdir(parents=True)
    for seed, name in enumerate(_NAMES):
        (folder / "Flicker8k_Dataset" / name).write_bytes(encoded(seed))
    lines = [f"{name}#{k}\t{name[0]}, caption {k} .\n" for name in _NAMES for k in range(2)]
    (folder / "Flickr8k.token.txt").write_text("".join(lines))
    for split, names in _LISTS.items():
        (folder / f"Flickr_8k.{split}Images.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


def _settings(source, tmp_path, **changes):
    return DataSettings(dataset="flickr8k", source=str(source), data_dir=str(tmp_path / "data"), **changes)


def _records(folder, split="train"):
    shards = json.loads((folder / "tfcap.json").read_text())["splits"][split]["shards"]
    payloads = [p.numpy() for p in tf.data.TFRecordDataset([str(folder / shard["file"]) for shard in shards])]
    return tf.io.parse_example(tf.constant(payloads), parse_spec(with_image=False))


def test_ids_follow_the_sorted_names_and_records_the_official_list(source, tmp_path):
    folder = tfrecords_builder.build(_settings(source, tmp_path), progress=False)
    assert folder == tmp_path / "data" / "flickr8k" / "official" / "1.0.0"
    train = _records(folder)
    assert train["image/filename"].numpy().tolist() == [b"c.jpg", b"a.jpg"]
    assert train["image/id"].numpy().tolist() == [2, 0]
    assert train["captions/text"].to_list()[0] == [b"c, caption 0 .", b"c, caption 1 ."]
    assert train["captions/id"].to_list() == [[4, 5], [0, 1]]


def test_the_csv_form_gives_the_same_data_set(source, tmp_path):
    before = tfrecords_builder.build(_settings(source, tmp_path), progress=False)
    (source / "Flickr8k.token.txt").unlink()
    rows = [f'{name},"{name[0]}, caption {k} ."\n' for name in reversed(_NAMES) for k in range(2)]
    (source / "captions.txt").write_text("\ufeffimage,caption\n" + "".join(rows), encoding="utf-8")
    after = tfrecords_builder.build(_settings(source, tmp_path / "other"), progress=False)
    splits = [json.loads((folder / "tfcap.json").read_text())["splits"] for folder in (before, after)]
    assert splits[0] == splits[1]


def test_images_in_no_list_and_listed_images_without_caption_are_counted(source, tmp_path):
    (source / "Flickr_8k.trainImages.txt").write_text("c.jpg\nunknown.jpg\n\n")
    folder = tfrecords_builder.build(_settings(source, tmp_path), progress=False)
    counts = json.loads((folder / "tfcap.json").read_text())["counts"]
    assert counts == {"images_in_no_split": 1, "images_without_caption": 1}


def test_without_lists_the_split_is_random_and_repeatable(source, tmp_path):
    for path in source.glob("*Images.txt"):
        path.unlink()
    folders = [tfrecords_builder.build(_settings(source, tmp_path / name), progress=False) for name in "ab"]
    assert folders[0].parent.name == "random-s0"
    ids = [
        [_records(folder, split)["image/id"].numpy().tolist() for split in ("train", "validation", "test")]
        for folder in folders
    ]
    assert ids[0] == ids[1] and [len(part) for part in ids[0]] == [2, 1, 1] and sorted(sum(ids[0], [])) == [0, 1, 2, 3]


def _remove(*names):
    def change(source):
        for name in names:
            (source / name).unlink()

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_remove("Flickr_8k.devImages.txt"), "lacks others.*also Flickr_8k.devImages.txt"),
        (_remove("Flickr8k.token.txt"), "no captions.*Flickr8k.token.txt"),
        (lambda source: (source / "Flicker8k_Dataset").rename(source / "pictures"), "no folder of photographs"),
        (
            lambda source: (source / "Flickr8k.token.txt").write_text("no tab\n"),
            "line without a tab. Received: 'no tab'",
        ),
        (lambda source: (source / "Flickr8k.token.txt").write_bytes(b"a.jpg#0\t\xff\n"), "is not UTF-8"),
    ],
)
def test_a_source_that_is_not_flickr8k_is_explained(source, tmp_path, change, message):
    change(source)
    with pytest.raises(InputError, match=message):
        tfrecords_builder.build(_settings(source, tmp_path), progress=False)


def test_a_source_is_needed_once_and_must_stay_the_same(source, tmp_path):
    data = _settings(source, tmp_path)
    sourceless = DataSettings(**{**vars(data), "source": ""})
    with pytest.raises(InputError, match="needs its source. Expected: --source, a folder with"):
        tfrecords_builder.build(sourceless)
    with pytest.raises(InputError, match="not a folder"):
        tfrecords_builder.build(DataSettings(**{**vars(data), "source": "/nowhere"}))
    folder = tfrecords_builder.build(data, progress=False)
    assert tfrecords_builder.build(sourceless) == tfrecords_builder.build(data) == folder
    other = source.rename(tmp_path / "moved")
    with pytest.raises(
        InputError, match=f"another --source. Received: {other}. Expected: {source}. Use another --data_dir"
    ):
        tfrecords_builder.locate(DataSettings(**{**vars(data), "source": str(other)}))


def test_all_of_flickr8k(shared_data, tmp_path):
    if not (shared_data / "flickr8k").is_dir():
        pytest.skip("no Flickr8k")
    folder = tfrecords_builder.build(_settings(shared_data / "flickr8k", tmp_path), progress=False)
    manifest = json.loads((folder / "tfcap.json").read_text())
    assert {name: split["records"] for name, split in manifest["splits"].items()} == {
        "train": 6000,
        "validation": 1000,
        "test": 1000,
    }
    assert manifest["counts"] == {"images_in_no_split": 91}
    ids = [np.load(folder / "tfcap_index.npz")[f"{split}/ids"] for split in manifest["splits"]]
    assert len(np.unique(np.concatenate(ids))) == 8000
