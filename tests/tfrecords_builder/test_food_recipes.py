"""Food recipes: found by contents, one caption an image, and a split that no order of rows changes."""

import csv
import io
import json
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tfcap.errors import InputError
from tfcap.settings import DataSettings
from tfrecords_builder.features import parse_spec
from tfrecords_builder.food_recipes import split_by_hash

_CSV = "Food Ingredients and Recipe Dataset with Image Name Mapping.csv"
_COLUMNS = ["", "Title", "Ingredients", "Instructions", "Image_Name", "Cleaned_Ingredients"]
_NAMES = [f"dish-{number}" for number in range(12)]
_SPLITS = ("train", "validation", "test")


def _write_table(source, pairs, columns=_COLUMNS, name=_CSV):
    """Writes (image name, title) pairs as the data set does: every field may need quotes."""
    said = {"Ingredients": "['1 cup \"00\" flour', 'salt']", "Instructions": 'Stir.\nSay "done", serve.'}
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for number, (image, title) in enumerate(pairs):
        row = {"": number, "Title": title, "Image_Name": image, **said}
        writer.writerow([row.get(column, "") for column in columns])
    (source / name).write_text(text.getvalue(), encoding="utf-8", newline="")


@pytest.fixture
def source(tmp_path):
    """The layout of the public archive: twelve dishes, each with a picture and a title."""
    pictures = tmp_path / "food" / "Food Images" / "Food Images"
    pictures.mkdir(parents=True)
    for seed, name in enumerate(_NAMES):
        (pictures / f"{name}.jpg").write_bytes(encoded(seed))
    _write_table(tmp_path / "food", [(name, f"Dish {name[5:]}") for name in _NAMES])
    return tmp_path / "food"


def _build(source, data_dir, **changes):
    data = DataSettings(dataset="food_recipes", source=str(source), data_dir=str(data_dir), **changes)
    return tfrecords_builder.build(data, progress=False)


def _manifest(folder):
    return json.loads((folder / "tfcap.json").read_text())


def _captions(folder, splits=_SPLITS):
    """File name to captions of all records, in record order."""
    found = {}
    for split in splits:
        shards = [str(folder / shard["file"]) for shard in _manifest(folder)["splits"][split]["shards"]]
        payloads = [payload.numpy() for payload in tf.data.TFRecordDataset(shards)]
        parsed = tf.io.parse_example(tf.constant(payloads), parse_spec(with_image=False))
        names = [name.decode() for name in parsed["image/filename"].numpy()]
        texts = [[text.decode() for text in one] for one in parsed["captions/text"].to_list()]
        found |= dict(zip(names, texts, strict=True))
    return found


def _sizes(folder):
    return [_manifest(folder)["splits"][split]["records"] for split in _SPLITS]


def _notes(folder):
    lines = (folder / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    return {note["reason"]: note["filename"] for note in map(json.loads, lines)}


def test_a_title_is_the_one_caption_of_its_picture(source, tmp_path):
    folder = _build(source, tmp_path / "data")
    assert folder == tmp_path / "data" / "food_recipes" / "s0" / "1.0.0"
    assert _captions(folder) == {f"{name}.jpg": [f"Dish {name[5:]}"] for name in _NAMES}
    assert _sizes(folder) == [9, 1, 2] and _manifest(folder)["counts"] == {}
    with np.load(folder / "tfcap_index.npz") as index:
        ids = np.concatenate([index[f"{split}/ids"] for split in _SPLITS])
    assert sorted(ids) == list(range(12))


def test_neither_the_order_of_rows_nor_of_columns_nor_the_layout_changes_anything(source, tmp_path):
    before = _manifest(_build(source, tmp_path / "before"))["splits"]
    pictures = (source / "Food Images" / "Food Images").rename(source / "pictures")
    (source / _CSV).unlink()
    pairs = [(name, f"Dish {name[5:]}") for name in reversed(_NAMES)]
    _write_table(pictures, pairs, ["Image_Name", "Title"], "recipes.CSV")
    assert _manifest(_build(source, tmp_path / "after"))["splits"] == before


def test_a_seed_changes_the_split_alone(source, tmp_path):
    folders = [_build(source, tmp_path / "data", recipes_seed=seed) for seed in (0, 1)]
    assert [folder.parent.name for folder in folders] == ["s0", "s1"]
    assert _captions(folders[0]) == _captions(folders[1]) and _sizes(folders[0]) == _sizes(folders[1])
    assert _captions(folders[0], ["train"]).keys() != _captions(folders[1], ["train"]).keys()
    assert _manifest(folders[1])["options"]["recipes_seed"] == 1


@pytest.mark.parametrize(("count", "sizes"), [(10, (8, 1, 1)), (19, (15, 1, 3)), (13_471, (10_776, 1_347, 1_348))])
def test_the_splits_have_their_exact_sizes_and_share_nothing(count, sizes):
    names = [f"n{number}" for number in range(count)]
    found = split_by_hash(names, 0)
    assert tuple(len(found[split]) for split in _SPLITS) == sizes
    assert sorted(sum(found.values(), [])) == sorted(names)
    assert found == split_by_hash(reversed(names), 0) != split_by_hash(names, 1)


def test_a_new_recipe_moves_few_others():
    names = [f"n{number}" for number in range(1000)]
    before, after = split_by_hash(names, 0), split_by_hash([*names, "new"], 0)
    assert sum(len(set(before[split]) - set(after[split])) for split in _SPLITS) <= 3


def test_the_split_is_the_same_on_every_machine():
    """Pinned: another order would be another data set under the same name."""
    found = split_by_hash([f"n{number}" for number in range(10)], 0)
    assert (found["validation"], found["test"]) == (["n2"], ["n4"])


def test_recipes_without_picture_or_title_are_left_out_counted_and_named(source, tmp_path):
    (source / "Food Images" / "Food Images" / "#NAME?.jpg").write_bytes(encoded(50))  # nobody knows of which dish
    pairs = [(name, f"Dish {name}") for name in _NAMES]
    _write_table(source, [*pairs[:11], (_NAMES[11], " \n "), ("absent", "Gone"), ("#NAME?", "Lost"), ("", "Nameless")])
    folder = _build(source, tmp_path / "data")
    assert _manifest(folder)["counts"] == {"rows_without_picture": 3, "rows_without_title": 1}
    assert sum(_sizes(folder)) == 11 and "dish-11.jpg" not in _captions(folder)
    assert _notes(folder) == {
        "row 13: its title is empty": "dish-11",
        "row 14: its picture is not there": "absent",
        "row 15: its picture is not there": "#NAME?",
        "row 16: its picture is not there": "",
    }


@pytest.mark.parametrize("turned", [False, True])
def test_of_recipes_that_share_a_picture_one_is_kept_whatever_their_order(source, tmp_path, turned):
    pairs = [*((name, "A dish") for name in _NAMES), ("dish-3", "Zucchini"), ("dish-3", "")]
    _write_table(source, pairs[::-1] if turned else pairs)
    folder = _build(source, tmp_path / "data")
    assert _captions(folder)["dish-3.jpg"] == ["A dish"] and sum(_sizes(folder)) == 12
    assert _manifest(folder)["counts"] == {"rows_of_a_shared_picture": 1, "rows_without_title": 1}
    assert any("is titled 'A dish'" in reason for reason in _notes(folder))


def test_titles_keep_their_letters_quotes_and_commas(source, tmp_path):
    titles = ['Crème "Brûlée", chilled', "Spätzle\nwith cheese", "北京烤鸭", "  Pasta  e\tfagioli "]
    pairs = [(name, titles[number % 4]) for number, name in enumerate(_NAMES)]
    _write_table(source, pairs)
    text = (source / _CSV).read_bytes()
    (source / _CSV).write_bytes(b"\xef\xbb\xbf" + text)  # a byte order mark, as spreadsheets write it
    found = _captions(_build(source, tmp_path / "data"))
    expected = ['Crème "Brûlée", chilled', "Spätzle with cheese", "北京烤鸭", "Pasta e fagioli"]
    assert [found[f"{name}.jpg"] for name in _NAMES[:4]] == [[title] for title in expected]


def test_a_name_finds_its_picture_whatever_its_suffix_and_the_form_of_its_accents(source, tmp_path):
    pictures = source / "Food Images" / "Food Images"
    (pictures / "dish-0.jpg").rename(pictures / (unicodedata.normalize("NFD", "crème") + ".JPEG"))
    (pictures / "dish-1.jpg").rename(pictures / "v1.2-dish.png")
    names = ["crème", "v1.2-dish", *_NAMES[2:]]
    _write_table(source, [(name, "A dish") for name in names])
    found = _captions(_build(source, tmp_path / "data"))
    assert len(found) == 12 and "v1.2-dish.png" in found


def test_the_folder_with_the_most_pictures_is_read(source, tmp_path):
    (source / "A sample").mkdir()
    (source / "A sample" / "dish-0.jpg").write_bytes(b"broken")
    assert _manifest(_build(source, tmp_path / "data"))["counts"] == {}


def test_a_linked_folder_of_pictures_is_read_and_a_circle_of_links_does_not_matter(source, tmp_path):
    (source / "Food Images").rename(tmp_path / "elsewhere")
    (source / "images").symlink_to(tmp_path / "elsewhere" / "Food Images")
    (source / "circle").symlink_to(source)  # through which the one CSV file would be seen again
    assert sum(_sizes(_build(source, tmp_path / "data"))) == 12


def test_a_damaged_picture_is_in_the_quarantine(source, tmp_path):
    for number in range(200):
        name = f"more-{number}"
        (source / "Food Images" / "Food Images" / f"{name}.jpg").write_bytes(encoded(number, (8, 8)))
    names = [*_NAMES, *(f"more-{number}" for number in range(200))]
    _write_table(source, [(name, "A dish") for name in names])
    (source / "Food Images" / "Food Images" / "dish-2.jpg").write_bytes(b"\xff\xd8\xff broken")
    folder = _build(source, tmp_path / "data")
    assert _manifest(folder)["counts"] == {"bad_images": 1} and "dish-2.jpg" in _notes(folder).values()


def _rewritten(text, encoding="utf-8"):
    return lambda source: (source / _CSV).write_text(text, encoding=encoding)


def _table(pairs):
    return lambda source: _write_table(source, pairs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda source: (source / _CSV).rename(source / "recipes.tsv"), r"has no CSV file.*Received: .*/food\. "),
        (_rewritten("image,caption\na,b\n"), r"has the columns Image_Name and Title\. .*\.csv with image, caption"),
        (_rewritten(""), r"has the columns Image_Name and Title\. .*\.csv with no columns"),
        (lambda source: _write_table(source, [], name="copy.csv"), "Several CSV files.*Mapping.csv, .*copy.csv"),
        (_rewritten("Image_Name,Title\na,b,c\n"), "row of 3 columns. Received: row 2. Expected: 2 columns"),
        (_rewritten('Image_Name,Title\na,"b\nc,d\n'), r"is damaged at line 3 \(unexpected end of data\)"),
        (_rewritten("Image_Name,Title\ndish-0,Crème\n", "latin-1"), r"Mapping.csv is not UTF-8"),
        (_table([("absent", "Gone")]), "no picture of any recipe. Received: 'absent' and 0 other names"),
        (_table([(name, "") for name in _NAMES]), "Too few recipes.*Received: 0 of 12 rows. Expected: at least 10"),
        (_table([("#NAME?", "Lost")]), "Too few recipes.*Received: 0 of 1 rows"),
        (_table([]), "Too few recipes.*Received: 0 of 0 rows"),
        (_table([(name, "A dish") for name in _NAMES[:9]]), "Too few recipes.*Received: 9 of 9 rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_source_that_cannot_be_used_is_explained_in_a_line(source, tmp_path, change, message):
    change(source)
    with pytest.raises(InputError, match=message) as caught:
        _build(source, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "data").rglob("*")] == [".food_recipes.lock"]
