"""A run that is killed, whenever, is completed by the same command, and its results are those of a run that was not."""

import random

import pytest

from tests.crash import killing

pytestmark = pytest.mark.timeout(900)  # a run that is killed three times starts four times


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    killing.complete(folder)
    assert killing.left_over(folder) == []
    return killing.results(folder)


def _check(folder, uninterrupted):
    killing.complete(folder)
    assert killing.left_over(folder) == []
    found = killing.results(folder)
    for name, expected in uninterrupted.items():
        assert found[name] == expected, name


@pytest.mark.slow
def test_kills_while_building_scoring_and_training(tmp_path, uninterrupted):
    for moment in (
        killing.appears("data/scenes/*/incomplete*"),
        killing.appears("run/scores/.*partial*"),
        killing.steps_done("checkpoints", 3),
    ):
        assert killing.killed(tmp_path, moment)
    _check(tmp_path, uninterrupted)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_five_kills_at_moments_drawn(tmp_path, uninterrupted, seed):
    """Twenty kills in all; those of one seed hit one run, one after another."""
    rng = random.Random(seed)
    stages = [stage for stage in killing.MOMENTS if stage != ("start", "evaluate")[seed % 2]]
    kills = [killing.killed(tmp_path, *killing.chosen(stage, rng)) for stage in stages]
    assert sum(kills) >= 4  # a delay may outlast the last stage
    _check(tmp_path, uninterrupted)
