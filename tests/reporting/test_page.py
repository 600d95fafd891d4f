import json
import re

import pytest

from tfcap.reporting.exported_tables import Column, Table
from tfcap.reporting.page import PagePart, Picture, Said, Samples, Section, write_page
from tfcap.reporting.palette import Style
from tfcap.reporting.quality import CIDER

TABLE = Table("t", "A table", "", [Column("method")], [["a"]])


def _part(name, samples=None):
    sections = [Section("quality", "Quality", tables=[TABLE]), Section("captions", "Captions", samples=samples)]
    return PagePart(name, [], {"m": Style(0)}, ["m"], sections, ["It is so."], ["Not long enough."])


@pytest.mark.parametrize(
    "names",
    [
        ("a-2", "a", "a", "a"),
        ("a", "A"),
        ("index.html", "report.json", "INDEX.HTML"),
        ("a", "a:quality", "a-quality", "a_quality"),
        ("data", "content", "theme", ""),
    ],
)
def test_parts_have_folders_and_anchors_of_their_own(tmp_path, names):
    (tmp_path / "report.json").write_text("{}")
    write_page(tmp_path, "title", [], [_part(name) for name in names], taken=["report.json"])
    folders = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert len({name.casefold() for name in [*folders, "index.html", "report.json"]}) == len(names) + 2
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert {word.removeprefix("#") for word in re.findall(r'href="(#[^"]*)"', page)} <= set(ids)


def test_a_picture_that_several_parts_show_is_in_the_page_once(tmp_path):
    picture = Picture(1, "data:image/jpeg;base64,AAAA", ["a dog"], [Said("m", 1.0, "a dog", 0.5)])
    write_page(tmp_path, "title", [], [_part(name, Samples("", [picture], CIDER)) for name in ("a", "b")])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 1
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert [part["samples"]["pictures"][0]["src"] for part in data["parts"].values()] == [0, 0]


def test_what_it_finds_and_what_to_mind_stand_first(tmp_path):
    write_page(tmp_path, "title", [], [_part("a")])
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.index("Not long enough.") < page.index("It is so.") < page.index("A table")
