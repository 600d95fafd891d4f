"""Deduplication: duplicates after all else, against a direct implementation inside one cluster."""

import numpy as np
import pytest

from tfcap.selection import Signals, deduplication
from tfcap.selection.deduplication import Deduplication

RNG = np.random.default_rng


@pytest.mark.parametrize("count", [1, 3, 0])
def test_one_of_each_group_of_duplicates_comes_before_any_second(count):
    for seed in range(5):
        groups = RNG(seed).integers(0, 40, 120)
        points = RNG(seed).normal(size=[40, 8]).astype(np.float32)[groups]
        points *= RNG(seed).choice([0.5, 1, 4], [120, 1])  # a duplicate in direction; powers of 2 are exact
        kept = Deduplication(clusters=count)(Signals(RNG(1).permutation(120), embeddings=points), 120, RNG(0))
        order = groups[np.argsort(RNG(1).permutation(120))[kept]].tolist()
        distinct = len(set(order))
        assert len(set(order[:distinct])) == distinct
        seconds = kept[distinct:].tolist()
        assert seconds == sorted(seconds)  # all equally redundant


@pytest.mark.parametrize("rows", [1, 7, 1024])
def test_inside_a_cluster_redundancy_is_the_likeness_to_what_lies_farther_from_the_centroid(rows, monkeypatch):
    monkeypatch.setattr(deduplication, "_ROWS", rows)
    points, ids = RNG(2).normal(size=[30, 3]).astype(np.float32), RNG(2).permutation(30)
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    members = np.argsort(unit @ unit.mean(axis=0)).tolist()  # the centroid of one cluster is the mean
    likeness = {
        one: max([unit[one] @ unit[other] for other in members[:place]], default=-1)
        for place, one in enumerate(members)
    }
    expected = [int(ids[one]) for one in sorted(members, key=lambda one: likeness[one])]
    assert Deduplication(clusters=1)(Signals(ids, embeddings=points), 30, RNG(0)).tolist() == expected


def test_clusters_are_compared_with_themselves_alone():
    """Two clusters far apart, each of two directions: both firsts, then both second directions."""
    points = np.array([[1, 0.1], [1, -0.1], [-1, 0.1], [-1, -0.3]], np.float32)
    kept = Deduplication(clusters=2)(Signals(np.arange(4), embeddings=points), 4, RNG(0)).tolist()
    assert {position // 2 for position in kept[:2]} == {0, 1}
