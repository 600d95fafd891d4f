"""Coresets of pairs: what the selectors keep, of signals of pairs."""

import numpy as np
import pytest

from tests.distillation.toy import TRAIN, ToyProblem, no_experts, nothing_shown
from tfcap import registry
from tfcap.selection import Signals

EXPERTS, EPOCHS = 2, 3


class ToyExperts:
    """What two experts showed of each pair, and of some in no epoch."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.losses = rng.uniform(size=(EXPERTS, EPOCHS, TRAIN)).astype(np.float32)
        self.right = rng.integers(0, 2, (EXPERTS, EPOCHS, TRAIN)).astype(np.float32)
        self.losses[0, 1, :4] = self.right[0, 1, :4] = np.nan  # a remainder

    def dynamics(self, expert, epochs):
        return self.losses[expert][:epochs], self.right[expert][:epochs]

    def forgotten(self, pair):
        total = 0
        for expert in range(EXPERTS):
            seen = [bool(right) for right in self.right[expert, :, pair] if not np.isnan(right)]
            events = sum(before and not after for before, after in zip(seen, seen[1:], strict=False))
            total += events if any(seen) else EPOCHS + 1
        return total


def _made(name, seed=3, count=6, experts=None):
    problem = ToyProblem(method=name)
    method = registry.DISTILLERS[name](problem, (lambda: experts) if experts else no_experts)
    return problem, method.distil(count, seed, None, False, nothing_shown)


def _direct(problem, name, seed, count, scores):
    train, rng = problem.train, np.random.default_rng([seed, 0])
    captions = train.one_caption_each(rng)
    halves = train.images, train.texts[captions]
    embeddings = np.concatenate([half / np.linalg.norm(half, axis=1, keepdims=True) for half in halves], axis=1)
    found = registry.SELECTORS[name]()(Signals(np.arange(TRAIN), scores, embeddings), count, rng)
    return found, captions[found]


@pytest.mark.parametrize("name", ["random", "herding", "k_center", "k_means", "forgetting", "stratified"])
def test_the_pairs_are_those_that_the_selector_keeps(name):
    experts = ToyExperts()
    scores = {
        "forgetting": np.array([experts.forgotten(pair) for pair in range(TRAIN)], np.float32),
        "loss": np.nanmean(experts.losses.reshape(-1, TRAIN), axis=0),
    }
    problem, chosen = _made(name, experts=experts)
    positions, captions = _direct(problem, name, 3, 6, scores)
    np.testing.assert_array_equal(chosen.positions, positions)
    np.testing.assert_array_equal(chosen.captions, captions)
    np.testing.assert_array_equal(chosen.pairs.images, problem.train.images[positions])
    np.testing.assert_array_equal(chosen.pairs.texts, problem.train.texts[captions])
    np.testing.assert_array_equal(problem.train.image_of_text[captions], positions)  # a caption of its own image


@pytest.mark.parametrize("name", ["random", "herding", "k_center", "k_means"])
def test_only_scores_of_dynamics_ask_for_experts(name):
    assert len(_made(name)[1].pairs) == 6  # `no_experts` raises where it is called


def test_scores_are_taken_over_all_experts():
    both, first = ToyExperts(), ToyExperts()
    # Each score has another order where one expert shows the same of all.
    first.losses[1], first.right[1] = 0.5, 1.0
    for name in ("forgetting", "stratified"):
        assert set(_made(name, experts=both)[1].positions) != set(_made(name, experts=first)[1].positions)


def test_a_seed_gives_the_same_pairs_and_another_seed_others():
    one, again, other = (_made("random", seed=seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.pairs.texts, again.pairs.texts)
    assert set(one.positions) != set(other.positions)
    drawn = [_made("k_center", seed=seed, count=TRAIN)[1] for seed in (0, 1)]
    assert set(drawn[0].captions) != set(drawn[1].captions)  # the captions of the same images
