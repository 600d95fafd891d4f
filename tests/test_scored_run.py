"""The commands that work on the scores of a run: masks in every form, and the figure; mistakes: test_bad_input.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pyarrow import parquet
from pycocotools.coco import COCO

from tfcap import experiment, select
from tfcap import inspect as inspect_command
from tfcap.data.masks import Mask
from tfcap.data.records import Records
from tfcap.files import read_json
from tfcap.preparation import Preparation
from tfcap.settings import Settings

BY_CONSENSUS = {"selection_score": "caption_consensus", "seed": 3}


def _scored(folder, toy_flags, **said):
    """Makes the scores and the mask of a run, and trains nothing; returns its folder."""
    experiment.select(Preparation(Settings().replace(**toy_flags, **said, run_dir=str(folder)).resolve()))
    return folder


@pytest.fixture(scope="module")
def by_loss(toy_flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "loss"
    return _scored(
        folder, toy_flags, selector="mixed", mixture="loss:1,easiest:1", fraction=0.5, proxy_epochs=0, **BY_CONSENSUS
    )


def _select(run, out, **said):
    select.main(["select", f"--scores={run}", f"--out={out}", *(f"--{name}={value}" for name, value in said.items())])


@pytest.mark.parametrize(
    "said",
    [
        {"selector": "stratified", "strata": 5},
        {"selector": "easiest", "limit": 20},
        {"selector": "mixed", "mixture": "hardest:1,random:2"},
        {"selector": "k_means", "proxy_epochs": 0},
        {"selector": "influence", "proxy_epochs": 0, "targets": 3, "sketch_dimensions": 64, "sketch_type": "bits"},
    ],
    ids=lambda said: said["selector"],
)
def test_masks_are_those_that_the_experiment_writes(toy_flags, tmp_path, said):
    run = _scored(tmp_path / "run", toy_flags, **said, **BY_CONSENSUS, fraction=0.5)
    _select(run, tmp_path / "masks", fractions="0.25,0.5")
    name, index = f"{said['selector']}-0.5", Records(_data(run), "train", said.get("limit", 0))
    theirs, ours = Mask.load(run / "masks", name, index), Mask.load(tmp_path / "masks", name, index)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    np.testing.assert_array_equal(ours.mask, theirs.mask)
    files = [mask.about.pop("score_file") for mask in (ours, theirs)]
    assert files[0] == (str(run / files[1]) if files[1] else None)
    assert theirs.about.pop("seconds") > 0 and ours.about == theirs.about
    smaller = Mask.load(tmp_path / "masks", f"{said['selector']}-0.25", index)
    assert len(smaller.ids) == len(index) // 4 and smaller.about["fraction"] == 0.25


def _data(run: Path) -> Path:
    return next(Path(read_json(run / "experiment.json")["settings"]["data"]["data_dir"]).glob("scenes/*/1.0.0"))


def test_what_is_said_goes_before_what_the_run_had(by_loss, tmp_path):
    _select(by_loss, tmp_path, selector="hardest", selection_score="loss", fractions="0.5", seed=7)
    about, scores = read_json(tmp_path / "hardest-0.5.json"), np.load(by_loss / "scores" / "loss.npy")
    ids = Records(_data(by_loss), "train").ids
    assert (about["seed"], about["score"]) == (7, "loss")
    assert np.load(tmp_path / "hardest-0.5.npz")["ids"].tolist() == ids[np.lexsort((ids, -scores))][:24].tolist()


def test_one_score_file_is_the_score_to_go_by(by_loss, tmp_path):
    _select(by_loss / "scores" / "loss.npy", tmp_path / "file", selector="hardest")
    _select(by_loss, tmp_path / "run", selector="loss")
    for fraction in ("0.25", "0.5", "0.75"):
        one, other = (tmp_path / where for where in (f"file/hardest-{fraction}.txt", f"run/loss-{fraction}.txt"))
        assert one.read_text() == other.read_text()


def test_every_form_holds_the_same_ids_in_order(by_loss, tmp_path, capsys):
    _select(by_loss, tmp_path, selector="loss", fractions="0.5,1", formats="text,parquet,coco")
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["fraction", "images", "files"] and shown[1].split()[:2] == ["0.5", "24"]
    records = Records(_data(by_loss), "train")
    captions = dict(zip(records.ids.tolist(), records.captions, strict=True))
    for fraction, count in (("0.5", 24), ("1", 48)):
        ids = Mask.load(tmp_path, f"loss-{fraction}", records).ids.tolist()
        table = parquet.read_table(tmp_path / f"loss-{fraction}.parquet").to_pydict()
        coco = COCO(str(tmp_path / f"loss-{fraction}.coco.json"))
        assert len(ids) == count
        assert [int(line) for line in (tmp_path / f"loss-{fraction}.txt").read_text().splitlines()] == ids
        assert table["id"] == ids and table["loss"] == sorted(table["loss"], reverse=True)
        assert [image["id"] for image in coco.dataset["images"]] == ids == list(coco.imgs)
        assert {(image["height"], image["width"]) for image in coco.imgs.values()} == {(96, 96)}
        assert coco.imgs[ids[0]]["file_name"] == f"{ids[0]:06d}.jpg"
        for image_id in ids:
            assert [one["caption"] for one in coco.imgToAnns[image_id]] == captions[image_id]
        assert len(coco.anns) == sum(len(captions[image_id]) for image_id in ids)


def test_masks_need_no_tensorflow(by_loss, tmp_path):
    program = "import sys; from tfcap import select; select.main(sys.argv); print('tensorflow' in sys.modules)"
    flags = [f"--scores={by_loss}", "--selector=loss", f"--out={tmp_path}", "--formats=text,parquet"]
    done = subprocess.run([sys.executable, "-c", program, *flags], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_a_second_call_overwrites_and_one_that_fails_leaves_the_old_file(by_loss, tmp_path, monkeypatch):
    _select(by_loss, tmp_path, selector="loss", fractions="0.5", formats="parquet")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(before) == ["loss-0.5.json", "loss-0.5.npz", "loss-0.5.parquet"]

    def full(table, path):
        Path(path).write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patched, pytest.raises(ValueError, match="No space left on device"):
        patched.setattr(parquet, "write_table", full)
        _select(by_loss, tmp_path, selector="loss", fractions="0.5", formats="parquet")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    _select(by_loss, tmp_path, selector="loss", fractions="0.5", formats="parquet", seed=9)
    assert read_json(tmp_path / "loss-0.5.json")["seed"] == 9 and len(list(tmp_path.iterdir())) == 3


def test_moved_data_are_found_by_their_fingerprint(by_loss, tmp_path):
    (tmp_path / "elsewhere").symlink_to(_data(by_loss).parents[2])
    text = (by_loss / "experiment.json").read_text()
    moved = tmp_path / "run"
    (moved / "scores").mkdir(parents=True)
    for name in ("loss.npy", "loss.json"):
        (moved / "scores" / name).write_bytes((by_loss / "scores" / name).read_bytes())
    (moved / "experiment.json").write_text(text.replace(json.dumps(str(_data(by_loss).parents[2])), '"gone"'))
    _select(moved, tmp_path / "masks", selector="loss", data_dir=tmp_path / "elsewhere")
    assert (tmp_path / "masks" / "loss-0.75.npz").exists()


def test_the_figure_and_its_table(by_loss, tmp_path, capsys):
    out = tmp_path / "figure.png"
    inspect_command.main(["inspect", str(by_loss), f"--out={out}"])
    shown = capsys.readouterr().out
    with Image.open(out) as image:
        assert image.format == "PNG"
    records = Records(_data(by_loss), "train")
    noisy, loss = records.truth("noisy"), np.load(by_loss / "scores" / "loss.npy")
    highest = np.lexsort((records.ids, -loss))[:24]
    assert "loss [nats per token]: 48 images" in shown and "caption_consensus [CIDEr-D, in [0, 10]]" in shown
    block = shown[shown.index("loss [nats") :].split("\n\n")[0].splitlines()
    cells = next(line for line in block if line.strip().startswith("50 %")).split()
    assert float(cells[4]) == pytest.approx(100 * noisy[highest].mean(), abs=0.05)
    assert float(cells[6]) == pytest.approx(100 * noisy[highest].sum() / noisy.sum(), abs=0.05)
    kept = set(np.load(by_loss / "masks" / "mixed-0.5.npz")["ids"].tolist())
    by_score = set(records.ids[highest].tolist())
    overlap = next(line for line in shown.splitlines() if line.startswith("mixed-0.5") and line.split()[2] == "loss")
    assert float(overlap.split()[3]) == pytest.approx(len(kept & by_score) / len(kept | by_score), abs=0.005)
    assert shown.splitlines()[-1] == str(out)


def test_the_figure_goes_to_the_run_and_is_replaced(toy_flags, tmp_path, capsys):
    run = _scored(tmp_path / "run", toy_flags, selector="hardest", **BY_CONSENSUS)
    (run / "scores.png").write_bytes(b"old")
    inspect_command.main(["inspect", str(run)])
    with Image.open(run / "scores.png") as image:
        first = np.asarray(image)
    _select(run, run / "masks", fractions="0.75", formats="coco")  # the run's own mask once more, and a JSON beside it
    capsys.readouterr()
    inspect_command.main(["inspect", str(run)])
    with Image.open(run / "scores.png") as image:
        np.testing.assert_array_equal(np.asarray(image), first)
    assert not list(run.glob(".*")) and "overlap" not in capsys.readouterr().out  # the mask is the score's highest
