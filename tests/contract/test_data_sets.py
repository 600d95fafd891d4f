"""What every data set promises. A new data set is a new row of ROWS; every test below then runs over it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlcroissant
import pytest
from huggingface_hub import DatasetCard

import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tests.tfrecords_builder.toy_distilled import write_distilled
from tfcap import registry
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder.cifar10 import CLASSES

SPLITS = ("train", "validation", "test")


def _coco(folder: Path) -> None:
    (folder / "annotations").mkdir(parents=True)
    for part, ids in (("train2017", range(10)), ("val2017", range(10, 14))):
        (folder / part).mkdir()
        for number in ids:
            (folder / part / f"{number:012d}.jpg").write_bytes(encoded(number))
        images = [{"id": number, "file_name": f"{number:012d}.jpg"} for number in ids]
        captions = [{"id": 10 * i + k, "image_id": i, "caption": f"{k} of {i}"} for i in ids for k in range(2)]
        about = json.dumps({"images": images, "annotations": captions})
        (folder / "annotations" / f"captions_{part}.json").write_text(about)


def _flickr8k(folder: Path) -> None:
    (folder / "images").mkdir(parents=True)
    for number in range(12):
        (folder / "images" / f"{number}.jpg").write_bytes(encoded(number))
    lines = [f"{number}.jpg,{k} of {number}\n" for number in range(12) for k in range(2)]
    (folder / "captions.txt").write_text("image,caption\n" + "".join(lines))
    for split, numbers in (("train", range(8)), ("dev", range(8, 10)), ("test", range(10, 12))):
        names = "".join(f"{number}.jpg\n" for number in numbers)
        (folder / f"Flickr_8k.{split}Images.txt").write_text(names)


def _flickr30k(folder: Path) -> None:
    (folder / "flickr30k-images").mkdir(parents=True)
    images = []
    for number in range(12):
        (folder / "flickr30k-images" / f"{number}.jpg").write_bytes(encoded(number))
        sentences = [{"raw": f"{k} of {number}", "sentid": 2 * number + k} for k in range(2)]
        split = "train" if number < 8 else "val" if number < 10 else "test"
        images.append({"filename": f"{number}.jpg", "split": split, "sentences": sentences})
    (folder / "dataset_flickr30k.json").write_text(json.dumps({"images": images}))


def _food_recipes(folder: Path) -> None:
    (folder / "Food Images").mkdir(parents=True)
    for number in range(12):
        (folder / "Food Images" / f"dish-{number}.jpg").write_bytes(encoded(number))
    lines = [f"Dish {number},dish-{number}\n" for number in range(12)]
    (folder / "recipes.csv").write_text("Title,Image_Name\n" + "".join(lines))


def _cifar10(folder: Path) -> None:
    for split, count in (("train", 2), ("test", 3)):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for place in range(count):
                seed = 1000 * count + 10 * place + label
                (folder / split / name / f"{place:04d}.png").write_bytes(encoded(seed, (32, 32), form="PNG"))


def _distilled(folder: Path) -> None:
    original = DataSettings(scenes_size=30, data_dir=str(folder.parent / "original"))
    write_distilled(folder, original, pairs=8)


# What writes a source of made-up images, or the settings of a data set that needs none.
ROWS: dict[str, Callable[[Path], None] | dict[str, Any]] = {
    "scenes": {"scenes_size": 12},
    "coco_captions": _coco,
    "flickr8k": _flickr8k,
    "flickr30k": _flickr30k,
    "food_recipes": _food_recipes,
    "cifar10": _cifar10,
    "objects": {"scenes_size": 30},
    "distilled": _distilled,
}
NAMED_BY_SOURCE = ("distilled",)  # which of several such data sets is meant, --source alone says
every = pytest.mark.parametrize("name", ROWS)


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Callable[[str], DataSettings]:
    """Settings of each data set on a source of its own; the build that they name is shared by the tests."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ROWS}

    def settings(name: str) -> DataSettings:
        row, folder = ROWS[name], folders[name]
        if isinstance(row, dict):
            return DataSettings(dataset=name, data_dir=str(folder / "data"), **row)
        if not (folder / "source").exists():
            row(folder / "source")
        return DataSettings(dataset=name, data_dir=str(folder / "data"), source=str(folder / "source"))

    return settings


def _changed(data: DataSettings, **changes: Any) -> DataSettings:
    return DataSettings(**{**vars(data), **changes})


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tfcap.json").read_text())


def test_every_registered_data_set_has_a_row():
    assert set(ROWS) == set(registry.DATASETS)


@every
def test_three_splits_share_no_image_and_every_image_has_a_caption(asked, name):
    folder = tfrecords_builder.build(asked(name), progress=False)
    records = {split: Records(folder, split) for split in SPLITS}
    ids = [int(number) for one in records.values() for number in one.ids]
    assert len(set(ids)) == len(ids) >= 10 and min(ids) >= 0
    caption_ids = []
    for one in records.values():
        assert len(one) > 0 and one.picture(0).shape[-1] == 3
        assert all(texts and all(text == " ".join(text.split()) != "" for text in texts) for texts in one.captions)
        caption_ids += [number for numbers in one.caption_ids for number in numbers]
    assert len(set(caption_ids)) == len(caption_ids) >= len(ids)


@every
def test_what_is_built_is_found_again_and_needs_no_source(asked, name):
    data = asked(name)
    folder = tfrecords_builder.build(data, progress=False)
    before = (folder / "tfcap.json").stat().st_mtime_ns
    again = data if name in NAMED_BY_SOURCE else _changed(data, source="")
    assert tfrecords_builder.build(again) == tfrecords_builder.locate(data) == folder
    assert (folder / "tfcap.json").stat().st_mtime_ns == before


@every
def test_the_same_source_is_the_same_data_set_elsewhere_in_other_shards(asked, name, tmp_path):
    data = asked(name)
    folders = [data, _changed(data, data_dir=str(tmp_path), shards=1)]
    found = [_manifest(tfrecords_builder.build(one, progress=False))["splits"] for one in folders]
    here, there = ([splits[split]["fingerprint"] for split in SPLITS] for splits in found)
    assert here == there and len(set(here)) == len(SPLITS)


@every
def test_its_options_are_settings_and_each_leads_to_another_folder(asked, name):
    builder, data = registry.DATASETS[name], asked(name)
    fields = {field.name: field for field in DataSettings.__dataclass_fields__.values()}
    for option in builder.OPTIONS:
        accepted = fields[option].metadata["range"]
        others = accepted.choices if accepted.choices is not None else (11, 13)
        folders = {builder.folder(_changed(data, **{option: value})) for value in others}
        assert len(folders) == len(others), option


@every
def test_its_card_and_its_croissant_file_are_valid_and_say_its_licence(asked, name):
    folder, builder = tfrecords_builder.build(asked(name), progress=False), registry.DATASETS[name]
    card = DatasetCard((folder / "README.md").read_text(encoding="utf-8"))
    assert card.data.license == builder.LICENCE.identifier and card.data.language == [builder.LANGUAGE]
    assert builder.LICENCE.words in card.text and builder.CITATION in card.text
    assert str(folder.parents[2]) not in card.text + (folder / "croissant.json").read_text(encoding="utf-8")
    data = mlcroissant.Dataset(folder / "croissant.json")
    assert not data.metadata.ctx.issues.errors
    splits = _manifest(folder)["splits"]
    assert [row["splits/images"] for row in data.records("splits")] == [splits[split]["records"] for split in splits]


@every
def test_a_source_that_is_empty_is_a_user_s_mistake_and_leaves_nothing(asked, name, tmp_path):
    if isinstance(ROWS[name], dict):
        pytest.skip("needs no source")
    (tmp_path / "empty").mkdir()
    data = _changed(asked(name), source=str(tmp_path / "empty"), data_dir=str(tmp_path / "data"))
    with pytest.raises(InputError) as caught:
        tfrecords_builder.build(data, progress=False)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "data").rglob("*")] in ([], [f".{name}.lock"])
