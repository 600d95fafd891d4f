"""Learnability against the difference of losses that two runs of their own have made."""

import shutil

import numpy as np
import pytest

from tfcap.files import read_json, write_json
from tfcap.preparation import Preparation
from tfcap.scores import scores_of
from tfcap.settings import Settings
from tfcap.training import checkpoint


def _prep(toy_flags, folder, **said):
    return Preparation(Settings().replace(**{**toy_flags, **said, "run_dir": str(folder)}).resolve())


@pytest.fixture(scope="module")
def reference(finished_run, tmp_path_factory):
    """The finished run, as if on other images with the same words."""
    run = shutil.copytree(finished_run, tmp_path_factory.mktemp("reference") / "run")
    about = read_json(run / "experiment.json")
    write_json(run / "experiment.json", {**about, "fingerprints": dict.fromkeys(about["fingerprints"], "0" * 64)})
    return run


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_it_is_the_learner_s_loss_less_the_reference_s(toy_flags, finished_run, reference, tmp_path, reduction):
    said = {"token_reduction": reduction, "seed": 1}
    asked = {"selector": "hardest", "selection_score": "learnability", "teacher": str(reference), "proxy_epochs": 2}
    found = scores_of(_prep(toy_flags, tmp_path / "both", **said, **asked), "learnability")
    learner = scores_of(_prep(toy_flags, tmp_path / "learner", **said, selector="loss", proxy_epochs=2), "loss")
    taught = scores_of(_prep(toy_flags, tmp_path / "taught", **said, selector="loss", teacher=str(reference)), "loss")
    np.testing.assert_allclose(found, learner - taught, atol=1e-4 * learner.max())
    assert np.abs(found).max() > 1e-2 and np.unique(found).size == len(found)
    about = read_json(tmp_path / "both" / "scores" / "learnability.json")
    best = checkpoint.identity(checkpoint.find(finished_run / "checkpoints", checkpoint.BEST))
    assert about["checkpoints"]["teacher"] == best and about["teacher"] == str(reference)
    assert about["epochs"] == 2 and list(about["checkpoints"]) == ["s1-e2", "teacher"]
    assert about["unit"] == ("nats per token" if reduction == "mean" else "nats per caption")


def test_several_learners_are_averaged_and_the_reference_counts_once(toy_flags, reference, tmp_path):
    asked = {"selector": "hardest", "selection_score": "learnability", "teacher": str(reference), "proxy_epochs": 0}
    both = scores_of(_prep(toy_flags, tmp_path / "both", **asked, score_seeds=2), "learnability")
    each = [scores_of(_prep(toy_flags, tmp_path / f"{seed}", **asked, seed=seed), "learnability") for seed in (0, 1)]
    np.testing.assert_allclose(both, np.mean(each, axis=0), atol=1e-5)
