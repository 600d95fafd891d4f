"""k-means prototypes, against scikit-learn called directly."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances

from tfcap.selection import Signals, clusters
from tfcap.selection.k_means import KMeansPrototypes

RNG = np.random.default_rng


def _signals(count=80, seed=0):
    points = RNG(seed).normal(size=[count, 5]).astype(np.float32)
    return Signals(np.arange(count) + 10, embeddings=points)


def _direct(signals, count):
    """The nearest example to each of scikit-learn's centroids, of the larger clusters first."""
    model = KMeans(count, n_init=1, random_state=int(RNG(0).integers(2**31))).fit(signals.embeddings)
    nearest = pairwise_distances(signals.embeddings, model.cluster_centers_).argmin(axis=0)
    sizes = np.bincount(model.labels_)
    assert (model.labels_[nearest] == np.arange(count)).all()
    return [int(signals.ids[nearest[cluster]]) for cluster in np.lexsort((np.arange(count), -sizes))], model


@pytest.mark.parametrize("budget", [1, 2, 5, 12])
def test_the_kept_are_the_nearest_to_scikit_learn_s_centroids(budget):
    signals = _signals()
    assert KMeansPrototypes()(signals, budget, RNG(0)).tolist() == _direct(signals, budget)[0]


def test_given_clusters_give_their_next_nearest_in_turn_and_any_budget_is_a_beginning():
    signals = _signals()
    first, model = _direct(signals, 7)
    kept = KMeansPrototypes(clusters=7)(signals, 80, RNG(0))
    assert kept[:7].tolist() == first
    distance = np.linalg.norm(signals.embeddings - model.cluster_centers_[model.labels_], axis=1)
    for cluster in range(7):
        own = [number - 10 for number in kept.tolist() if model.labels_[number - 10] == cluster]
        assert (np.diff(distance[own]) >= 0).all()
    for budget in (1, 9, 50):
        assert KMeansPrototypes(clusters=7)(signals, budget, RNG(0)).tolist() == kept[:budget].tolist()


@pytest.mark.parametrize("above", [10**8, 0])
def test_both_algorithms_find_clusters_that_lie_apart(above, monkeypatch):
    monkeypatch.setattr(clusters, "LLOYD_AT_MOST", above)
    groups = np.repeat(np.arange(4), 30)
    points = (100 * np.eye(4)[groups] + RNG(0).normal(size=[120, 4])).astype(np.float32)
    kept = KMeansPrototypes(clusters=4)(Signals(np.arange(120), embeddings=points), 4, RNG(1))
    found = clusters.clusters(points, 4, RNG(1))[0]
    if above:
        assert set(groups[kept]) == {0, 1, 2, 3}
    assert all(len(set(found[groups == group])) == 1 for group in range(4))


def test_more_clusters_than_distinct_embeddings_still_meet_the_budget():
    points = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    kept = KMeansPrototypes()(Signals(np.arange(12), embeddings=points), 6, RNG(0))
    assert len(set(kept.tolist())) == 6 and set(kept[:3] // 4) == {0, 1, 2}
