"""What every test shares: a quiet TensorFlow, a neutral environment, and the folders of real data where present."""

import os
from pathlib import Path

import pytest

# What the caller's shell says about clusters and backends is not what the tests are about.
for name in ("TF_CONFIG", "KERAS_BACKEND", "TF_XLA_FLAGS", "XLA_FLAGS"):
    os.environ.pop(name, None)

import tfcap.quiet  # noqa: E402, F401  (before anything imports TensorFlow)

_REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: TFCAP_SHARED_DATA, or ../shared/data beside the repository; skips without it."""
    named = os.environ.get("TFCAP_SHARED_DATA")
    folder = Path(named) if named else _REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is not a folder (TFCAP_SHARED_DATA names another)")
    return folder


@pytest.fixture(scope="session")
def shared_weights(shared_data: Path) -> Path:
    """The folder of pretrained weights beside `shared_data`; skips without it."""
    folder = shared_data.parent / "weights"
    if not folder.is_dir():
        pytest.skip(f"no pretrained weights: {folder} is not a folder")
    return folder
