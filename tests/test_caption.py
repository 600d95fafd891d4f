"""The command that captions pictures with an exported model; its mistakes are in test_bad_input.py."""

import runpy
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from tests.tfrecords_builder.toy import encoded

_SCRIPT = Path(__file__).resolve().parents[1] / "tfcap" / "caption.py"


def _caption(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["caption", *map(str, arguments)])
    runpy.run_path(str(_SCRIPT), run_name="__main__")


def test_one_line_a_picture_in_the_order_named(finished_run, tmp_path, monkeypatch, capsys):
    pictures = {"ä b.jpg": encoded(1), "c.png": encoded(2, form="PNG"), "wrong-suffix.txt": encoded(3)}
    for name, content in pictures.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    _caption(monkeypatch, f"--model={finished_run / 'saved_model'}", *pictures)
    shown = capsys.readouterr()
    lines = [line.split("\t") for line in shown.out.splitlines()]
    assert [name for name, _, _ in lines] == list(pictures) and shown.err == ""
    serve = tf.saved_model.load(str(finished_run / "saved_model")).signatures["serving_default"]
    for (_, caption, score), content in zip(lines, pictures.values(), strict=True):
        answer = serve(image_bytes=tf.constant([content]))
        assert caption == answer["caption"][0].numpy().decode()
        assert float(score) == pytest.approx(float(answer["score"][0]), abs=1e-3)


def test_pictures_before_a_bad_one_are_captioned(finished_run, tmp_path, monkeypatch, capsys):
    (tmp_path / "good.jpg").write_bytes(encoded(1))
    (tmp_path / "bad.jpg").write_bytes(b"text")
    with pytest.raises(SystemExit) as ended:
        _caption(monkeypatch, tmp_path / "good.jpg", tmp_path / "bad.jpg", f"--model={finished_run / 'saved_model'}")
    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert shown.out.startswith(f"{tmp_path / 'good.jpg'}\t") and shown.out.count("\n") == 1
    assert shown.err.startswith("error: ") and "bad.jpg" in shown.err


def test_help_is_the_command_s_own_docstring(monkeypatch, capsys):
    with pytest.raises(SystemExit) as ended:
        _caption(monkeypatch, "--help")
    assert ended.value.code == 0 and "python -m tfcap.caption --model=" in capsys.readouterr().out
