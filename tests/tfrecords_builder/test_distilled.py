"""A distilled set trains on its synthetic pairs and tests on the original's own pictures, or says why it cannot."""

import json
import shutil
import subprocess
import sys

import pytest

import flags
import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tests.tfrecords_builder.toy_distilled import write_distilled
from tfcap import cell_costs, experiment
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.grid import cells_of
from tfcap.settings import DataSettings, Settings


@pytest.fixture
def original(scenes_dir):
    return DataSettings(scenes_size=60, data_dir=str(scenes_dir), image_size=16)


def _asked(folder, tmp_path, **changes):
    return DataSettings(dataset="distilled", source=str(folder), data_dir=str(tmp_path / "data"), **changes)


def _built(folder, tmp_path, **changes):
    return tfrecords_builder.build(_asked(folder, tmp_path, **changes), progress=False)


def _copies(found, split):
    records = Records(found, split)
    described = [
        (one.image_id, one.filename, one.captions, one.caption_ids) for one in records.described(range(len(records)))
    ]
    return described, [records.picture(position).tobytes() for position in range(len(records))]


def test_train_is_synthetic_and_the_other_splits_are_the_original_s(original, scenes, tmp_path):
    folder = write_distilled(tmp_path / "set", original)
    built = _built(folder, tmp_path)
    for split in ("validation", "test"):
        assert _copies(built, split) == _copies(scenes, split)
    train = Records(built, "train")
    assert train.captions == [[f"a red ball beside a tree {row}"] for row in range(4)]
    assert [one.filename for one in train.described(range(4))] == [f"images/{row:05d}.png" for row in range(4)]
    assert train.picture(2).shape == (16, 16, 3) and (train.picture(2) != train.picture(3)).any()
    of_original = {split: Records(scenes, split) for split in ("train", "validation", "test")}
    assert train.ids.min() > max(int(one.ids.max()) for one in of_original.values())
    held_out = {
        number for one in of_original.values() if one.split != "train" for ids in one.caption_ids for number in ids
    }
    assert held_out.isdisjoint(number for ids in train.caption_ids for number in ids)
    assert train.truth("noisy") is None
    manifest = json.loads((built / "tfcap.json").read_text())
    assert manifest["original"] == {"dataset": "scenes", "config": "n60-s0", "version": "1.0.0"}
    assert built.parent.name.startswith("scenes-trajectories-m4-s3-")


def test_the_original_is_found_under_data_dir_or_built_there(original, scenes_dir, tmp_path):
    data = DataSettings(**{**vars(original), "data_dir": str(tmp_path / "elsewhere")})
    folder = write_distilled(tmp_path / "set", data)
    shutil.rmtree(tmp_path / "elsewhere")
    built = _built(folder, tmp_path)
    assert (tmp_path / "data" / "scenes" / "n60-s0" / "1.0.0" / "tfcap.json").exists()
    assert not (tmp_path / "elsewhere").exists() and len(Records(built, "test")) == 6


def test_what_was_limited_stays_limited(original, scenes, tmp_path):
    folder = write_distilled(tmp_path / "set", DataSettings(**{**vars(original), "limit": 2}))
    built = _built(folder, tmp_path)
    assert [len(Records(built, split)) for split in ("train", "validation", "test")] == [4, 2, 2]
    assert Records(built, "test").ids.tolist() == Records(scenes, "test").ids[:2].tolist()


def test_the_folder_may_move_and_other_contents_are_another_data_set(original, tmp_path):
    folder = write_distilled(tmp_path / "set", original)
    built = _built(folder, tmp_path)
    assert _built(folder.rename(tmp_path / "moved"), tmp_path) == built
    (tmp_path / "moved" / "images" / "00001.png").write_bytes(encoded(99, (16, 16), form="PNG"))
    assert _built(tmp_path / "moved", tmp_path) != built


def _json(**changes):
    def change(folder):
        said = {**json.loads((folder / "distilled.json").read_text()), **changes}
        (folder / "distilled.json").write_text(json.dumps({k: v for k, v in said.items() if v is not None}))

    return change


def _of_data(**changes):
    return lambda folder: _json(data={**json.loads((folder / "distilled.json").read_text())["data"], **changes})(folder)


def _other_fingerprint(folder):
    said = json.loads((folder / "distilled.json").read_text())["fingerprints"]
    _json(fingerprints={**said, "test": "f" * 64})(folder)


MISTAKES = {
    "no folder": (shutil.rmtree, "distilled set is not a folder.*--dataset=distilled:DIR"),
    "no description": (lambda folder: (folder / "distilled.json").unlink(), "has no distilled.json"),
    "cut description": (lambda folder: (folder / "distilled.json").write_text("{"), "not valid JSON"),
    "another description": (lambda folder: (folder / "distilled.json").write_text("[]"), "it is no object"),
    "vectors": (_json(kind="features"), "no pictures.*python -m tfcap.distill evaluate"),
    "another kind": (_json(kind="sounds"), "kind is 'sounds', and images and features are known"),
    "no method": (_json(method=None), "method is missing"),
    "pairs in words": (_json(pairs="4"), "pairs is missing or of another type"),
    "too few captions": (_json(captions=["one"]), "1 captions for 4 pairs"),
    "an empty caption": (_json(captions=["a", " ", "c", "d"]), "a caption is empty"),
    "no original": (_json(data={}), "does not name the original"),
    "an unknown original": (_of_data(dataset="nothing"), "does not know .Unknown data set. Received: 'nothing'"),
    "an unknown setting": (_of_data(colour="red"), "does not know .*colour"),
    "of a distilled set": (_of_data(dataset="distilled"), "distilled from a distilled set"),
    "no fingerprint": (_json(fingerprints={"train": "f"}), "lacks a fingerprint"),
    "another original": (_other_fingerprint, "not the one that was distilled.*test split.*Expected: ffffffffffff"),
    "no picture": (lambda folder: (folder / "images" / "00002.png").unlink(), "missing, of 4.*00002.png"),
    "a cut picture": (
        lambda folder: (folder / "images" / "00002.png").write_bytes(encoded(1, form="PNG")[:60]),
        "cannot be used .*00002.png",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_no_distilled_set_is_explained(original, tmp_path, name):
    change, message = MISTAKES[name]
    folder = write_distilled(tmp_path / "set", original)
    change(folder)
    with pytest.raises(InputError, match=message) as caught:
        _built(folder, tmp_path)
    assert "\n" not in str(caught.value) and not list((tmp_path / "data").rglob("tfcap.json"))


def test_an_original_that_cannot_be_built_is_explained(original, tmp_path):
    gone = {**vars(original), "dataset": "flickr8k", "source": str(tmp_path / "gone"), "data_dir": str(tmp_path)}
    folder = write_distilled(tmp_path / "set", original, data=gone)
    with pytest.raises(InputError, match="cannot be built.*--source is not a folder.*Build it with"):
        _built(folder, tmp_path)


# The settings.


def _parse(*arguments):
    return flags.parse(["main", *arguments])


def test_the_folder_is_a_part_of_the_data_set_s_name(original, tmp_path):
    folder = write_distilled(tmp_path / "set", original)
    settings = _parse(f"--dataset=distilled:{folder}")
    assert (settings.data.dataset, settings.data.source) == ("distilled", str(folder))
    assert settings == _parse("--dataset=distilled", f"--source={folder}")
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    resolved = settings.resolve()
    assert resolved.run.run_dir == "runs/distilled-set-resnet50_lstm-random-0.75-s0" and resolved.resolve() == resolved


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset=distilled:a", "--source=b"], "own source. Received: --dataset=distilled:a --source=b"),
        (["--dataset=distilled:"], "needs its folder. Expected: --dataset=distilled:DIR"),
        (["--dataset=distilled"], "needs its folder"),
        (["--dataset=scenes:a"], "Unknown data set. Received: 'scenes:a'"),
        (["--dataset=distilled:nowhere"], "not a folder. Received: nowhere"),
    ],
)
def test_a_name_that_is_none_is_explained(arguments, message):
    with pytest.raises(InputError, match=message):
        _parse(*arguments).resolve()


def test_settings_are_those_of_the_original_by_themselves(original, tmp_path):
    of_scenes = _parse(f"--dataset=distilled:{write_distilled(tmp_path / 'set', original)}").resolve()
    assert (of_scenes.model.encoder, of_scenes.data.image_size, of_scenes.data.min_word_count) == (
        "small_resnet",
        16,
        1,
    )
    assert of_scenes.training.epochs == Settings().resolve().training.epochs
    other_encoder = _parse(f"--dataset=distilled:{tmp_path / 'set'}", "--model=vgg19_lstm").resolve()
    assert (other_encoder.model.encoder, other_encoder.data.image_size) == ("vgg19", 224)
    photographs = {**vars(original), "dataset": "flickr8k", "image_size": None}
    folder = write_distilled(tmp_path / "other", original, data=photographs)
    of_photographs = _parse(f"--dataset=distilled:{folder}").resolve()
    assert (of_photographs.model.encoder, of_photographs.data.image_size) == ("resnet50", 224)


def test_two_distilled_sets_are_two_experiments_and_cost_by_their_pairs(original, tmp_path):
    for name, pairs in (("a", 4), ("b", 8)):
        write_distilled(tmp_path / name, original, pairs=pairs)
    arguments = [f"--dataset=distilled:{tmp_path / 'a'},distilled:{tmp_path / 'b'}", "--fraction=1"]
    one, other = cells_of(arguments)
    assert one.settings.hash() != other.settings.hash() and set(one.settings.difference(other.settings)) == {"source"}
    costs = cell_costs.expected([one, other], {one.name: ("", 0), other.name: ("", 0)}, {})
    seconds = [costs[cell.name].seconds - cell_costs._START for cell in (one, other)]
    assert seconds[1] == pytest.approx(2 * seconds[0])


# The whole command.


@pytest.mark.slow
def test_a_captioner_is_trained_on_it_and_tested_on_the_original(toy_flags, original, tmp_path):
    folder = write_distilled(tmp_path / "set", original, pairs=6)
    said = {name: value for name, value in toy_flags.items() if name not in ("xla", "progress", "scenes_size")}
    said |= {"dataset": f"distilled:{folder}", "data_dir": tmp_path / "data", "fraction": 1, "epochs": 2}
    words = [*(f"--{name}={value}" for name, value in said.items()), "--noxla", "--noprogress", "--noexport"]
    command = [sys.executable, "-m", "tfcap.main", *words, f"--run_dir={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["examples_total"], metrics["examples_kept"]) == (6, 6) and "CIDEr" in metrics
    tested = {one["image_id"] for one in json.loads((tmp_path / "run" / "captions.json").read_text())}
    (built,) = (tmp_path / "data" / "distilled").glob("*/1.0.0")
    test = Records(built, "test")
    assert tested == set(test.ids.tolist()) and len(tested) == 6
    card = (tmp_path / "run" / "model_card.md").read_text()
    assert "`distilled`, configuration `scenes-trajectories-m6-s3-" in " ".join(card.split())
    assert "--dataset=distilled" in card and "--source=set" in card and str(tmp_path) not in card
    settings = flags.parse(["main", *words, f"--run_dir={tmp_path / 'run'}"])
    before = (tmp_path / "run" / "metrics.json").stat().st_mtime_ns
    experiment.run(settings)
    assert (tmp_path / "run" / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["no description", "vectors", "no picture"])
def test_a_mistake_ends_the_command_with_code_2(original, tmp_path, name):
    folder = write_distilled(tmp_path / "set", original)
    change, message = MISTAKES[name]
    change(folder)
    words = [f"--dataset=distilled:{folder}", f"--data_dir={tmp_path / 'data'}", f"--run_dir={tmp_path / 'run'}"]
    done = subprocess.run([sys.executable, "-m", "tfcap.main", *words], capture_output=True, text=True, timeout=600)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "run").exists()
