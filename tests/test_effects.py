"""What has no effect is no part of a run's description; which settings that are: test_settings.py."""

import pytest

from tfcap.errors import InputError
from tfcap.files import read_json, write_json
from tfcap.run_folder import RunFolder, description_of
from tfcap.settings import Settings

# What an earlier version wrote of every run, whatever its captioner.
WRITTEN = {"shape": "tiny", "mapper": "linear", "prefix_length": 10, "lora_rank": 16, "lora_alpha": 32.0}


def _described(folder, **said):
    settings = Settings().replace(run_dir=str(folder), **said).resolve()
    RunFolder(settings).describe({"train": "f" * 64})
    return settings


def test_a_run_is_described_without_what_has_no_effect(tmp_path):
    settings = _described(tmp_path / "run", model="git", epochs=3)
    said = read_json(tmp_path / "run" / "experiment.json")["settings"]
    assert [said["model"][name] for name in ("units", "mapper", "lora_rank", "shape")] == [None, None, None, "tiny"]
    assert description_of(tmp_path / "run") == (settings, {"train": "f" * 64})


def test_a_run_of_an_earlier_version_is_known_again(tmp_path):
    settings = _described(tmp_path / "run", units=8, embedding_size=8)
    path = tmp_path / "run" / "experiment.json"
    description = read_json(path)
    description["settings"]["model"].update(WRITTEN)
    write_json(path, description)
    assert description_of(tmp_path / "run")[0] == settings == description_of(tmp_path / "run")[0].resolve()
    RunFolder(settings)
    with pytest.raises(InputError, match="--units was 8 and is now 9"):
        RunFolder(settings.replace(units=9))
