"""Whoever reads sees the old file or folder or the new one, also when writing fails or is killed."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tfcap.errors import InputError
from tfcap.files import (
    atomic_file,
    atomic_folder,
    file_hash,
    hash_of,
    read_json,
    remove_partials,
    write_json,
    write_text,
)

_REPOSITORY = Path(__file__).resolve().parents[1]


class Interrupted(Exception):
    pass


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_readable_by_others(tmp_path):
    with atomic_file(tmp_path / "deep" / "a.txt") as temporary:
        assert temporary.parent == tmp_path / "deep" and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not (tmp_path / "deep" / "a.txt").exists()
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"
    assert _names(tmp_path / "deep") == ["a.txt"]
    assert stat.S_IMODE((tmp_path / "deep" / "a.txt").stat().st_mode) == 0o644


@pytest.mark.parametrize("before", [None, "old"])
def test_a_file_that_fails_leaves_what_was_there(tmp_path, before):
    path = tmp_path / "a.txt"
    if before is not None:
        path.write_text(before)
    with pytest.raises(Interrupted), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise Interrupted
    assert (path.read_text() if path.exists() else None) == before
    assert _names(tmp_path) == ([] if before is None else ["a.txt"])


def _tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("before", [{}, {"x": "old", "gone": "old"}])
def test_a_folder_is_replaced_whole(tmp_path, before):
    for name, text in before.items():
        write_text(tmp_path / "f" / name, text)
    with atomic_folder(tmp_path / "f") as temporary:
        (temporary / "x").write_text("new")
        (temporary / "sub").mkdir()
        (temporary / "sub" / "y").write_text("new")
        assert (_tree(tmp_path / "f") if before else {}) == before
    assert _tree(tmp_path / "f") == {"x": "new", "sub/y": "new"}
    assert _names(tmp_path) == ["f"]
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o755


@pytest.mark.parametrize("before", [{}, {"x": "old", "kept": "old"}])
def test_a_folder_that_fails_leaves_what_was_there(tmp_path, before):
    for name, text in before.items():
        write_text(tmp_path / "f" / name, text)
    with pytest.raises(Interrupted), atomic_folder(tmp_path / "f") as temporary:
        (temporary / "x").write_text("half")
        raise Interrupted
    assert (_tree(tmp_path / "f") if before else {}) == before
    assert _names(tmp_path) == (["f"] if before else [])


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_leaves_the_old_content_and_a_partial_that_is_removed(tmp_path, kind):
    target = tmp_path / "target"
    write_text(target / "x" if kind == "folder" else target, "old")
    program = f"""
        import os, signal
        from tfcap.files import atomic_{kind}
        with atomic_{kind}({str(target)!r}) as temporary:
            ({"temporary / 'x'" if kind == "folder" else "temporary"}).write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=_REPOSITORY, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert (target / "x" if kind == "folder" else target).read_text() == "old"
    assert len(_names(tmp_path)) == 2
    remove_partials(tmp_path)
    assert _names(tmp_path) == ["target"]
    assert (target / "x" if kind == "folder" else target).read_text() == "old"


def test_remove_partials_deletes_nothing_else(tmp_path):
    for name in ("a.partial", ".hidden", "b.txt", "partial"):
        (tmp_path / name).write_text("mine")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".x.abc.partial").write_text("of another folder")
    (tmp_path / ".a.txt.abc.partial.txt").write_text("left by a kill")
    (tmp_path / ".f.abc.partial").mkdir()
    (tmp_path / ".f.abc.partial" / "x").write_text("left by a kill")
    remove_partials(tmp_path)
    assert _names(tmp_path) == [".hidden", "a.partial", "b.txt", "partial", "sub"]
    assert _names(tmp_path / "sub") == [".x.abc.partial"]
    remove_partials(tmp_path / "absent")


def test_json_round_trip_keeps_unicode_and_refuses_what_json_cannot_say(tmp_path):
    write_json(tmp_path / "a.json", {"word": "Mädchen 猫", "x": [1, None, 0.5]})
    assert read_json(tmp_path / "a.json") == {"word": "Mädchen 猫", "x": [1, None, 0.5]}
    assert "猫" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json")["x"] == [1, None, 0.5]


def test_missing_and_damaged_json_are_input_errors(tmp_path):
    with pytest.raises(InputError, match=r"A file is missing.*absent\.json"):
        read_json(tmp_path / "absent.json")
    for content in (b"", b"{", b"\xff\xfe"):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(InputError, match=r"a\.json is not valid JSON.*Delete it and run again"):
            read_json(tmp_path / "a.json")


def test_hashes_are_pinned_and_do_not_depend_on_the_order_of_keys(tmp_path):
    assert hash_of({"a": 1, "b": [2.5, "ü"]}) == hash_of({"b": [2.5, "ü"], "a": 1})
    assert hash_of(1, 2) != hash_of([1, 2]) != hash_of("1", "2")
    (tmp_path / "abc").write_bytes(b"abc")
    assert file_hash(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_an_error_says_what_was_received_expected_and_what_to_do_on_one_line():
    error = InputError("It\nis wrong.", received="a\n  b", expected=[1, 2], remedy="Mend it.")
    assert str(error) == "It is wrong. Received: a b. Expected: [1, 2]. Mend it."
    assert os.linesep not in str(error)
