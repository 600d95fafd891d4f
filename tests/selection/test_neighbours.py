"""Nearest neighbours by cosine, against a sort of all pairs."""

import numpy as np
import pytest

from tfcap.selection import neighbours
from tfcap.selection.neighbours import nearest


@pytest.mark.parametrize("at_once", [1, 100, 2**25])
@pytest.mark.parametrize("values", [2, 1000])
def test_the_nearest_first_and_ties_to_the_smaller_id(at_once, values, monkeypatch):
    monkeypatch.setattr(neighbours, "_SIMILARITIES", at_once)
    rng = np.random.default_rng(0)
    points, ids = rng.integers(-values, values, [30, 4]).astype(np.float32), rng.permutation(99)[:30]
    points[[3, 9]] = 0
    index, cosine = nearest(points, ids, 6)
    length = np.linalg.norm(points, axis=1)
    expected = points @ points.T / np.where(length > 0, length, 1)[:, None] / np.where(length > 0, length, 1)
    np.testing.assert_allclose(cosine, np.take_along_axis(expected, index, axis=1), atol=1e-6)
    np.fill_diagonal(expected, -np.inf)
    for row in range(30):
        np.testing.assert_allclose(cosine[row], np.sort(expected[row])[::-1][:6], atol=1e-6)
        equal = np.flatnonzero(np.diff(cosine[row]) == 0)
        assert (ids[index[row]][equal] < ids[index[row]][equal + 1]).all()
        assert row not in index[row] and len(set(index[row])) == 6


def test_zeros_are_alike_to_nothing_and_take_the_smallest_ids():
    index, cosine = nearest(np.zeros([4, 2], np.float32), np.array([7, 3, 5, 1]), 2)
    assert index.tolist() == [[3, 1], [3, 2], [3, 1], [1, 2]]
    assert (cosine == 0).all()
