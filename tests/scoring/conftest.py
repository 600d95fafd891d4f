import pytest

from tests.training import two_replicas as in_two


@pytest.fixture(scope="session")
def two_replicas():
    """What a process with two replicas found."""
    return in_two.results()
