"""How many images a fraction keeps."""

import pytest

from tfcap.errors import InputError
from tfcap.selection import budget_of


@pytest.mark.parametrize(
    ("fraction", "count", "budget"),
    [
        (0.29, 100, 29),  # 0.29 * 100 is 28.999999999999996
        (0.57, 100, 57),  # 56.99999999999999
        (0.7, 10, 7),
        (0.07, 100, 7),  # 7.000000000000001
        (0.75, 2000, 1500),
        (0.75, 3, 2),
        (0.999, 1000, 999),
        (1.0, 1, 1),
        (1.0, 118_287, 118_287),
        (0.1, 118_287, 11_828),
        (1 / 3, 3, 1),
        (0.5, 3, 1),
    ],
)
def test_floor_of_the_fraction_as_a_person_reads_it(fraction, count, budget):
    assert budget_of(fraction, count) == budget


@pytest.mark.parametrize("percent", range(1, 101))
def test_every_percentage_of_a_hundred_is_itself(percent):
    assert budget_of(percent / 100, 100) == percent
    assert budget_of(percent / 100, 10_000) == 100 * percent


def test_a_fraction_that_keeps_nothing_says_what_would_keep_something():
    with pytest.raises(InputError, match=r"--fraction keeps no image.*0\.001 of 48 images.*at least 0\.0208"):
        budget_of(0.001, 48)
