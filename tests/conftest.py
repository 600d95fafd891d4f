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


@pytest.fixture(scope="session")
def scenes_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A --data_dir with 60 rendered scenes, 48 of them train; for reading only."""
    import tfrecords_builder
    from tfcap.settings import DataSettings

    folder = tmp_path_factory.mktemp("scenes")
    tfrecords_builder.build(DataSettings(scenes_size=60, data_dir=str(folder)), progress=False)
    return folder


@pytest.fixture(scope="session")
def scenes(scenes_dir: Path) -> Path:
    """The version folder of the data set in `scenes_dir`."""
    return scenes_dir / "scenes" / "n60-s0" / "1.0.0"


@pytest.fixture(scope="session")
def toy_flags(scenes_dir: Path) -> dict[str, object]:
    """Settings by name of the smallest experiment on `scenes_dir`: seconds, and captions of no worth."""
    return {
        "scenes_size": 60,
        "data_dir": str(scenes_dir),
        "image_size": 16,
        "min_word_count": 2,
        "max_tokens": 12,
        "units": 8,
        "embedding_size": 8,
        "epochs": 1,
        "batch_size": 16,
        "beams": 1,
        "bootstrap_resamples": 10,
        "java": "never",
        "samples": 1,
        "xla": False,
        "progress": False,
    }


@pytest.fixture(scope="session")
def finished_run(toy_flags: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a finished toy experiment, exported model included; for reading only."""
    from tfcap import experiment
    from tfcap.settings import Settings

    folder = tmp_path_factory.mktemp("runs") / "toy"
    experiment.run(Settings().replace(**toy_flags, run_dir=str(folder)))
    return folder
