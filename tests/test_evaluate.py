"""tfcap.evaluate captions a split with a captioner that nobody trained; mistakes: test_bad_input.py."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tests import toy_pretrained
from tests.models.toy_hub import write_preset
from tfcap import evaluate, registry
from tfcap.command_settings import EvaluateSettings
from tfcap.data.pipeline import Inputs
from tfcap.data.records import Records
from tfcap.errors import InputError
from tfcap.files import read_json, write_json
from tfcap.journal import Journal
from tfcap.models.build import build_captioner, decoding_of
from tfcap.preparation import tokenizer_of
from tfcap.settings import Settings
from tfcap.training.decoding import Decoder
from tfcap.training.strategy import connect

_REPOSITORY = Path(__file__).resolve().parents[1]
_OFFERED = ("scenes_size", "data_dir", "image_size", "max_tokens", "beams", "bootstrap_resamples")
_OFFERED += ("java", "samples", "xla", "progress")
BATCH = 4


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    for table in (registry.CAPTIONERS, registry.DIRECT):
        monkeypatch.setitem(table._targets, "toy", toy_pretrained.WHERE)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return toy_pretrained.write_checkpoint(tmp_path_factory.mktemp("checkpoints") / "toy")


@pytest.fixture
def command(toy_flags, checkpoint):
    """The arguments that evaluate the toy on 48 images, some of them changed, or left out by None."""

    def arguments(out, **changes):
        said = {name: toy_flags[name] for name in _OFFERED}
        said |= {"model": "toy", "checkpoint": checkpoint, "split": "train", "eval_batch_size": BATCH, "out": out}
        said |= changes
        switches = {True: "--{}", False: "--no{}"}
        return [
            switches[value].format(name) if isinstance(value, bool) else f"--{name}={value}"
            for name, value in said.items()
            if value is not None
        ]

    return arguments


def _run(arguments):
    evaluate.main(["evaluate", *arguments])


def _results(folder):
    metrics = read_json(folder / "metrics.json")
    assert metrics.pop("images_per_second") > 0
    return [
        metrics,
        sorted(path.name for path in folder.iterdir()),
        *((folder / name).read_bytes() for name in ("captions.json", "per_image.json", "samples.png")),
    ]


def _stopped_after(monkeypatch, batches):
    """Makes a run die after so many batches; returns the positions that are decoded until then."""
    decoded, made, add = [], Decoder.batches, Journal.add

    def noted(self, inputs, positions, size):
        decoded.extend(positions.tolist())
        return made(self, inputs, positions, size)

    def dying(self, entry):
        add(self, entry)
        if len(self.entries) == batches:
            raise KeyboardInterrupt

    monkeypatch.setattr(Decoder, "batches", noted)
    monkeypatch.setattr(Journal, "add", dying)
    return decoded


@pytest.fixture(scope="module")
def whole(toy_flags, checkpoint, tmp_path_factory):
    """What an evaluation that nothing interrupted finds, and its folder."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    said = {name: toy_flags[name] for name in _OFFERED} | {"eval_batch_size": BATCH}
    with pytest.MonkeyPatch.context() as patch:
        for table in (registry.CAPTIONERS, registry.DIRECT):
            patch.setitem(table._targets, "toy", toy_pretrained.WHERE)
        evaluate.evaluate(
            EvaluateSettings(model="toy", checkpoint=str(checkpoint), split="train", out=str(folder)), said
        )
    return folder


def test_captions_are_those_of_the_captioner_and_the_metrics_are_complete(whole, toy_flags, checkpoint, scenes):
    said = {name: toy_flags[name] for name in _OFFERED} | {"model": "toy", "checkpoint": str(checkpoint)}
    settings = Settings().replace(**said).resolve()
    records = Records(scenes, "train")
    tokenizer = tokenizer_of(settings, records)
    model = build_captioner(settings, len(tokenizer))
    decoder = Decoder(model, tokenizer, connect(settings.training), decoding_of(settings), xla=False)
    texts, _ = decoder.captions(Inputs(records, settings.data.image_size), np.arange(48), 48, progress=False)
    found = read_json(whole / "captions.json")
    assert [one["caption"] for one in found] == texts and len(set(texts)) > 3
    assert [one["image_id"] for one in found] == records.ids.tolist()

    metrics = read_json(whole / "metrics.json")
    for name in ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"):
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]
    assert metrics["METEOR"] is None and metrics["METEOR_missing"]
    assert metrics["split"] == "train" and metrics["images_per_second"] > 0
    assert metrics["train_seconds"] is metrics["scoring_seconds"] is metrics["steps_per_second"] is None
    assert len(read_json(whole / "per_image.json")["CIDEr"]) == 48
    card = ModelCard((whole / "model_card.md").read_text(encoding="utf-8"))
    assert {one.metric_name: one.metric_value for one in card.data.eval_results}["CIDEr"] == metrics["CIDEr"]["value"]
    assert (
        "Nothing was trained" in card.text
        and "tfcap.evaluate --model=toy" in card.text
        and "--split=train" in card.text
    )
    assert str(whole.parent) not in card.text
    assert sorted(path.name for path in whole.iterdir()) == [
        *("captions.json", "evaluation.json", "metrics.json", "model_card.md", "per_image.json", "samples.png")
    ]


def test_the_command_prints_the_table_and_a_second_one_does_nothing(whole, command, capsys, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    monkeypatch.setattr(evaluate, "_captioning", None)
    _run(command(whole))
    assert {path: path.stat().st_mtime_ns for path in whole.iterdir()} == before
    said = capsys.readouterr().out
    assert "CIDEr" in said and "images/s" in said and str(whole / "samples.png") in said


@pytest.mark.parametrize("torn", [0, 1, 30])
def test_a_run_that_died_goes_on_where_it_was_and_finds_the_same(torn, whole, command, tmp_path, monkeypatch):
    """Of three batches the last line is torn, or not."""
    with monkeypatch.context() as patch:
        _stopped_after(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            _run(command(tmp_path / "run"))
    journal = tmp_path / "run" / "captions.jsonl"
    assert not (tmp_path / "run" / "metrics.json").exists()
    if torn:
        journal.write_bytes(journal.read_bytes()[:-torn])
    decoded = _stopped_after(monkeypatch, 0)
    _run(command(tmp_path / "run"))
    assert decoded == list(range((2 if torn else 3) * BATCH, 48))
    assert _results(tmp_path / "run") == _results(whole)


@pytest.mark.parametrize("name", ["captions.json", "samples.png", "metrics.json"])
def test_a_run_that_died_among_its_results_decodes_nothing_again(name, whole, command, tmp_path, monkeypatch):
    from tfcap import results

    def dies(*_):
        raise KeyboardInterrupt

    def dying(path, value):
        if path.name == name:
            dies()
        return written(path, value)

    written = results.write_json
    with monkeypatch.context() as patch:
        if name == "samples.png":
            patch.setattr(results, "samples_sheet", dies)
        patch.setattr(results, "write_json", dying)
        with pytest.raises(KeyboardInterrupt):
            _run(command(tmp_path / "run"))
    monkeypatch.setattr(evaluate, "_captioning", None)
    _run(command(tmp_path / "run"))
    assert _results(tmp_path / "run") == _results(whole)


def test_other_settings_are_refused_and_may_start_afresh(whole, command, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        _stopped_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            _run(command(tmp_path / "run", beams=2))
    with pytest.raises(InputError, match="other settings: beams was 2 and is now 1. .*--noresume"):
        _run(command(tmp_path / "run"))
    _run(command(tmp_path / "run", resume=False))
    assert _results(tmp_path / "run") == _results(whole)


def test_a_checkpoint_that_was_rewritten_is_refused_and_one_from_before_that_was_said_is_not(
    command, tmp_path, monkeypatch
):
    run, written = tmp_path / "run", toy_pretrained.write_checkpoint(tmp_path / "toy")
    with monkeypatch.context() as patch:
        _stopped_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            _run(command(run, checkpoint=written))
    (written / "config.json").write_text('{"model_type": "toy", "seed": 1}', encoding="utf-8")
    with pytest.raises(InputError, match="--checkpoint names has other content than when the evaluation .*--noresume"):
        _run(command(run, checkpoint=written))
    about = read_json(run / "evaluation.json")
    assert len(about.pop("contents")["checkpoint"]) == 64
    write_json(run / "evaluation.json", about)
    _run(command(run, checkpoint=written))
    assert (run / "metrics.json").exists()


def test_what_changes_no_caption_may_change(whole, command, monkeypatch):
    monkeypatch.setattr(evaluate, "_captioning", None)
    before = (whole / "captions.json").read_bytes()
    _run(command(whole, xla=True, samples=3))
    assert (whole / "captions.json").read_bytes() == before


def test_ours_take_no_prompt(command, tmp_path):
    with pytest.raises(InputError, match="toy takes no prompt. Received: --prompt=Describe"):
        _run(command(tmp_path / "run", prompt="Describe it"))


def test_a_captioner_of_both_tables_is_one():
    assert {name for name in registry.DIRECT if name in registry.CAPTIONERS} == {"vit_gpt2", "git", "toy"}
    for name in registry.DIRECT:
        assert registry.CAPTIONERS._targets.get(name) in (None, registry.DIRECT._targets[name])


def test_a_captioner_of_keras_hub_goes_on_where_it_was(command, tmp_path, monkeypatch):
    preset = write_preset(tmp_path / "preset", "pali_gemma")
    said = {"model": "pali_gemma", "checkpoint": preset, "split": "test", "eval_batch_size": 2, "image_size": None}
    with monkeypatch.context() as patch:
        _stopped_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            _run(command(tmp_path / "torn", **said))
    for name in ("torn", "whole"):
        _run(command(tmp_path / name, **said))
    assert _results(tmp_path / "torn") == _results(tmp_path / "whole")
    assert len(read_json(tmp_path / "whole" / "captions.json")) == 6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_process_that_is_killed_twice_finds_the_same(whole, command, tmp_path):
    """By the signal that nothing can catch."""
    run = tmp_path / "run"
    arguments = [sys.executable, "-m", "tests.toy_pretrained", *command(run)]
    environment = {**os.environ, "PYTHONPATH": str(_REPOSITORY)}
    for lines in (1, 5):
        process = subprocess.Popen(
            arguments, cwd=_REPOSITORY, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        journal = run / "captions.jsonl"
        while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") >= lines):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    _run(command(run))
    assert _results(run) == _results(whole)
