"""The command line says what the settings say: same names, types and ranges, each with a help text."""

import dataclasses
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import flags
from tfcap import distill, evaluate
from tfcap.command_settings import (
    ConvertSettings,
    DistillSettings,
    EvaluateSettings,
    InspectSettings,
    ReportSettings,
    ScoreSettings,
    SelectSettings,
    StudySettings,
    TuneSettings,
)
from tfcap.errors import InputError, TrainingDiverged
from tfcap.grid import cells_of
from tfcap.settings import Settings

_REPOSITORY = Path(__file__).resolve().parents[1]
PRESETS = sorted((_REPOSITORY / "flags" / "presets").glob("*.flags"))
DISTILLATIONS = [path for path in PRESETS if "tfcap.distill" in path.read_text(encoding="utf-8")]
EVALUATIONS = [path for path in PRESETS if "tfcap.evaluate" in path.read_text(encoding="utf-8")]


def _parse(*arguments: str) -> Settings:
    return flags.parse(["program", *arguments])


def test_every_group_of_settings_has_flags():
    assert list(flags.GROUPS) == [field.name for field in dataclasses.fields(Settings)]


OWN = {  # groups of one command
    "score": ScoreSettings,
    "select": SelectSettings,
    "convert": ConvertSettings,
    "distill": DistillSettings,
    "evaluate": EvaluateSettings,
    "inspect": InspectSettings,
    "study": StudySettings,
    "tune": TuneSettings,
    "report": ReportSettings,
}


@pytest.mark.parametrize("group", [*flags.GROUPS, *OWN])
def test_every_field_has_a_help_text_and_every_help_text_a_field(group):
    words = importlib.import_module(f"flags.{group}").HELP
    fields = [field.name for field in dataclasses.fields(OWN.get(group) or getattr(Settings(), group))]
    assert list(words) == fields
    for name, text in words.items():
        assert text[0].isupper() and text.endswith(".") and "\n" not in text, name


def test_nothing_said_is_the_default():
    assert _parse() == Settings()


def test_each_kind_of_flag_reaches_its_setting():
    settings = _parse(
        "--fraction=0.5", "--epochs", "7", "--dataset=flickr8k", "--noxla", "--freeze_encoder", "--seed=3"
    )
    expected = Settings().replace(fraction=0.5, epochs=7, dataset="flickr8k", xla=False, freeze_encoder=True, seed=3)
    assert settings == expected


@pytest.mark.parametrize(
    ("argument", "value"), [("--xla", True), ("--noxla", False), ("--xla=false", False), ("--xla=True", True)]
)
def test_booleans(argument, value):
    assert _parse(argument).training.xla is value


def test_the_last_of_two_equal_flags_counts():
    assert _parse("--seed=1", "--seed=2").run.seed == 2


def test_a_flagfile_is_read_with_its_comments_and_later_flags_override_it(tmp_path):
    path = tmp_path / "toy.flags"
    path.write_text("# a comment\n\n--epochs=3\n--noxla\n// another\n--seed=5\n")
    assert _parse(f"--flagfile={path}") == Settings().replace(epochs=3, xla=False, seed=5)
    assert _parse(f"--flagfile={path}", "--epochs=4").training.epochs == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--fractoin=0.5"], "Unknown command line flag 'fractoin'"),
        (["--epochs=many"], "--epochs.*many"),
        (["--epochs=1.5"], "--epochs.*1.5"),
        (["--fraction=half"], "--fraction.*half"),
        (["--fraction=0"], r"--fraction is out of range. Received: 0.0. Expected: in \(0, 1\]"),
        (["--selector=best"], "Unknown selector. Received: 'best'. Expected: one of random"),
        (["--xla=maybe"], "xla.*maybe"),
        (["--noepochs=3"], "noepochs"),
        (["--flagfile=absent.flags"], "absent.flags"),
        (["images"], "Arguments must be flags. Received: images"),
        (["--seed"], "seed"),
    ],
)
def test_a_mistake_is_an_input_error_on_one_line(arguments, words):
    with pytest.raises(InputError, match=words) as caught:
        _parse(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["--help", "-h", "--helpfull", "-help"])
def test_help_names_every_flag_with_its_range_and_ends_with_0(capsys, word):
    with pytest.raises(SystemExit) as ended:
        flags.parse(["program", word], usage="How to use it.")
    text = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0 and text.startswith("How to use it.")
    for group in flags.GROUPS:
        for field in dataclasses.fields(getattr(Settings(), group)):
            assert f"--{field.name}=..." in text or f"--[no]{field.name}" in text
            assert str(field.metadata["range"]) in text
    assert "--flagfile=..." in text


def test_parsing_twice_does_not_add_up():
    _parse("--seed=7")
    assert _parse() == Settings()


def test_a_command_returns_what_was_said_and_its_argument():
    said = flags.parse_said(["program", "runs/x", "--out=a.png", "--seed=3"], ("inspect",), "", ("seed",), "run")
    assert said == {"out": "a.png", "seed": 3, "run": "runs/x"}
    said = flags.parse_said(["program", "a", "--out=b", "c"], ("report",), "", argument="run", several=True)
    assert said == {"out": "b", "run": ["a", "c"]}
    with pytest.raises(InputError, match="One run must be named. Received: none"):
        flags.parse_said(["program"], ("report",), "", argument="run", several=True)
    for arguments in ([], ["a", "b"]):
        with pytest.raises(InputError, match="One run must be named. Received: (none|a b)"):
            flags.parse_said(["program", *arguments], ("inspect",), "", argument="run")
    with pytest.raises(InputError, match="Unknown command line flag 'epochs'"):
        flags.parse_said(["program", "--epochs=3"], ("select",), "", ("seed",))


def test_help_says_which_flags_are_as_in_the_run(capsys):
    with pytest.raises(SystemExit):
        flags.parse_said(["program", "--help"], ("select",), "", ("strata",))
    text = " ".join(capsys.readouterr().out.split())
    assert "(in [1, 1e+06] strata; default: as in the run)" in text
    assert "joined by commas; default: '0.25,0.5,0.75')" in text and "--seed" not in text


# Ending.


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (None, 0, ""),
        (
            InputError("The picture is missing", expected="a picture"),
            2,
            "error: The picture is missing. Expected: a picture.\n",
        ),
        (TrainingDiverged("Training diverged at step 3"), 1, "error: Training diverged at step 3\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted; the same command continues from the last checkpoint\n"),
    ],
)
def test_launch_ends_with_the_code_that_scripts_rely_on(monkeypatch, capsys, error, code, said):
    def main(settings):
        assert settings == Settings().replace(seed=4)
        if error is not None:
            raise error

    monkeypatch.setattr(sys, "argv", ["program", "--seed=4"])
    with pytest.raises(SystemExit) as ended:
        flags.launch(main)
    assert ended.value.code == code
    assert capsys.readouterr().err == said


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def main(settings):
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["program"])
    with pytest.raises(ZeroDivisionError):
        flags.launch(main)


# The real command.

_PROBE = """
import runpy, sys
sys.argv = ["main", {argument!r}]
try:
    runpy.run_module({module!r}, run_name="__main__")
except SystemExit as ended:
    code = ended.code
print("code", code, sorted({{"tensorflow", "keras", "tensorflow_datasets", "sklearn"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "module",
    [
        *("tfcap.main", "tfrecords_builder", "tfcap.caption", "tfcap.score", "tfcap.select", "tfcap.inspect"),
        *("tfcap.convert", "tfcap.evaluate", "tfcap.study", "tfcap.report"),
    ],
)
@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--nonsense", 2)])
def test_help_and_mistakes_answer_without_importing_tensorflow(module, argument, code):
    program = _PROBE.format(module=module, argument=argument)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
    )
    assert done.stdout.splitlines()[-1] == f"code {code} []", done.stderr
    if code == 0:
        assert done.stderr == "" and "--" in done.stdout
    else:
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_the_command_s_help_ends_with_0():
    done = subprocess.run(
        [sys.executable, "-m", "tfcap.main", "--help"], cwd=_REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and "--fraction=..." in done.stdout and done.stderr == ""


# Presets.


@pytest.mark.parametrize("path", sorted({*PRESETS} - {*EVALUATIONS, *DISTILLATIONS}), ids=lambda path: path.stem)
def test_every_preset_is_a_complete_experiment_or_a_grid_of_them(path):
    cells = cells_of([f"--flagfile={path}"])
    assert ("tfcap.study" in path.read_text(encoding="utf-8")) == (len(cells) > 1)
    for cell in cells:
        assert cell.settings != Settings()
        resolved = cell.settings.resolve()
        assert resolved.resolve() == resolved


@pytest.mark.parametrize("path", EVALUATIONS, ids=lambda path: path.stem)
def test_every_preset_of_an_evaluation_lacks_a_source_and_a_place_alone(path, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluate, "evaluate", lambda asked, said: seen.append(evaluate.settings_of(asked, said)))
    monkeypatch.setattr(evaluate, "metrics_table", str)
    evaluate.main(["evaluate", f"--flagfile={path}", "--source=SOURCE", "--out=OUT"])
    assert seen[0].data.source == "SOURCE" and seen[0] == seen[0].resolve()


@pytest.mark.parametrize("path", DISTILLATIONS, ids=lambda path: path.stem)
def test_every_preset_of_a_distillation_is_a_study_of_three_seeds(path):
    at_hand = ["--text_weights=MINILM", "--encoder_weights=file.weights.h5"] if path.stem == "s3_flickr8k_small" else []
    assert all(word.split("=")[0] in path.read_text(encoding="utf-8") for word in at_hand)
    verb, asked, settings = distill.settings_of(["distill", "study", f"--flagfile={path}", "--out=OUT", *at_hand])
    assert verb == "study" and asked.seeds == "0,1,2" and {"random", "trajectory"} < {*asked.methods.split(",")}
    names = asked.text_weights, settings.model.encoder_weights
    assert any("://" in name for name in names) == (not path.stem.endswith("_small"))


TABLES = {  # of the reproduced studies, by the stem of the preset that has the grid; what it runs on at a small size
    "s1_selection": "scenes",
    "s1_data_size": "scenes",
    "s2_freezing": "flickr8k",
    "s2_decoders": "flickr8k",
    "s4_ratios": "scenes",
    "s5_cifar10": "cifar10",
}
AT_HAND = {  # what a small preset's command names, since it is no part of the preset
    "s1_clip_gpt2_small": ["--tokenizer=GPT2"],
    "s1_git_small": ["--tokenizer=BERT"],
    "s2_decoders_small": ["--tokenizer=GPT2"],
}


@pytest.mark.parametrize("stem", TABLES)
def test_every_table_of_a_study_has_a_grid_at_both_sizes_with_three_seeds(stem):
    for name in (stem, f"{stem}_small"):
        cells = cells_of([f"--flagfile={_REPOSITORY / 'flags' / 'presets' / name}.flags"])
        assert {cell.axes["seed"] for cell in cells} == {"0", "1", "2"}


@pytest.mark.parametrize(
    "path",
    [path for path in PRESETS if path.stem.endswith("_small") and path not in DISTILLATIONS],
    ids=lambda path: path.stem,
)
def test_a_small_preset_downloads_nothing_when_its_command_names_the_weights(path):
    on = TABLES.get(path.stem.removesuffix("_small"), "flickr8k")
    named = [*AT_HAND.get(path.stem, []), *(["--encoder_weights=file.weights.h5"] if on == "flickr8k" else [])]
    assert all(word.split("=")[0] in path.read_text(encoding="utf-8") for word in named)
    for cell in cells_of([f"--flagfile={path}", *named]):
        said = cell.settings.resolve().by_name()
        assert said["dataset"] == on
        assert not any("://" in str(value) or value == "imagenet" for value in said.values())


def test_the_selection_of_s1_at_a_small_size_is_what_was_asked_in_both_protocols():
    cells = cells_of([f"--flagfile={_REPOSITORY / 'flags' / 'presets' / 's1_selection_small'}.flags"])
    axes = [cell.axes for cell in cells if cell.axes["selector"] != "full"]
    assert {one["selector"] for one in axes} == {"random", "gradient_norm", "loss", "stratified", "k_means"}
    assert {one["fraction"] for one in axes} == {"0.1", "0.25", "0.5", "0.75"}
    assert {one["budget_steps"] for one in axes} == {"true", "false"} and len(cells) == 5 * 4 * 3 * 2 + 3


def test_the_runs_of_two_presets_have_two_folders():
    experiments = [path for path in PRESETS if "python -m tfcap.main" in path.read_text(encoding="utf-8")]
    folders = [cells_of([f"--flagfile={path}"])[0].settings.resolve().run.run_dir for path in experiments]
    assert len(folders) > 10 and len(set(folders)) == len(folders)


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_says_what_it_is_and_names_its_command(path):
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert len(comments) >= 2
    assert any(f"--flagfile=flags/presets/{path.name}" in line for line in comments)
