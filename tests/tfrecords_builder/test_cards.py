"""The card and the Croissant file of a built data set: what they say, when they are written, that others read them."""

import hashlib
import json

import mlcroissant
import pytest
from huggingface_hub import DatasetCard

import tfrecords_builder
from tests.tfrecords_builder.toy import Toy, encoded, example
from tfcap.settings import DataSettings
from tfrecords_builder.licences import Licence

FILES = ("README.md", "croissant.json")


def _build(data):
    return tfrecords_builder.build(data, progress=False)


def _card(folder):
    return DatasetCard((folder / "README.md").read_text(encoding="utf-8"))


def test_the_card_says_what_was_built_of_what(toy_data, monkeypatch, tmp_path):
    monkeypatch.setattr(Toy, "extras", ("truth/noisy",))
    pictures = [example(n, extras={"truth/noisy": 0}) for n in range(99)]
    bad = example(99, image=encoded(99)[:-40], extras={"truth/noisy": 0})
    monkeypatch.setattr(Toy, "contents", {"train": [*pictures, bad]})
    folder = _build(DataSettings(**{**vars(toy_data), "resize_shorter_side": 8}))
    card, manifest = _card(folder), json.loads((folder / "tfcap.json").read_text())
    found = manifest["splits"]["train"]
    assert (card.data.license, card.data.language, card.data.pretty_name) == ("unknown", ["en"], "toy")
    assert (card.data.task_categories, card.data.size_categories) == (["image-to-text"], ["n<1K"])
    assert found["captions"] == 198 and f"| train | 99 | 198 | 0.1 | 1 | {found['fingerprint'][:16]} |" in card.text
    assert "| bad images | 1 |" in card.text and "| truth/noisy |" in card.text and "Noise." in card.text
    assert "`quarantine.jsonl` names the files and why, of: bad images." in card.text
    assert "tf.train.Example" in card.text and "tfds.builder_from_directory" in card.text
    assert "--dataset=toy --resize_shorter_side=8 --data_dir=data" in card.text and "shorter side" in card.text
    assert str(tmp_path) not in card.text


def test_a_card_calls_classes_by_their_name(toy_data, monkeypatch):
    assert "holds images with their captions as" in _card(_build(toy_data)).text
    monkeypatch.setattr(Toy, "extras", ("truth/label",))
    monkeypatch.setattr(Toy, "contents", {"train": [example(0, extras={"truth/label": 0})]})
    folder = _build(DataSettings(**{**vars(toy_data), "resize_shorter_side": 8}))
    assert "holds images with their classes, each by its name as the one caption, as" in _card(folder).text


@pytest.mark.parametrize("missing", [FILES, FILES[:1], FILES[1:]])
def test_a_data_set_of_an_earlier_version_gets_what_it_lacks(toy_data, missing):
    folder = _build(toy_data)
    whole = {name: (folder / name).read_bytes() for name in FILES}
    for name in FILES:
        (folder / name).write_text("mine", encoding="utf-8")
    for name in missing:
        (folder / name).unlink()
    assert _build(toy_data) == folder
    for name in FILES:
        assert (folder / name).read_bytes() == (whole[name] if name in missing else b"mine")


def test_captions_that_were_not_counted_are_not_made_up(toy_data):
    folder = _build(toy_data)
    manifest = json.loads((folder / "tfcap.json").read_text())
    for split in manifest["splits"].values():
        del split["captions"]
    (folder / "tfcap.json").write_text(json.dumps(manifest))
    (folder / "README.md").unlink()
    assert "| train | 3 | not counted |" in _card(_build(toy_data)).text


def _again(data, folder, **changes):
    """Builds again after the manifest was changed and the cards were deleted."""
    manifest = json.loads((folder / "tfcap.json").read_text())
    (folder / "tfcap.json").write_text(json.dumps({**manifest, **changes}))
    for name in FILES:
        (folder / name).unlink()
    assert _build(data) == folder


def test_what_is_only_counted_is_not_said_to_be_named(toy_data):
    folder = _build(toy_data)
    _again(toy_data, folder, counts={"images_in_no_split": 91, "reencoded": 2})
    text = _card(folder).text
    assert "| images in no split list, left out | 91 |" in text and "TensorFlow could not decode" in text
    assert "quarantine" not in text


def test_an_option_that_this_version_lacks_keeps_no_one_from_the_data(toy_data, capsys):
    folder = _build(toy_data)
    options = json.loads((folder / "tfcap.json").read_text())["options"]
    _again(toy_data, folder, options={**options, "later": 3})
    assert "--later" not in _card(folder).text and capsys.readouterr().err == ""


def test_a_card_that_cannot_be_made_is_a_warning(toy_data, monkeypatch, capsys):
    def broken(*_):
        raise KeyError("what nobody foresaw")

    monkeypatch.setattr("tfrecords_builder.cards.data_card", broken)
    folder = _build(toy_data)
    assert (folder / "tfcap.json").exists() and not (folder / "README.md").exists()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "were not written (KeyError: 'what nobody foresaw')" in said


def test_what_a_killed_writer_left_goes(toy_data):
    folder = _build(toy_data)
    (folder / "README.md").unlink()
    for name in (".README.md.abc.partial.md", ".croissant.json.abc.partial.json"):
        (folder / name).touch()
    _build(toy_data)
    assert not list(folder.glob(".*partial*")) and (folder / "README.md").exists()


def test_a_licence_that_is_not_known_is_not_named(toy_data):
    assert "license" not in json.loads((_build(toy_data) / "croissant.json").read_text())


def test_croissant_is_valid_and_its_hashes_are_those_of_the_files(toy_data, monkeypatch):
    monkeypatch.setattr(Toy, "extras", ("truth/noisy",))
    monkeypatch.setattr(Toy, "LICENCE", Licence("Free.", "other", "toy-licence", "https://example.org/licence"))
    monkeypatch.setattr(Toy, "CITATION", "@misc{toy}")
    monkeypatch.setattr(Toy, "HOMEPAGE", "https://example.org")
    contents = {
        split: [example(10 * k + n, extras={"truth/noisy": 0}) for n in range(4)]
        for k, split in enumerate(("train", "test"))
    }
    monkeypatch.setattr(Toy, "contents", contents)
    folder = _build(DataSettings(**{**vars(toy_data), "shards": 2}))
    data = mlcroissant.Dataset(folder / "croissant.json")
    issues = data.metadata.ctx.issues
    assert not issues.errors and all("datePublished" in words for words in issues.warnings)
    assert [row["splits/images"] for row in data.records("splits")] == [4, 4]
    assert {one.id for one in data.metadata.record_sets} == {"splits", "keys"}
    assert "tf.train.Example" in data.metadata.description and "tfds.builder_from" in data.metadata.description
    files = [one for one in data.metadata.distribution if isinstance(one, mlcroissant.FileObject)]
    assert len(files) == 4
    for file in files:
        content = (folder / file.content_url).read_bytes()
        assert (file.sha256, file.content_size) == (hashlib.sha256(content).hexdigest(), f"{len(content)} B")
    sets = {one.id: one for one in data.metadata.distribution if isinstance(one, mlcroissant.FileSet)}
    for split, found in (("train", sets["train-shards"]), ("test", sets["test-shards"])):
        assert not found.contained_in  # the files lie beside this one
        assert len(list(folder.glob(found.includes[0]))) == 2, split
    keys = {row["keys/name"]: row["keys/repeated"] for row in data.records("keys")}
    features = json.loads((folder / "features.json").read_text())["featuresDict"]["features"]
    assert set(keys) == set(features) and sum(keys.values()) == 2


def test_a_folder_for_reading_only_is_used_as_it_is(toy_data, monkeypatch):
    folder = _build(toy_data)
    (folder / "README.md").unlink()

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tfrecords_builder.cards.write_text", refused)
    assert _build(toy_data) == folder and not (folder / "README.md").exists()
