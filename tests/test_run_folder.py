"""A run's description: which runs go on, and under which settings."""

import pytest

from tfcap.errors import InputError
from tfcap.files import read_json, write_json
from tfcap.run_folder import RunFolder, contents_of, description_of
from tfcap.settings import Settings

# Flags that came with captioners other than the LSTM.
LATER = ("train", "checkpoint", "tokenizer", "shape", "mapper", "prefix_length", "lora_rank", "lora_alpha")


def _asked(run, **said):
    return Settings().replace(**said, run_dir=str(run)).resolve()


def _from_before(run, *names, **said):
    """Describes a run as a version did that had no settings of these names."""
    RunFolder(_asked(run, **said)).describe({"train": "f"})
    about = read_json(run / "experiment.json")
    about["settings"]["model"] = {n: value for n, value in about["settings"]["model"].items() if n not in names}
    write_json(run / "experiment.json", about)


@pytest.mark.parametrize("said", [{}, {"dataset": "flickr8k", "tie_embeddings": False}, {"dataset": "flickr8k"}])
def test_a_run_from_before_there_was_train_goes_on(tmp_path, said):
    _from_before(tmp_path / "run", *LATER, **said)
    RunFolder(_asked(tmp_path / "run", **said)).describe({"train": "f"})
    known, _ = description_of(tmp_path / "run")
    assert known == _asked(tmp_path / "run", **said) and known.model.train == ("decoder" if said else "all")
    with pytest.raises(InputError, match="--epochs was .* and is now 7"):
        RunFolder(_asked(tmp_path / "run", **said, epochs=7))


def test_a_run_from_before_matrices_were_tied_had_two(tmp_path):
    _from_before(tmp_path / "run", "tie_embeddings", dataset="flickr8k", tie_embeddings=False)
    RunFolder(_asked(tmp_path / "run", dataset="flickr8k", tie_embeddings=False))
    with pytest.raises(InputError, match="--tie_embeddings was False and is now True"):
        RunFolder(_asked(tmp_path / "run", dataset="flickr8k"))


def test_other_content_behind_a_name_is_refused_and_what_was_not_said_then_is_not_compared(tmp_path):
    run, then, now = tmp_path / "run", {"checkpoint": "a" * 64}, {"checkpoint": "b" * 64, "tokenizer": "c" * 64}
    RunFolder(_asked(run)).describe({"train": "f"}, then)
    assert contents_of(run) == then
    RunFolder(_asked(run)).describe({"train": "f"}, then)
    with pytest.raises(InputError, match="--checkpoint names .* when the run .* began. .*--noresume") as caught:
        RunFolder(_asked(run)).describe({"train": "f"}, now)
    assert "\n" not in str(caught.value) and contents_of(run) == then
    RunFolder(_asked(run, resume=False)).describe({"train": "f"}, now)
    assert contents_of(run) == now
    about = read_json(run / "experiment.json")
    del about["contents"]
    write_json(run / "experiment.json", about)
    RunFolder(_asked(run)).describe({"train": "f"}, then)
    assert contents_of(run) == {}


def test_a_run_that_starts_afresh_is_not_begun(tmp_path):
    """So that everything is checked before what was there is deleted."""
    settings = Settings().replace(run_dir=str(tmp_path / "run")).resolve()
    assert not RunFolder(settings).is_begun
    RunFolder(settings).describe({"train": "f"})
    assert RunFolder(settings).is_begun and not RunFolder(settings.replace(resume=False)).is_begun
    assert (tmp_path / "run" / "experiment.json").exists()
