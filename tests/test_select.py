"""The stage that selects: signals reach the selector, and its choice becomes a mask. Nothing is trained."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from tfcap import experiment
from tfcap.preparation import Preparation
from tfcap.selection import Signals
from tfcap.selection.k_center import KCenter
from tfcap.settings import Settings

N = 20
IDS = np.random.default_rng(0).permutation(90)[:N].astype(np.int64)
LOSS = np.random.default_rng(1).normal(size=N).astype(np.float32)


class _Records:
    ids, fingerprint = IDS, "f" * 64

    def __len__(self):
        return N


def _prep(folder, features, **said):
    prep = SimpleNamespace(
        settings=Settings().replace(dataset="flickr8k", fraction=0.5, seed=3, **said).resolve(),
        records={"train": _Records()},
        examples={"train": _Records()},
        folder=folder,
        scoring=folder,
        alone_in_scoring=contextlib.nullcontext,
        features_seconds=1.0,
        replicas=SimpleNamespace(is_chief=True),
        _features={"train": (features, 0.0)},
    )
    prep.embeddings = lambda split: Preparation.embeddings(prep, split)
    return prep


@pytest.fixture
def selected(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "scores_of", lambda prep, name: {"loss": LOSS, "gradient_norm": -LOSS}[name])

    def select(features=None, **said):
        return experiment.select(_prep(tmp_path, features, **said))

    return select


def test_random_and_hardest_first_keep_what_they_always_kept(selected):
    assert selected(selector="random").ids.tolist() == IDS[np.random.default_rng(3).permutation(N)[:10]].tolist()
    assert selected(selector="loss").ids.tolist() == IDS[np.argsort(-LOSS)[:10]].tolist()
    by_norm = selected(selector="gradient_norm")
    assert by_norm.ids.tolist() == IDS[np.argsort(LOSS)[:10]].tolist()
    assert (by_norm.about["score"], by_norm.about["score_file"]) == ("gradient_norm", "scores/gradient_norm.npy")


@pytest.mark.parametrize("shape", [(N, 6), (N, 3, 6), (N, 2, 4, 6)])
def test_a_map_of_features_is_averaged_to_one_embedding(selected, shape):
    features = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    pooled = features.reshape(N, -1, 6).mean(axis=1)
    expected = KCenter()(Signals(IDS, embeddings=pooled), 10, np.random.default_rng(3))
    mask = selected(features, selector="k_center")
    assert mask.ids.tolist() == expected.tolist()
    assert mask.about["score"] is None and (mask.mask == np.isin(IDS, expected)).all()


def test_a_mask_that_is_there_is_not_made_again(selected, monkeypatch):
    first = selected(selector="loss")
    monkeypatch.setattr(experiment, "scores_of", None)
    assert selected(selector="loss").ids.tolist() == first.ids.tolist()
