import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfcap.reporting import lettering
from tfcap.reporting.lettering import ELLIPSIS, Paragraph, font_for, printable, wrap

SIZE, WIDTH = 15, 200


@given(st.text(string.ascii_letters + " ", max_size=400), st.integers(1, 5))
def test_lines_fit_and_hold_the_words_in_order(text, max_lines):
    font = font_for(text, SIZE)
    lines = wrap(text, font, WIDTH, max_lines)
    assert len(lines) <= max_lines
    assert all(font.getlength(line) <= WIDTH for line in lines)
    said, asked = "".join(lines).replace(" ", ""), text.replace(" ", "")
    if said.endswith(ELLIPSIS):
        assert asked.startswith(said[:-1])
        assert len(said) - 1 < len(asked)
    else:
        assert said == asked


def test_five_hundred_words_end_in_an_ellipsis():
    lines = wrap("word " * 500, font_for("word", SIZE), WIDTH, 3)
    assert len(lines) == 3
    assert [line.endswith(ELLIPSIS) for line in lines] == [False, False, True]


def test_a_million_letters_without_a_space_are_cut_at_once():
    lines = wrap("W" * 10**6, font_for("W", SIZE), WIDTH, 2)
    assert len(lines) == 2
    assert lines[1].endswith(ELLIPSIS)


def test_punctuation_of_tokenised_captions_does_not_begin_a_line():
    for count in range(1, 60):
        paragraph = Paragraph("a" * count + " dog .", width=WIDTH, size=SIZE, colour="#000", max_lines=5)
        assert not any(line.startswith(".") for line in paragraph.lines)


def test_what_cannot_be_drawn_is_left_out():
    assert printable("a\x00b \ud800\n c\u2028d\t") == "ab ? c d"


def test_an_empty_text_takes_no_room():
    assert Paragraph(" \n", width=WIDTH, size=SIZE, colour="#000").height == 0


def test_the_font_with_the_most_characters_is_taken(tmp_path, monkeypatch):
    own = lettering._font_files(False)[0]
    other = tmp_path / "other.ttf"
    other.write_bytes(own.read_bytes())
    monkeypatch.setattr(lettering, "_font_files", lambda bold: (own, other))
    monkeypatch.setattr(lettering, "_characters", lambda file: frozenset(map(ord, "ab" if file == own else "ab一只狗")))
    assert font_for("ab", SIZE).path == str(own)
    assert font_for("a 一只狗", SIZE).path == str(other)


@pytest.mark.parametrize("bold", [False, True])
def test_the_preferred_font_comes_with_matplotlib(bold):
    file = lettering._font_files(bold)[0]
    assert file.name == ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    assert file.is_file()
