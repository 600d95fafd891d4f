"""A journal holds whole entries, wherever a kill has cut it."""

import pytest

from tfcap.errors import InputError
from tfcap.journal import Journal

ENTRIES = [{"captions": ["a dog", "zwei\nHunde \u2028 ü"], "seconds": 0.5}, {"captions": []}, {"captions": ["\r\x85"]}]


def _written(path, entries=ENTRIES):
    with Journal(path) as journal:
        for entry in entries:
            journal.add(entry)
    return path.read_bytes()


def test_entries_are_read_again_and_gone_on_with(tmp_path):
    path = tmp_path / "a.jsonl"
    content = _written(path, ENTRIES[:2])
    assert content.count(b"\n") == 2
    assert _written(path, ENTRIES[2:]).startswith(content)
    with Journal(path) as journal:
        assert journal.entries == ENTRIES


def test_an_entry_is_on_the_disk_when_add_returns(tmp_path):
    with Journal(tmp_path / "a.jsonl") as journal:
        journal.add(ENTRIES[0])
        assert (tmp_path / "a.jsonl").read_bytes().endswith(b"\n")
        assert journal.entries == ENTRIES[:1]


def test_wherever_it_was_cut_the_whole_lines_remain_and_it_can_be_gone_on_with(tmp_path):
    path = tmp_path / "a.jsonl"
    content = _written(path)
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        with Journal(path) as journal:
            assert journal.entries == ENTRIES[:whole]
            for entry in ENTRIES[whole:]:
                journal.add(entry)
        assert path.read_bytes() == content


def test_a_damaged_line_before_the_last_is_an_error(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\0" * 9 + b"\n" + _written(path))
    with pytest.raises(InputError, match="Line 1 of .*a.jsonl is damaged.*--noresume"):
        Journal(path)
