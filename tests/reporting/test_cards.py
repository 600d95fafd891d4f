"""Cards: a header that programs read back, and words that no value can break out of its place."""

import shlex

import jinja2
import pytest
import yaml

from tfcap.reporting.cards import card, cell, command, fenced, times_100


def test_the_header_is_read_back_and_says_nothing_of_what_is_empty(monkeypatch):
    monkeypatch.setattr(jinja2, "PackageLoader", lambda _: jinja2.DictLoader({"toy": "# {{ name }}\n\n\n\n\nend"}))
    header = {"license": "other", "language": ["en"], "tags": [], "license_name": "", "metrics": None, "value": 5e-10}
    text = card("toy", header, {"name": "a: b # c"})
    _, above, words = text.split("---\n", 2)
    assert yaml.safe_load(above) == {"license": "other", "language": ["en"], "value": 5e-10}
    assert words == "\n# a: b # c\n\nend\n"
    with pytest.raises(jinja2.UndefinedError, match="name"):
        card("toy", header, {})


@pytest.mark.parametrize(
    ("value", "expected"),
    [(12345, "12,345"), (True, "True"), (0.25, "0.25"), ("a | b\nc", r"a \| b c"), ("<img>`x`", r"\<img\>\`x\`")],
)
def test_a_cell_stays_in_its_table(value, expected):
    assert cell(value) == expected


def test_a_fence_is_longer_than_what_it_holds():
    assert fenced("a") == "```\na\n```"
    assert fenced("a ```` b") == "`````\na ```` b\n`````"


def test_metrics_are_shown_times_100():
    assert (times_100(0.4934), times_100(None)) == ("49.3", "-")


def test_a_command_in_lines_is_the_same_words_to_the_shell():
    words = ["python", "-m", "tfcap.main", *(f"--flag_{number}=value {number}'s" for number in range(20))]
    text = command(words)
    assert len(text.splitlines()) > 3 and all(len(line) < 110 for line in text.splitlines())
    assert shlex.split(text.replace("\\\n", " ")) == words
