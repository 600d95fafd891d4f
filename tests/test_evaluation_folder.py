"""The description of an evaluation: with which pretrained parts it goes on."""

import pytest

from tfcap.command_settings import EvaluateSettings
from tfcap.errors import InputError
from tfcap.evaluation_folder import DESCRIPTION, EvaluationFolder
from tfcap.files import read_json, write_json
from tfcap.settings import Settings


def _describe(out, digest, **said):
    asked = EvaluateSettings(checkpoint="gemma", out=str(out))
    folder = EvaluationFolder(asked, Settings().replace(**said).resolve())
    with folder.alone():
        folder.describe("f" * 64, lambda: {"checkpoint": digest})
    return read_json(out / DESCRIPTION)["contents"]


def test_other_content_behind_the_name_is_refused_and_may_start_afresh(tmp_path):
    out = tmp_path / "out"
    assert _describe(out, "a" * 64) == _describe(out, "a" * 64) == {"checkpoint": "a" * 64}
    with pytest.raises(InputError, match="--checkpoint names .* when the evaluation .* began. .*--noresume"):
        _describe(out, "b" * 64)
    assert _describe(out, "b" * 64, resume=False) == {"checkpoint": "b" * 64}


def test_one_from_before_that_was_said_goes_on(tmp_path):
    _describe(tmp_path / "out", "a" * 64)
    about = read_json(tmp_path / "out" / DESCRIPTION)
    del about["contents"]
    write_json(tmp_path / "out" / DESCRIPTION, about)
    path = tmp_path / "out" / DESCRIPTION
    before = path.read_bytes()
    folder = EvaluationFolder(EvaluateSettings(checkpoint="gemma", out=str(tmp_path / "out")), Settings().resolve())
    folder.describe("f" * 64, lambda: {"checkpoint": "b" * 64})
    assert folder.is_begun and path.read_bytes() == before


def test_what_another_process_is_writing_is_left_alone_even_by_one_that_starts_afresh(tmp_path):
    asked = EvaluateSettings(checkpoint="gemma", out=str(tmp_path / "out"))
    with EvaluationFolder(asked, Settings().resolve()).alone():
        with pytest.raises(InputError, match="Another process is writing .*out"):
            _describe(tmp_path / "out", "a" * 64, resume=False)
        assert list((tmp_path / "out").iterdir()) == []
    assert _describe(tmp_path / "out", "a" * 64) == {"checkpoint": "a" * 64}
