"""Class-balanced: the same part of each class, each in the selector's own order."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances

from tfcap.selection import Signals
from tfcap.selection.class_balanced import ClassBalanced
from tfcap.selection.k_means import KMeansPrototypes
from tfcap.selection.ranked import Hardest

RNG = np.random.default_rng


@pytest.mark.parametrize("sizes", [[50, 50], [60, 30, 10], [97, 2, 1], [7, 11, 13, 17, 19, 23]])
def test_each_class_has_its_part_of_every_budget(sizes):
    labels = RNG(0).permutation(np.repeat([5 * one - 3 for one in range(len(sizes))], sizes))
    signals = Signals(np.arange(len(labels)), {"loss": RNG(0).normal(size=len(labels))}, labels=labels)
    kept = ClassBalanced(Hardest("loss"))(signals, len(labels), RNG(0))
    for budget in range(1, len(labels) + 1):
        counts = np.array([(labels[kept[:budget]] == one).sum() for one in np.unique(labels)])
        assert np.abs(counts - budget * np.array(sizes) / len(labels)).max() < 1.1
    for one in np.unique(labels):
        own = kept[labels[kept] == one]
        assert (np.diff(signals.scores["loss"][own]) <= 0).all()


def test_without_it_a_class_may_be_lost():
    signals = Signals(np.arange(10), {"loss": np.arange(10.0)}, labels=np.repeat([0, 1], 5))
    assert Hardest("loss")(signals, 4, RNG(0)).tolist() == [9, 8, 7, 6]
    assert sorted(ClassBalanced(Hardest("loss"))(signals, 4, RNG(0)).tolist()) == [3, 4, 8, 9]


@pytest.mark.parametrize(("sizes", "kept"), [([30, 30, 30], [6, 6, 6]), ([40, 20], [8, 4]), ([25, 5], [5, 1])])
def test_k_means_keeps_of_each_class_the_nearest_to_as_many_centroids_as_it_keeps(sizes, kept):
    """Study S5: scikit-learn's centroids of a class alone, and the real picture nearest to each of them."""
    labels = RNG(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = RNG(1).normal(size=[len(labels), 4]).astype(np.float32)
    signals = Signals(np.arange(len(labels)) + 100, embeddings=points, labels=labels)
    found = ClassBalanced(KMeansPrototypes())(signals, sum(kept), RNG(5))
    for one, (count, own) in enumerate(zip(kept, RNG(5).spawn(len(sizes)), strict=True)):
        members = np.flatnonzero(labels == one)
        model = KMeans(count, n_init=1, random_state=int(own.integers(2**31))).fit(points[members])
        nearest = pairwise_distances(points[members], model.cluster_centers_).argmin(axis=0)
        assert sorted(found[labels[found - 100] == one]) == sorted(members[nearest] + 100)
        assert len(set(model.labels_[nearest])) == len(set(nearest)) == count
