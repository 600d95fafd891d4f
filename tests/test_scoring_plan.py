"""Which scoring captioner a selector needs, and which experiments share one."""

import json

import numpy as np
import pytest

from tfcap import experiment
from tfcap.errors import InputError
from tfcap.scoring_plan import ScoringPlan
from tfcap.settings import Settings

_GIT = {"model": "git", "selector": "loss", "encoder": "small_resnet", "train": "all", "encoder_weights": "none"}


def _plan(**said):
    return ScoringPlan(Settings().replace(**said).resolve())


def _shared(**said):
    return _plan(scoring_dir="shared", **said).shared_folder("fingerprint")


@pytest.mark.parametrize(
    ("said", "files", "length"),
    [
        ({"selector": "random"}, [], 0),
        ({"selector": "caption_consensus"}, None, None),
        ({"selector": "hardest", "selection_score": "caption_consensus"}, ["caption_consensus"], 0),
        ({"selector": "gradient_norm"}, ["gradient_norm"], 5),
        ({"selector": "loss"}, ["loss"], 25),
        ({"selector": "forgetting"}, ["forgetting"], 25),
        ({"selector": "k_means"}, ["embedding"], 25),
        ({"selector": "d2"}, ["loss", "embedding"], 25),
        ({"selector": "influence"}, ["gradient_sketch-train", "gradient_sketch-validation"], 5),
        ({"selector": "mixed", "mixture": "el2n:1,gradient_norm:1"}, ["el2n", "gradient_norm"], 5),
        ({"selector": "mixed", "mixture": "loss:1,el2n:1", "proxy_epochs": 7}, ["loss", "el2n"], 7),
    ],
)
def test_what_is_needed(said, files, length):
    if files is None:  # a score that is no selector
        with pytest.raises(InputError, match="Unknown selector"):
            _plan(**said)
        return
    plan = _plan(**said)
    assert (plan.files, plan.length) == (files, length)


def test_a_frozen_encoder_s_features_are_no_score_file():
    plan = _plan(dataset="flickr8k", selector="k_means")
    assert plan.files == [] and plan.length == 0


@pytest.mark.parametrize(
    ("mixture", "words"),
    [
        ("loss:1,gradient_norm:1", "loss and gradient_norm"),
        ("loss:1,influence:1", "loss and gradient_sketch"),
        ("k_center:1,el2n:1", "el2n and embedding"),
    ],
)
def test_scores_of_two_trainings_are_an_error_of_one_line(mixture, words):
    with pytest.raises(InputError, match=f"different times.*--mixture={mixture}.*{words}") as caught:
        _plan(selector="mixed", mixture=mixture)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"selector": "loss"}, {"selector": "stratified", "fraction": 0.1, "noise_cut": 0.2}, True),
        ({"selector": "gradient_norm"}, {"selector": "el2n", "beams": 1}, True),
        ({"selector": "gradient_norm"}, {"selector": "loss"}, False),
        ({"selector": "gradient_norm"}, {"selector": "loss", "proxy_epochs": 5}, True),
        ({"selector": "gradient_norm"}, {"selector": "gradient_norm", "epochs": 20, "proxy_epochs": 5}, True),
        ({"selector": "gradient_norm"}, {"selector": "gradient_norm", "epochs": 50}, False),
        ({"selector": "loss"}, {"selector": "forgetting"}, False),
        ({"selector": "loss"}, {"selector": "loss", "seed": 1}, False),
        ({"selector": "loss"}, {"selector": "loss", "dropout": 0.1}, False),
        ({"selector": "loss"}, {"selector": "loss", "token_reduction": "sum"}, False),
        ({"selector": "loss"}, {"selector": "loss", "level": "pair"}, False),
        ({"selector": "loss"}, {"selector": "loss", "run_dir": "elsewhere", "strategy": "mirrored"}, True),
        # The same captioner scores, beside others.
        ({"selector": "loss"}, {"selector": "loss", "model": "git", "proxy": "resnet50_lstm"}, True),
        ({"selector": "loss", "model": "git"}, {"selector": "loss", "model": "vit_gpt2", "proxy": "git"}, True),
        ({"selector": "loss", "model": "git"}, {"selector": "loss", "proxy": "git", "units": 9}, True),
        ({"selector": "loss"}, {"selector": "loss", "model": "git", "proxy": "resnet50_lstm", "units": 9}, False),
        # A proxy starts at random and has the words of the experiment.
        (
            {**_GIT, "checkpoint": "folder"},
            {**_GIT, "model": "vit_gpt2", "checkpoint": "folder", "proxy": "git"},
            False,
        ),
        ({**_GIT, "tokenizer": "folder"}, {**_GIT, "model": "vit_gpt2", "checkpoint": "folder", "proxy": "git"}, True),
        (_GIT, {**_GIT, "model": "vit_gpt2", "checkpoint": "folder", "proxy": "git"}, False),
    ],
)
def test_who_shares(one, other, same):
    assert (_shared(**one) == _shared(**other)) == same


ON_VIT = {"dataset": "flickr8k", "encoder": "vit", "encoder_weights": "vit-folder", "selector": "loss"}


@pytest.mark.parametrize(
    ("model", "proxy", "changes", "same"),
    [
        ("git", "resnet50_lstm", {}, False),  # the proxy would have seen one vector an image, and sees all tokens
        ("clip_gpt2", "resnet50_lstm", {}, True),
        ("git", "vit_gpt2", {}, True),
        ("git", "resnet50_lstm", {"encoder": "vit_b16", "encoder_weights": "none"}, True),  # each trains its own
    ],
)
def test_a_proxy_shares_its_scores_where_it_sees_what_it_would_see_by_itself(model, proxy, changes, same):
    alone, beside = ({**ON_VIT, "model": name, "proxy": proxy, **changes} for name in (proxy, model))
    assert (_shared(**alone) == _shared(**beside)) == same


def test_runs_share_while_the_content_behind_a_name_is_the_same():
    def shared(**contents):
        return _plan(**ON_VIT, scoring_dir="shared").shared_folder("fingerprint", contents)

    assert shared(encoder_weights="a") == shared(encoder_weights="a") != shared(encoder_weights="b")
    assert shared() == _shared(**ON_VIT) != shared(encoder_weights="a")
    of_keras = _plan(**{**ON_VIT, "encoder": "vgg19", "encoder_weights": "vgg19.weights.h5"}, scoring_dir="shared")
    assert of_keras.shared_folder("f", {"encoder_weights": "a"}) == of_keras.shared_folder("f")


def _made(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".npy", ".keras", ".h5")}


def test_a_second_run_scores_with_what_the_first_has_made(toy_flags, tmp_path):
    shared, first, second, alone = (tmp_path / name for name in ("shared", "first", "second", "alone"))
    flags = {**toy_flags, "selector": "d2", "export": False}
    experiment.run(Settings().replace(**flags, scoring_dir=str(shared), run_dir=str(first)))
    before = _made(shared)
    assert {path.name for path in before} >= {"loss.npy", "embedding.npy"}
    other = {**flags, "selector": "k_means", "fraction": 0.5}
    found = experiment.run(Settings().replace(**other, scoring_dir=str(shared), run_dir=str(second)))
    assert _made(shared) == before
    experiment.run(Settings().replace(**other, run_dir=str(alone)))
    masks = [np.load(run / "masks" / "k_means-0.5.npz")["ids"].tolist() for run in (second, alone)]
    assert masks[0] == masks[1] and len(masks[0]) == 24
    embedding = json.loads((second / "scores" / "embedding.json").read_text())
    selecting = json.loads((second / "masks" / "k_means-0.5.json").read_text())["seconds"]
    scoring = embedding["train_seconds"] + embedding["pass_seconds"]
    assert min(selecting, scoring) > 0 and found.metrics["scoring_seconds"] == pytest.approx(scoring + selecting)


@pytest.mark.slow
def test_a_run_afresh_leaves_what_is_shared(toy_flags, tmp_path):
    flags = {**toy_flags, "selector": "loss", "export": False, "scoring_dir": str(tmp_path / "shared")}
    run = tmp_path / "run"
    experiment.run(Settings().replace(**flags, run_dir=str(run)))
    before = _made(tmp_path / "shared")
    experiment.run(Settings().replace(**flags, resume=False, fraction=0.5, run_dir=str(run)))
    assert _made(tmp_path / "shared") == before and (run / "scores").is_symlink()
    assert [path.name for path in (run / "masks").glob("*.npz")] == ["loss-0.5.npz"]


def test_captioners_of_one_name_that_see_other_features_share_no_scores():
    """Behind ViT the proxy sees the mean of the regions that an LSTM attends to, and by itself the class token."""
    said = {"dataset": "flickr8k", "encoder": "vit", "encoder_weights": "folder", "selector": "loss"}
    said |= {"scoring_dir": "shared", "proxy": "clip_gpt2"}
    beside_lstm = Settings().replace(**said, model="resnet50_lstm", attention=True).resolve()
    alone = Settings().replace(**said, model="clip_gpt2").resolve()
    folders = [ScoringPlan(settings).shared_folder("f") for settings in (beside_lstm, alone)]
    assert folders[0] != folders[1]
