"""The command that makes a report: what it reads, what it writes, and mistakes."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from tests.toy_study import HOSTILE, IMAGES, write_evaluation, write_run, write_study
from tfcap.errors import InputError
from tfcap.report import __main__ as report
from tfcap.report import parts
from tfcap.report.cells import parts_of
from tfcap.report.data import Found
from tfcap.report.parts import page_part
from tfcap.reporting.quality import CIDER
from tfcap.reporting.report_charts import curve_charts
from tfcap.settings import Settings


class _Tags(HTMLParser):
    """All elements of a page with their attributes, and the words of scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self._in_script = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")
            self._in_script = True

    def handle_endtag(self, tag):
        self._in_script &= tag != "script"

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data


def _made(*arguments):
    report.main(["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("studies") / "toy")


@pytest.fixture(scope="module")
def made(study, tmp_path_factory):
    out = tmp_path_factory.mktemp("reports") / "report"
    _made(study, f"--out={out}", "--title=A <b>title</b> & more", "--pictures=5")
    return out


@pytest.fixture(scope="module")
def page(made):
    return _Tags((made / "index.html").read_text(encoding="utf-8"))


def test_the_page_loads_nothing_from_elsewhere(page):
    assert not [tag for tag, _ in page.found if tag in ("iframe", "object", "embed", "video", "audio", "base")]
    for tag, attributes in page.found:
        assert not attributes.get("src", "data:").partition("data:")[0], tag
        if tag == "link":
            assert attributes["href"].startswith("data:")
    policy = next(found["content"] for tag, found in page.found if found.get("http-equiv"))
    assert policy.startswith("default-src 'none'") and "unsafe-inline" not in policy.partition("script-src")[2]


def test_what_runs_say_is_never_markup(page):
    assert len(page.scripts) == 2  # the data, and the page's own
    assert not [found for tag, found in page.found if "onerror" in found or tag == "b"]
    assert HOSTILE in json.loads(page.scripts[0])["parts"]["toy"]["samples"]["texts"]


def test_each_subject_has_its_section_and_each_link_its_target(page):
    ids = [found["id"] for _, found in page.found if "id" in found]
    assert len(ids) == len(set(ids))
    sections = ("quality", "findings", "scores", "agreement", "training", "captions", "published", "figures", "repeat")
    assert {f"part:toy:{name}" for name in sections} <= set(ids)
    assert {found["href"][1:] for tag, found in page.found if found.get("href", "").startswith("#")} <= set(ids)


def test_every_file_that_the_page_names_is_there(made, page):
    named = {found["href"] for tag, found in page.found if tag == "a" and not found["href"].startswith("#")}
    assert len(named) == 2 * len(list(made.glob("toy/figures/*.svg"))) >= 14
    assert all((made / name).stat().st_size for name in named)
    tables = json.loads(page.scripts[0])["parts"]["toy"]["tables"]
    for name, forms in tables.items():
        for ending, text in forms.items():
            assert (made / "toy" / "tables" / f"{name}.{ending}").read_text(encoding="utf-8") == text


def test_samples_are_of_the_first_seed_and_spread_over_the_split(page):
    samples = json.loads(page.scripts[0])["parts"]["toy"]["samples"]
    assert [picture["id"] for picture in samples["pictures"]] == [IMAGES[place] for place in (0, 3, 6, 8, 11)]
    said = {samples["texts"][row[2]] for row in samples["pictures"][1]["said"]}
    assert "a red bicycle" in said and "a random caption of 103 in study 0" in said
    assert not any("study 1" in text for text in samples["texts"])


def test_pictures_that_are_gone_are_said_to_be(study, tmp_path, capsys):
    _made(study, f"--out={tmp_path / 'report'}")
    assert "The pictures and the human captions are not shown: The data set" in capsys.readouterr().err
    assert "are not shown: The data set" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_methods_costs_and_agreement_are_those_of_the_cells(study):
    found = Found(parts_of([str(study)])[0])
    assert list(found.own) == ["loss", "random", "full"] and found.reference == "random"
    assert set(found.lines["loss"].quality) == {0.25, 0.5, 1.0}
    assert found.lines["loss"].minutes == pytest.approx({0.25: 1.5 + 0.5 / 60, 0.5: 2.0 + 0.5 / 60})
    tables, names = found.agreement()
    assert sorted(names) == ["loss", "random"] and set(tables) == {0.25, 0.5}
    assert tables[0.5][0, 1] == 0 and tables[0.5][0, 0] == 1  # ten of the twenty each, none in common
    values, units = found.scores()
    assert units == {"loss": "nats per token"} and len(values["loss"]) == len(found.part.cells)


def test_a_validation_that_was_done_once_makes_no_curve(tmp_path):
    study = write_study(tmp_path / "study")
    whole = {chart.name: chart for chart in curve_charts(Found(parts_of([str(study)])[0]).lines, CIDER)}
    assert [len(chart.panels) for chart in whole.values()] == [3, 3]  # a quarter, half and all of the data
    for path in study.glob("runs/*/history.json"):
        once = [None, None, 0.5] if "-0.25-" in path.parent.name else [None, 0.4, 0.5]
        path.write_text(json.dumps({"loss": [3.0, 2.0, 1.0], "val_CIDEr": once}))
    fewer = {chart.name: chart for chart in curve_charts(Found(parts_of([str(study)])[0]).lines, CIDER)}
    assert [panel.title for panel in fewer["curves_val_CIDEr"].panels] == ["50 % kept", "100 % kept"]
    assert len(fewer["curves_loss"].panels) == 3
    for path in study.glob("runs/*/history.json"):
        path.write_text(json.dumps({"loss": [3.0, 2.0, 1.0], "val_CIDEr": [None, None, 0.5]}))
    (alone,) = curve_charts(Found(parts_of([str(study)])[0]).lines, CIDER)
    assert alone.name == "curves_loss"


def test_the_command_of_the_grid_gives_its_cells(study):
    part = parts_of([str(study)])[0]
    commands = parts._commands(part)
    expected = "--selector=random,loss --fraction=0.25,0.5,1 --seed=0,1"
    assert commands[0] == f"python -m tfcap.study --out=FOLDER {expected}"
    assert commands[1] == "python -m tfcap.main --selector=random --fraction=0.25 --seed=0"
    assert len(commands) == 1 + len(part.cells)


def test_a_study_s_json_alone_has_figures_and_no_samples(study, tmp_path):
    shutil.copy(study / "study.json", tmp_path / "mine.json")
    part = page_part(parts_of([str(tmp_path / "mine.json")])[0], 5, "", {})
    sections = {section.name: section for section in part.sections}
    assert part.name == "mine" and len(sections["quality"].charts) == 3
    for name in ("scores", "agreement", "training", "captions"):
        assert "Not shown" in sections[name].words[0] and not sections[name].charts


def _run(folder, **changes):
    values = [0.5 + 0.01 * place for place in range(len(IMAGES))]
    return write_run(folder, Settings().replace(fraction=0.5, **changes), values, ["words"] * len(IMAGES))


def test_single_runs_are_compared_by_what_they_differ_in(tmp_path):
    runs = [_run(tmp_path / name, dropout=rate) for name, rate in (("a", 0.1), ("b", 0.2))]
    runs.append(write_run(tmp_path / "c", Settings().replace(fraction=1.0, dropout=0.1), [0.5] * 12, ["words"] * 12))
    (part,) = parts_of([*map(str, runs), str(runs[0])])
    assert part.name == "scenes" and list(part.runs) == ["a", "b", "c"]
    assert list(Found(part).own) == ["random dropout=0.1", "random dropout=0.2", "full dropout=0.1"]
    assert Found(part).full == dict.fromkeys(["random dropout=0.1", "full dropout=0.1"], "full dropout=0.1")


def test_a_setting_that_follows_another_and_was_not_said_is_no_axis(tmp_path):
    said = {"a": (0.1, 0.1), "b": (0.2, 0.2)}
    runs = [_run(tmp_path / name, dropout=one, image_dropout=other) for name, (one, other) in said.items()]
    assert list(Found(parts_of([*map(str, runs)])[0]).own) == ["random dropout=0.1", "random dropout=0.2"]
    described = json.loads((runs[0] / "experiment.json").read_text())
    described["command"].append("--image_dropout=0.1")
    (runs[0] / "experiment.json").write_text(json.dumps(described))
    first, _ = Found(parts_of([*map(str, runs)])[0]).own
    assert first == "random dropout=0.1 image_dropout=0.1"


def test_runs_beside_an_evaluation_keep_the_axes_that_it_lacks(tmp_path):
    runs = [_run(tmp_path / name, dropout=rate) for name, rate in (("a", 0.1), ("b", 0.2))]
    as_it_is = write_evaluation(tmp_path / "gemma", {"dataset": "scenes", "model": "gemma3", "seed": 0})
    (part,) = parts_of([*map(str, runs), str(as_it_is)])
    assert sorted(Found(part).own) == [
        "as_it_is gemma3",
        "random resnet50_lstm dropout=0.1",
        "random resnet50_lstm dropout=0.2",
    ]


def test_a_report_replaces_a_report_and_nothing_else(study, made, tmp_path):
    out = shutil.copytree(made, tmp_path / "report")
    (out / "index.html").unlink()
    _made(study / "study.json", f"--out={out}")
    assert (out / "index.html").exists() and not (out / "toy").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="is not the folder of a report"):
        _made(study, f"--out={other}")
    assert (other / "thesis.tex").read_text() == "mine"


def test_the_report_s_folder_may_not_be_around_the_runs(study, made, tmp_path):
    out = shutil.copytree(made, tmp_path / "report")
    shutil.copytree(study, out / "studies")
    with pytest.raises(InputError, match="would replace what it is of"):
        _made(out / "studies", f"--out={out}")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda place: place.mkdir(), "There is no study and no run"),
        (lambda place: None, "There is no study and no run"),
        (lambda place: _write(place, "study.json", '{"cells": {}}'), "No cell of the study is finished"),
        (lambda place: _write(place, "study.json", '{"cells": {"a": {}}}'), "cell a: not what a finished experiment"),
        (lambda place: _write(place, "study.json", "{"), "is not valid JSON"),
        (lambda place: _write(place, "study.json", "[]"), "is not what a study has found"),
        (lambda place: _write(place, "experiment.json", "{}"), "is not finished"),
        (lambda place: (_run(place) / "experiment.json").write_text("{}"), "does not describe a run"),
    ],
)
def test_what_is_no_result_is_refused_and_nothing_is_written(tmp_path, make, words):
    make(tmp_path / "place")
    with pytest.raises(InputError, match=words) as caught:
        _made(tmp_path / "place", f"--out={tmp_path / 'report'}")
    assert "\n" not in str(caught.value) and not (tmp_path / "report").exists()


def _write(place, name, text):
    place.mkdir()
    (place / name).write_text(text)


def test_the_same_experiment_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="Two runs are the same experiment"):
        parts_of([str(_run(tmp_path / "a")), str(_run(tmp_path / "b"))])


def test_mistakes_end_with_2_and_one_line(tmp_path):
    for arguments, words in (([], "One run must be named"), ([str(tmp_path / "absent")], "There is no study")):
        done = subprocess.run(
            [sys.executable, "-m", "tfcap.report", *arguments], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
