import subprocess
import sys
from pathlib import Path

from tests.tfrecords_builder.toy import encoded

_REPOSITORY = Path(__file__).resolve().parents[2]


def _run(*arguments):
    command = [sys.executable, "-m", "tfrecords_builder", *arguments]
    return subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=120)


def test_the_command_builds_says_where_and_ends_with_2_for_a_mistake(tmp_path):
    (tmp_path / "images").mkdir()
    for number in range(10):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(encoded(number))
    lines = "".join(f"{number}.jpg#0\tA caption .\n" for number in range(10))
    (tmp_path / "Flickr8k.token.txt").write_text(lines)
    flags = ["--dataset=flickr8k", f"--source={tmp_path}", f"--data_dir={tmp_path / 'data'}"]
    done = _run(*flags)
    folder = tmp_path / "data" / "flickr8k" / "random-s0" / "1.0.0"
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == str(folder) and said[1].startswith("  train: 8 images, ") and said[-1] == "  quarantine: 0 images"
    assert "train: 100%" in done.stderr
    (tmp_path / "other").mkdir()
    wrong = _run(*flags[:2], f"--data_dir={tmp_path / 'other'}", "--shards=3")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "fewer images than --shards" in wrong.stderr.splitlines()[-1]
