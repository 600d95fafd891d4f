"""Distillation by the command line: what lies in --out, what is not done again, kills, mistakes, divergence."""

import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

from tests.tfrecords_builder.toy import encoded
from tests.toy_distillation import Distillation, listing, of_features, of_pixels, pairs, times
from tfcap.data.records import Records
from tfcap.distillation.trajectory import MatchedTrajectories
from tfcap.distilled_set import read_distilled
from tfcap.errors import CellsFailed, InputError
from tfcap.reporting.pictures import CARD_WIDTH


@pytest.fixture(scope="module")
def pixels(scenes_dir, tmp_path_factory):
    """Experts, a set of each method with steps, and what was found of them; with what every command printed."""
    toy, out = of_pixels(scenes_dir), tmp_path_factory.mktemp("pixels") / "toy"
    printed = [toy("experts", out), toy("match", out)]
    printed += [toy("match", out, method="gradient_matching", start="noise"), toy("match", out, method="covmatch")]
    return toy, out, [*printed, toy("evaluate", out)]


@pytest.fixture(scope="module")
def features(scenes_dir, tmp_path_factory):
    """Features of toy encoders, and a folder with one expert."""
    folder = tmp_path_factory.mktemp("features")
    toy, out = of_features(scenes_dir, folder), folder / "toy"
    toy("experts", out)
    return toy, out


def _picture(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


# What lies in --out.


def test_experts_leave_what_they_are_and_a_file_an_epoch(pixels, scenes):
    _, out, printed = pixels
    about = json.loads((out / "experts" / "experts.json").read_text())
    assert (about["encoder"], about["trains"], about["batch_size"]) == ("nf_resnet_small", "encoder", 16)
    assert about["rates"] == {"image": 0.1, "text": 0.1}
    files = sorted((out / "experts" / "s0-expert-00").iterdir())
    assert [path.name for path in files] == [f"epoch-{epoch:03d}.safetensors" for epoch in range(4)]
    first, *later = (load_file(path) for path in files)
    assert {name: list(first[name].shape) for name in first if name.startswith("model/")} == about["parameters"]
    assert sum(np.prod(shape) for shape in about["parameters"].values()) > 400_000
    for before, after in zip([first, *later], later, strict=False):
        assert not np.isnan(after["losses"]).any() and set(after["right"]) <= {0.0, 1.0}
        assert all((before[name] != after[name]).any() for name in about["parameters"] if "kernel" in name)
    assert np.isnan(first["losses"]).all() and len(first["losses"]) == len(Records(scenes, "train"))
    assert printed[0] == f"{out / 'experts'}\n  experts: 1, of 3 epochs each\n"


@pytest.mark.parametrize("name", ["trajectory-4-s0", "gradient_matching-4-s0", "covmatch-4-s0"])
def test_a_set_of_pictures_is_a_folder_that_other_commands_read(pixels, scenes, name):
    _, out, _ = pixels
    folder, found = out / "sets" / name, pairs(out, name)
    assert {path.name for path in folder.iterdir()} == {"pairs.safetensors", "distilled.json", "sheet.png", "images"}
    assert found["images"].shape == (4, 16, 16, 3) and found["texts"].shape == (4, 128)
    said = read_distilled(folder)
    assert (said.kind, said.pairs, said.seed, said.method) == ("images", 4, 0, name.partition("-")[0])
    for row, path in enumerate(said.image_paths()):
        np.testing.assert_array_equal(_picture(path), found["images"][row])
    records = Records(scenes, "train")
    assert set(said.captions) <= {text for texts in records.captions for text in texts}
    assert said.fingerprints["train"] == records.fingerprint
    # Two columns of cards, before and after, and a row a pair.
    height, width, _ = _picture(folder / "sheet.png").shape
    assert 2 * CARD_WIDTH < width < 3 * CARD_WIDTH and height > 4 * CARD_WIDTH


def test_trajectory_keeps_the_rates_that_it_learnt(pixels):
    _, out, _ = pixels
    rates = pairs(out, "trajectory-4-s0")["rates"]
    assert rates.shape == (2,) and (rates > 0).all() and (rates != np.float32(0.1)).all()
    assert "rates" not in pairs(out, "covmatch-4-s0")


def _shown(folder):
    """By tag the steps at which TensorBoard has it, and the pictures' bytes."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    steps, pictures = {}, {}
    for path in sorted(folder.glob("*tfevents*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = event_pb2.Event.FromString(record.numpy())
            for value in event.summary.value:
                steps.setdefault(value.tag, []).append(event.step)
                if value.metadata.plugin_data.plugin_name == "images":
                    pictures.setdefault(value.tag, []).append(value.tensor.string_val[2])
    return steps, pictures


def test_tensorboard_shows_how_numbers_and_pairs_change(pixels):
    _, out, _ = pixels
    (work,) = (out / "work").glob("trajectory-4-s0-*")
    steps, pictures = _shown(work / "tensorboard")
    assert set(steps) == {"loss", "loss_image", "loss_text", "rate_image", "rate_text", "pairs"}
    assert all(found == [2, 4] for found in steps.values())
    assert pictures["pairs"][0].startswith(b"\x89PNG") and len(set(pictures["pairs"])) == 2


def test_evaluate_keeps_what_it_found_and_prints_it(pixels, scenes):
    _, out, printed = pixels
    names = ["covmatch-4-s0", "gradient_matching-4-s0", "trajectory-4-s0"]
    found = {path.stem: json.loads(path.read_text()) for path in (out / "judged").glob("*.json")}
    assert sorted(found) == names
    test = Records(scenes, "test")
    for one in found.values():
        hits = one["hits"]["image_to_text"]["R@1"]
        assert len(hits) == len(test)
        assert np.mean(hits) == pytest.approx(one["test"]["image_to_text"]["R@1"] / 100, abs=1e-3)
    lines = printed[-1].splitlines()
    assert lines[0].split()[:4] == ["4", "pairs", "R@1", "i>t"]
    assert [line.split()[0] for line in lines[1:4]] == [name.partition("-")[0] for name in names]
    for line in lines[1:4]:
        method, first = line.split()[:2]
        assert first == f"{found[f'{method}-4-s0']['test']['image_to_text']['R@1']:.1f}*"


def test_what_is_finished_is_not_done_again(pixels):
    toy, out, printed = pixels
    before = times(out)
    assert toy("match", out) == printed[1] and toy("evaluate", out) == printed[-1]
    assert toy("experts", out, expert_epochs=2) and times(out) == before
    toy("experts", out)
    assert times(out) == before


# Another image encoder, and a captioner.


def test_pictures_are_judged_by_another_image_encoder(pixels, tmp_path):
    toy, out, _ = pixels
    before = listing(out)
    said = {"encoder": "small_resnet", "sets": out / "sets" / "covmatch-4-s0"}
    assert toy("evaluate", tmp_path / "other", **said).splitlines()[1].startswith("covmatch ")
    assert {path.name for path in (tmp_path / "other").iterdir()} == {
        ".lock",
        "judged-small_resnet",
        "problem.json",
    }
    assert listing(out) == before


@pytest.mark.slow
def test_a_captioner_is_trained_on_what_match_wrote(pixels, toy_flags, tmp_path):
    _, out, _ = pixels
    said = {name: value for name, value in toy_flags.items() if name not in ("xla", "progress", "scenes_size")}
    said |= {"dataset": f"distilled:{out / 'sets' / 'trajectory-4-s0'}", "data_dir": tmp_path / "data", "fraction": 1}
    words = [*(f"--{name}={value}" for name, value in said.items()), "--noxla", "--noprogress", "--noexport"]
    command = [sys.executable, "-m", "tfcap.main", *words, f"--run_dir={tmp_path / 'run'}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["examples_kept"] == 4 and "CIDEr" in metrics


# Features.


def test_features_are_distilled_without_training(features):
    toy, out = features
    for method in ("prototypes", "covmatch_exact", "whitened"):
        toy("match", out, method=method)
        found = pairs(out, f"{method}-4-s0")
        assert found["images"].shape == (4, 12) and found["texts"].shape == (4, 12)
        assert not (out / "sets" / f"{method}-4-s0" / "images").exists()
    # Nothing was before: the four pairs stand side by side.
    height, width, _ = _picture(out / "sets" / "whitened-4-s0" / "sheet.png").shape
    assert width > 4 * CARD_WIDTH and height < 2 * CARD_WIDTH


def test_low_memory_makes_the_same_set(features, tmp_path):
    toy, out = features
    toy("match", out, inner_batch=3)
    shutil.copytree(out / "experts", tmp_path / "experts")
    toy("match", tmp_path, inner_batch=3, low_memory=True)
    plain, recomputed = (pairs(one, "trajectory-4-s0") for one in (out, tmp_path))
    for name, array in plain.items():
        np.testing.assert_allclose(recomputed[name], array, rtol=1e-4, atol=1e-5)
    # It is another way to the same set, which is therefore not made again.
    before = times(out)
    toy("match", out, inner_batch=3, low_memory=True)
    assert times(out) == before


def test_one_pair_and_one_expert_are_enough(features, tmp_path):
    toy, out = features
    shutil.copytree(out / "experts", tmp_path / "experts")
    methods = "trajectory,gradient_matching,covmatch,prototypes,whitened,random"  # covmatch_exact needs two
    for method in methods.split(","):
        toy("match", tmp_path, method=method, pairs=1)
        assert np.isfinite(pairs(tmp_path, f"{method}-1-s0")["images"]).all()
    assert len(toy("evaluate", tmp_path).split("\n\n")[0].splitlines()) == 7


@pytest.mark.slow
def test_adapters_of_a_pretrained_image_encoder_are_matched(features, tmp_path):
    toy, _ = features
    lora = Distillation(**{**toy.settings, "trains": "lora", "lora_rank": 2})
    lora("experts", tmp_path / "a")
    shapes = json.loads((tmp_path / "a" / "experts" / "experts.json").read_text())["parameters"]
    assert sum(part in name for name in shapes for part in ("/down/", "/up/")) == 8
    lora("match", tmp_path / "a")
    assert pairs(tmp_path / "a", "trajectory-4-s0")["images"].shape == (4, 16, 16, 3)
    assert "trajectory" in lora("evaluate", tmp_path / "a")


# Kills.


# A student that hardly moves is to be faster, and is then infinitely fast.


@pytest.fixture
def diverging(monkeypatch):
    """Makes the loss of trajectories NaN from the third step on, until it is undone."""
    changed, calls = MatchedTrajectories.change, []

    def change(self, *given):
        calls.append(None)
        found = changed(self, *given)
        return found if len(calls) < 3 else dataclasses.replace(found, loss=found.loss * np.nan)

    monkeypatch.setattr(MatchedTrajectories, "change", change)
    return monkeypatch


_LONG = {
    "experts": ("experts", {"expert_epochs": 60}, "experts/*/epoch-005.safetensors"),
    "trajectory": ("match", {"steps": 400}, "work/*/state.safetensors"),
    "gradient_matching": (
        "match",
        {"method": "gradient_matching", "steps": 400, "restart_every": 7},
        "work/*/state.safetensors",
    ),
}


@pytest.mark.parametrize(
    "what", [pytest.param(name, marks=pytest.mark.slow) for name in ("trajectory", "experts", "gradient_matching")]
)
def test_a_killed_command_comes_to_the_same_end(features, tmp_path, what):
    toy, trained = features
    verb, changes, begun = _LONG[what]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out in (whole, cut):
        shutil.copytree(trained / "experts", out / "experts")
    words = toy.words(verb, cut, **changes, checkpoint_every=5, show_every=1000)
    process = subprocess.Popen(
        [sys.executable, "-m", "tfcap.distill", *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    deadline = time.monotonic() + 280
    while not list(cut.glob(begun)):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    end = "experts/*/epoch-060.safetensors" if what == "experts" else "sets/*/distilled.json"
    assert not list(cut.glob(end))
    for out in (whole, cut):
        toy(verb, out, **changes, checkpoint_every=5, show_every=1000)
    kinds = (".safetensors", ".png")
    found = [{name: one for name, one in listing(out).items() if name.endswith(kinds)} for out in (whole, cut)]
    assert found[0] == found[1] and list(whole.glob(end))
    assert not [path for path in cut.rglob("*") if "partial" in path.name]


def test_a_set_that_was_begun_with_other_settings_is_no_beginning(features, tmp_path, diverging):
    toy, out = features
    shutil.copytree(out / "experts", tmp_path / "experts")
    code, _, errors = toy.ended("match", tmp_path, pairs=3, checkpoint_every=1, steps=20)
    assert code == 1 and re.fullmatch(r"error: .*trajectory.* in step \d+: lower --image_rate.*\n", errors), errors
    assert "in step 3:" in errors and not (tmp_path / "sets").exists()
    diverging.undo()
    toy("match", tmp_path, pairs=3)
    shutil.copytree(out / "experts", tmp_path / "other" / "experts")
    toy("match", tmp_path / "other", pairs=3)
    for name, array in pairs(tmp_path, "trajectory-3-s0").items():
        np.testing.assert_array_equal(array, pairs(tmp_path / "other", "trajectory-3-s0")[name])


def test_experts_that_diverge_leave_room_for_a_sane_rate(scenes_dir, tmp_path):
    toy = of_pixels(scenes_dir)
    code, _, errors = toy.ended("experts", tmp_path, expert_rate=1e6)
    assert code == 1 and re.fullmatch(r"error: Expert 0 diverged in epoch \d: lower --expert_rate.*\n", errors), errors
    toy("experts", tmp_path, expert_epochs=2)
    assert (tmp_path / "experts" / "s0-expert-00" / "epoch-002.safetensors").exists()


# Studies.


def _work(out):
    """When each file was written of those that take time to make."""
    return {name: at for name, at in times(out).items() if "/" in name}


def test_a_study_makes_and_judges_every_cell_and_goes_on(features, tmp_path):
    toy, trained = features
    said = {"methods": "random,herding,k_center,k_means,forgetting,stratified,covmatch_exact", "sizes": "2,14"}
    printed = toy("study", tmp_path, **said, seeds="0,1")
    assert {path.name for path in (tmp_path / "experts").iterdir()} == {
        "experts.json",
        "s0-expert-00",
        "s1-expert-00",
    }
    names = {path.name for path in (tmp_path / "sets").iterdir()}
    # 12 directions make no 14 pairs.
    assert len(names) == 7 * 2 * 2 - 2 and not any(name.startswith("covmatch_exact-14") for name in names)
    whole = {"expert-s0", "expert-s1"}
    assert {path.stem for path in (tmp_path / "judged").iterdir()} == names | whole
    cells = json.loads((tmp_path / "distillation.json").read_text())["cells"]
    assert cells == {path.stem: json.loads(path.read_text()) for path in (tmp_path / "judged").iterdir()}
    small, large, note = printed.split("\n\n")
    assert [line.split()[0] for line in small.splitlines()] == ["2", *said["methods"].split(","), "expert,"]
    assert next(line for line in large.splitlines() if line.startswith("covmatch_exact")).split()[1:] == ["-"] * 6
    assert "±" in small and "mean over 2 seeds" in note
    said_of = {name: json.loads((tmp_path / "sets" / name / "distilled.json").read_text()) for name in names}
    ids = {name: one["image_ids"] for name, one in said_of.items() if one["method"] != "covmatch_exact"}
    assert all(len(set(one)) == said_of[name]["pairs"] for name, one in ids.items())
    assert ids["random-2-s0"] != ids["random-2-s1"]
    before = _work(tmp_path)
    assert toy("study", tmp_path, **said, seeds="0,1") == printed and _work(tmp_path) == before
    more = toy("study", tmp_path, methods="random", sizes="2", seeds="0,1,2")
    assert "herding" not in more and "or 3 seeds" in more
    assert before.items() <= _work(tmp_path).items() and "random-2-s2" in {
        path.name for path in (tmp_path / "sets").iterdir()
    }


def test_a_cell_that_diverges_leaves_the_others(features, tmp_path, diverging):
    toy, out = features
    shutil.copytree(out / "experts", tmp_path / "experts")
    said = {"methods": "trajectory,random", "sizes": "2,3", "seeds": "0"}
    code, printed, errors = toy.ended("study", tmp_path, **said)
    assert code == 1 and errors.startswith("error: 2 failed: trajectory-2-s0: ") and "; trajectory-3-s0: " in errors
    assert {path.name for path in (tmp_path / "sets").iterdir()} == {"random-2-s0", "random-3-s0"}
    assert {path.name for path in (tmp_path / "sets").iterdir()} <= {
        path.stem for path in (tmp_path / "judged").iterdir()
    }
    assert "random" in printed and errors.count("\n") == 1


@pytest.mark.slow
def test_experts_that_diverge_leave_the_methods_without(scenes_dir, tmp_path):
    toy = of_pixels(scenes_dir)
    said = {"methods": "forgetting,random", "sizes": "2,3", "seeds": "0", "expert_rate": 1e6}
    with pytest.raises(CellsFailed, match=r"2 failed: forgetting-2-s0: Expert 0 diverged.*forgetting-3-s0: Expert 0"):
        toy("study", tmp_path, **said)
    assert {path.name for path in (tmp_path / "sets").iterdir()} == {"random-2-s0", "random-3-s0"}
    assert {path.name for path in (tmp_path / "sets").iterdir()} <= {
        path.stem for path in (tmp_path / "judged").iterdir()
    }


# Mistakes.


def test_other_settings_at_one_out_are_refused(features):
    toy, out = features
    toy("match", out, pairs=3)
    rows = [
        ("experts", {"expert_rate": 0.5}, r"experts of another rates. Received: .*0\.5.* Expected: .*0\.1.* --out"),
        ("experts", {"batch_size": 8}, "another batch_size. Received: 8. Expected: 16"),
        ("experts", {"limit": 20}, "is of other data. Say what it was begun with"),
        ("match", {"pairs": 3, "steps": 9}, r"trajectory-3-s0 was made with another --steps. Received: 9. Expected: 4"),
        ("match", {"pairs": 3, "start": "noise"}, "another --start. Received: noise. Expected: random"),
        ("match", {"pairs": 3, "projection_size": 9}, "is of another --projection_size. Received: 9. Expected: "),
        ("match", {"pairs": 3, "expert_rate": 0.5}, "another --expert_rate"),
        ("evaluate", {"limit": 20}, "is of other data. Say what it was begun with"),
    ]
    for verb, changes, words in rows:
        assert re.search(words, toy.mistaken(verb, out, **changes)), (verb, changes)


def test_what_does_not_fit_together_is_refused(features, pixels, tmp_path):
    toy, out = features
    toy("match", out, pairs=3)
    of_images, made, _ = pixels
    rows = [
        (toy, "match", {"pairs": 49}, "fewer images than pairs are asked for. Received: --pairs=49 of 48 images"),
        (toy, "match", {"seed": 1}, "not trained so far. Received: 0 epochs.*tfcap.distill experts --seed=1"),
        (toy, "match", {"experts": 2}, "Expert 1 in .* is not trained so far"),
        (toy, "match", {"method": "whitened", "pairs": 25}, "whitened can make no more pairs.*Expected: 1 to 24"),
        (toy, "match", {"start": "covmatch_exact", "pairs": 1}, "covmatch_exact can make no less than two"),
        (toy, "match", {"start": "covmatch_exact", "pairs": 14}, "covmatch_exact can make no more pairs"),
        (of_images, "match", {"method": "prototypes"}, "prototypes makes features and no pictures.*--trains=proj"),
        (of_images, "match", {"start": "whitened"}, "whitened makes features and no pictures"),
        (of_images, "study", {"methods": "trajectory,covmatch_exact", "sizes": "2"}, "covmatch_exact makes features"),
        (toy, "evaluate", {"sets": made / "sets"}, "another text encoder.*--text_encoder=small"),
        (
            of_images,
            "evaluate",
            {"sets": out / "sets", "text_encoder": "bert", "text_weights": toy.settings["text_weights"]},
            "does not fit this student. Received: features by vit of 16 pixels. Expected: images of 16 pixels",
        ),
        (toy, "evaluate", {"sets": tmp_path}, "no distilled set. Received: .*tfcap.distill match makes one"),
    ]
    for command, verb, changes, words in rows:
        where = tmp_path / "out"
        shutil.rmtree(where, ignore_errors=True)
        if verb == "match" and command is toy:
            shutil.copytree(out / "experts", where / "experts")
        assert re.search(words, command.mistaken(verb, where, **changes)), (verb, changes)


def test_a_match_without_experts_asks_for_them_and_leaves_nothing(features, tmp_path):
    toy, _ = features
    assert "tfcap.distill experts --seed=0 trains them" in toy.mistaken("match", tmp_path / "new")
    toy("experts", tmp_path / "new", expert_rate=0.5, expert_epochs=2)


_DAMAGE = {
    "pairs cut": ("sets/trajectory-3-s0/pairs.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-9])),
    "pairs gone": ("sets/trajectory-3-s0/pairs.safetensors", lambda path: path.unlink()),
    "description cut": ("sets/trajectory-3-s0/distilled.json", lambda path: path.write_text("{")),
    "description empty": ("sets/trajectory-3-s0/distilled.json", lambda path: path.write_text("{}")),
    "findings cut": ("judged/trajectory-3-s0.json", lambda path: path.write_text("{")),
}


@pytest.fixture(scope="module")
def judged(features, tmp_path_factory):
    toy, out = features
    folder = tmp_path_factory.mktemp("judged") / "toy"
    shutil.copytree(out / "experts", folder / "experts")
    toy("match", folder, pairs=3)
    toy("evaluate", folder)
    return toy, folder


@pytest.mark.parametrize("name", _DAMAGE)
def test_a_damaged_file_is_named(judged, tmp_path, name):
    toy, made = judged
    shutil.copytree(made, tmp_path / "out")
    path, damage = _DAMAGE[name]
    damage(tmp_path / "out" / path)
    said = toy.mistaken("evaluate", tmp_path / "out")
    assert "trajectory-3-s0" in said and ("damaged" in said or "not" in said)


def test_damaged_experts_and_checkpoints_are_named(judged, tmp_path):
    toy, made = judged
    for place, verb in (("experts/s0-expert-00/epoch-001.safetensors", "match"), ("work/*/state.safetensors", "match")):
        out = tmp_path / verb / place.partition("/")[0]
        shutil.copytree(made, out)
        shutil.rmtree(out / "sets")
        if place.startswith("experts"):
            shutil.rmtree(out / "work")
        path = next(out.glob(place), None) or next(out.glob("work/*")) / "state.safetensors"
        path.write_bytes(path.read_bytes()[:-9] if path.exists() else b"not tensors")
        assert f"{path} is damaged" in toy.mistaken(verb, out, pairs=3)


_MISTAKES = [
    ("experts", {"out": ""}, "--out is missing. Expected: --out=FOLDER"),
    ("make", {}, "no such verb. Received: make. Expected: experts or match or evaluate or study"),
    ("match", {"sets": "x"}, "--sets names what is evaluated"),
    ("match", {"method": "best"}, "Unknown method. Received: 'best'"),
    ("match", {"pairs": 0}, "--pairs is out of range"),
    (
        "match",
        {"start": "trajectory"},
        "A method with steps cannot be a start. Received: 'trajectory'. Expected: noise",
    ),
    ("match", {"start": "nothing"}, "Unknown --start. Received: 'nothing'. Expected: noise"),
    ("match", {"latest_start": 3}, "latest_start=3 --expert_span=1 --expert_epochs=3. Expected: .*at most"),
    ("experts", {"trains": "projections"}, "would stay random"),
    ("experts", {"encoder": "resnet18_cifar"}, "batch normalisation moves statistics.*--encoder=resnet18_cifar"),
    ("experts", {"text_encoder": "bert"}, "A text encoder without weights.*--text_encoder=bert without"),
    ("study", {"sizes": "2,"}, "--sizes cannot be read. Received: '2,'. Expected: whole numbers from 1"),
    ("study", {"sizes": "0,2"}, "--sizes cannot be read"),
    ("study", {"sizes": "2,2"}, "--sizes cannot be read"),
    ("study", {"seeds": "1.5"}, "--seeds cannot be read. Received: '1.5'. Expected: whole numbers from 0"),
    ("study", {"seeds": "-1"}, "--seeds cannot be read"),
    ("study", {"seeds": str(2**31)}, "--seeds cannot be read"),
    ("study", {"methods": ""}, "--methods names none"),
    ("study", {"methods": "random,random"}, "--methods names one twice"),
    ("evaluate", {"judge_rates": "0"}, "--judge_rates cannot be read. Received: '0'. Expected: numbers above 0"),
    ("evaluate", {"judge_rates": "nan"}, "--judge_rates cannot be read"),
    ("evaluate", {"judge_rates": "1e999"}, "--judge_rates cannot be read"),
    ("evaluate", {"judge_rates": "fast"}, "--judge_rates cannot be read"),
]


@pytest.mark.parametrize(("verb", "changes", "words"), _MISTAKES)
def test_mistakes_are_said_before_anything_is_read(scenes_dir, tmp_path, verb, changes, words):
    said = of_pixels(scenes_dir).mistaken(verb, **{"out": tmp_path / "out", **changes})
    assert re.search(words, said) and not list(tmp_path.iterdir())


def test_the_command_ends_with_2_and_one_line(tmp_path):
    command = [sys.executable, "-m", "tfcap.distill", "match", f"--out={tmp_path / 'x'}", "--start=trajectory"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and not (tmp_path / "x").exists()


def test_two_at_once_are_refused(scenes_dir, tmp_path):
    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        said = of_pixels(scenes_dir).mistaken("experts", tmp_path)
    assert "Another process is at work on this distillation" in said


def test_an_out_that_is_a_file_is_refused(scenes_dir, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="The place to write to is refused"):
        of_pixels(scenes_dir)("experts", tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "mine"


# Captions.


@pytest.mark.parametrize("text_encoder", ["small", "bert"])
def test_long_captions_and_all_scripts_are_embedded(features, tmp_path, text_encoder):
    source = tmp_path / "flickr8k"
    (source / "images").mkdir(parents=True)
    texts = ["word " * 500, "日本語の猫 🚲 é", "\u05e9\u05dc\u05d5\u05dd", "...", "ALL CAPITALS"]
    rows = ["image,caption"]
    for number in range(12):
        (source / "images" / f"{number}.jpg").write_bytes(encoded(number))
        rows.append(f"{number}.jpg,{texts[number % len(texts)]}")
    (source / "captions.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    changes = {"dataset": "flickr8k", "source": source, "data_dir": tmp_path / "data", "scenes_size": None}
    toy = Distillation(**{**features[0].settings, **changes, "text_encoder": text_encoder})
    if text_encoder == "small":
        toy.settings["text_weights"] = None
    out = tmp_path / "out"
    toy("match", out, method="random", pairs=5)
    found = pairs(out, "random-5-s0")
    assert np.isfinite(found["texts"]).all()
    assert "random" in toy("evaluate", out)
