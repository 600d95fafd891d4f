"""Flickr30k's three forms on made photographs: Karpathy's JSON, the token file and results.csv with its bad line."""

import json

import pytest
import tensorflow as tf

import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder.features import parse_spec

_SPLITS = {"d.jpg": "train", "a.jpg": "train", "c.jpg": "val", "b.jpg": "test"}
_HEADER = "image_name| comment_number| comment\n"


def _sentences(name):
    return [{"raw": f"{name[0]} | caption {k} .", "sentid": 100 * ord(name[0]) + k, "tokens": []} for k in range(2)]


def _karpathy(path, **splits):
    images = [
        {"filename": name, "split": split, "sentences": _sentences(name)}
        for name, split in {**_SPLITS, **splits}.items()
    ]
    path.write_text(json.dumps({"images": images, "dataset": "flickr30k"}))
    return path


def _tokens(folder, more=""):
    lines = [f"{name}#{k}\t{one['raw']}\n" for name in _SPLITS for k, one in enumerate(_sentences(name))]
    (folder / "results_20130124.token").write_text("".join(lines) + more)


def _rows(folder, more="", header=_HEADER):
    lines = [f"{name}| {k}| {one['raw']}\n" for name in _SPLITS for k, one in enumerate(_sentences(name))]
    (folder / "results.csv").write_text(header + "".join(lines) + more)


@pytest.fixture(params=["flickr30k-images", "flickr30k_images", "images"])
def pictures(request):
    return request.param


@pytest.fixture
def source(tmp_path):
    return _source(tmp_path / "flickr", "flickr30k-images")


def _source(folder, pictures):
    (folder / pictures).mkdir(parents=True)
    for seed, name in enumerate(_SPLITS):
        (folder / pictures / name).write_bytes(encoded(seed))
    return folder


def _settings(source, tmp_path, **changes):
    return DataSettings(dataset="flickr30k", source=str(source), data_dir=str(tmp_path / "data"), **changes)


def _build(data):
    folder = tfrecords_builder.build(data, progress=False)
    manifest = json.loads((folder / "tfcap.json").read_text())
    records = {}
    for split, described in manifest["splits"].items():
        payloads = [p.numpy() for p in tf.data.TFRecordDataset([str(folder / s["file"]) for s in described["shards"]])]
        records[split] = tf.io.parse_example(tf.constant(payloads), parse_spec(with_image=False))
    return folder, manifest, records


def _names(records):
    return {split: [name.decode() for name in one["image/filename"].numpy()] for split, one in records.items()}


def test_karpathy_s_split_and_his_caption_ids_in_any_of_the_folders(tmp_path, pictures):
    source = _source(tmp_path / "flickr", pictures)
    _karpathy(source / "dataset_flickr30k.json")
    folder, manifest, records = _build(_settings(source, tmp_path))
    assert folder == tmp_path / "data" / "flickr30k" / "karpathy" / "1.0.0"
    assert _names(records) == {"train": ["a.jpg", "d.jpg"], "validation": ["c.jpg"], "test": ["b.jpg"]}
    assert records["train"]["image/id"].numpy().tolist() == [0, 3]
    assert records["train"]["captions/text"].to_list()[1] == [b"d | caption 0 .", b"d | caption 1 ."]
    assert records["train"]["captions/id"].to_list() == [[9700, 9701], [10000, 10001]]
    assert manifest["karpathy_json"] == str(source / "dataset_flickr30k.json") and manifest["counts"] == {}


def test_his_file_may_lie_elsewhere_and_must_stay_the_same(source, tmp_path):
    _tokens(source)
    path = _karpathy(tmp_path / "split.json")
    data = _settings(source, tmp_path, karpathy_json=str(path))
    folder, manifest, _ = _build(data)
    assert folder.parent.name == "karpathy" and manifest["karpathy_json"] == str(path)
    assert tfrecords_builder.build(DataSettings(dataset="flickr30k", data_dir=data.data_dir)) == folder
    with pytest.raises(InputError, match="another --karpathy_json"):
        tfrecords_builder.build(DataSettings(**{**vars(data), "karpathy_json": str(path.rename(tmp_path / "b.json"))}))


def test_images_that_he_gives_no_caption_are_counted(source, tmp_path):
    path = _karpathy(source / "dataset_flickr30k.json")
    about = json.loads(path.read_text())
    about["images"].append({"filename": "e.jpg", "split": "train", "sentences": []})
    path.write_text(json.dumps(about))
    _, manifest, records = _build(_settings(source, tmp_path))
    assert manifest["counts"] == {"images_without_caption": 1} and len(records["train"]["image/id"]) == 2


def test_without_him_both_forms_give_the_same_random_split(source, tmp_path):
    _tokens(source)
    folder, manifest, records = _build(_settings(source, tmp_path))
    assert folder.parent.name == "random-s0"
    assert [len(names) for names in _names(records).values()] == [2, 1, 1]
    assert sorted(sum(_names(records).values(), [])) == sorted(_SPLITS)
    (source / "results_20130124.token").unlink()
    _rows(source)
    _, again, _ = _build(_settings(source, tmp_path / "other"))
    assert again["splits"] == manifest["splits"]


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (_rows, "d.jpg| 4   A dog runs across the grass .\n"),
        (_rows, "d.jpg| 4|\n"),
        (_tokens, "d.jpg#4   A dog runs across the grass .\n"),
    ],
)
def test_the_known_line_without_a_caption_is_counted_and_left_out(source, tmp_path, write, line):
    write(source, line)
    folder, manifest, records = _build(_settings(source, tmp_path))
    assert manifest["counts"] == {"lines_without_caption": 1}
    noted = [json.loads(entry) for entry in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert [(entry["filename"], line.strip() in entry["reason"]) for entry in noted] == [("d.jpg", True)]
    assert all(len(texts) == 2 for one in records.values() for texts in one["captions/text"].to_list())


def _write(name, content):
    return lambda source: (source / name).write_text(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda source: (source / "flickr30k-images").rename(source / "pictures"), "no folder of photographs"),
        (lambda source: None, "no captions.*dataset_flickr30k.json.*results_20130124.token or results.csv"),
        (lambda source: _rows(source, header="image,caption\n"), "another header. Received: 'image,caption'"),
        (lambda source: _rows(source, header=""), "another header"),
        (lambda source: _rows(source, "x.jpg 1\nx.jpg 2\n"), "2 lines without a caption, of 10. Received: 'x.jpg 1'"),
        (lambda source: _tokens(source, "no tab\nneither\n"), "2 lines without a caption, of 10. Received: 'no tab'"),
        (_write("results.csv", ""), "another header"),
        (_write("dataset_flickr30k.json", "{"), "not valid JSON"),
        (_write("dataset_flickr30k.json", '{"images": [{"split": "train"}]}'), "not Karpathy's dataset_flickr30k.json"),
        (lambda source: _karpathy(source / "dataset_flickr30k.json", **{"a.jpg": "dev"}), "KeyError: 'dev'"),
        (lambda source: _karpathy(source / "dataset_flickr30k.json", **{"e.jpg": "test"}), "e.jpg"),
    ],
)
def test_a_source_that_is_not_flickr30k_is_explained(source, tmp_path, change, message):
    change(source)
    with pytest.raises(InputError, match=message) as caught:
        tfrecords_builder.build(_settings(source, tmp_path), progress=False)
    assert "\n" not in str(caught.value)


def test_an_image_may_be_listed_once(source, tmp_path):
    path = _karpathy(source / "dataset_flickr30k.json")
    about = json.loads(path.read_text())
    path.write_text(json.dumps({"images": about["images"] + about["images"][:1]}))
    with pytest.raises(InputError, match="names an image twice"):
        tfrecords_builder.build(_settings(source, tmp_path), progress=False)


def test_a_named_file_must_be_there(source, tmp_path):
    _karpathy(source / "dataset_flickr30k.json")
    data = _settings(source, tmp_path, karpathy_json=str(tmp_path / "nowhere.json"))
    with pytest.raises(InputError, match="--karpathy_json is not a file. Received: .*nowhere.json"):
        tfrecords_builder.build(data, progress=False)
