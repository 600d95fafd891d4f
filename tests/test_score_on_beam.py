"""Through Apache Beam the score is bit for bit that of a single process, and a user's mistake is as plain."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.test_score import NAME, TIMES, described, score_command
from tfcap import score
from tfcap.errors import InputError
from tfcap.files import read_json

# Continuous integration installs requirements-dev.txt, which has it; a broken installation fails and is not skipped.
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="apache-beam is not installed"),
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning", "ignore::ResourceWarning"),
]
_REPOSITORY = Path(__file__).resolve().parents[1]
DIRECT = ("--runner=DirectRunner", "--workers=1")
PORTABLE = ("--runner=PortableRunner", "--beam_options=--job_endpoint=embed --environment_type=LOOPBACK")
TWO_PROCESSES = ("--runner=DirectRunner", "--workers=2")


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of seven images, so that the counts of several blocks meet."""
    monkeypatch.setattr(score, "_LEAST_RECORDS", 7)


@pytest.fixture(scope="module")
def alone(toy_flags, tmp_path_factory):
    """The score's folder by level, made without Beam."""
    folder = tmp_path_factory.mktemp("alone")
    return {level: score_command(folder / level, toy_flags, f"--level={level}") for level in ("image", "pair")}


@pytest.mark.parametrize(
    ("runner", "level"),
    [(DIRECT, "image"), (DIRECT, "pair"), (PORTABLE, "pair"), (TWO_PROCESSES, "image")],
    ids=["direct", "direct, pairs", "portable, pairs", "two processes"],
)
def test_a_runner_gives_the_same_bits(small_blocks, alone, toy_flags, tmp_path, runner, level):
    scores = score_command(tmp_path / "out", toy_flags, f"--level={level}", *runner)
    assert (scores / f"{NAME}.npy").read_bytes() == (alone[level] / f"{NAME}.npy").read_bytes()
    about = described(scores)
    assert about.pop("runner") == runner[0].partition("=")[2]
    assert about.pop("workers", 0) == (0 if runner is PORTABLE else int(runner[1].partition("=")[2]))
    assert about == described(alone[level])
    assert sorted(path.name for path in scores.iterdir()) == [f"{NAME}.json", f"{NAME}.npy"]


@pytest.mark.parametrize("runner", [DIRECT, PORTABLE], ids=["direct", "portable"])
def test_what_a_worker_finds_wrong_is_one_line(small_blocks, toy_flags, tmp_path, monkeypatch, runner):
    """The second pass finds that a shard has become shorter than it was when it was checked."""
    plain = score.blocks_of_split

    def cut(records):
        blocks = plain(records)
        short = tmp_path / "short.tfrecord"
        short.write_bytes(Path(blocks[-1].place.path).read_bytes()[: blocks[-1].place.end - 30])
        return [*blocks[:-1], blocks[-1]._replace(place=blocks[-1].place._replace(path=str(short)))]

    monkeypatch.setattr(score, "blocks_of_split", cut)
    with pytest.raises(InputError, match=r"^A TFRecord file is cut short. Received: .*short.tfrecord. Delete") as error:
        score_command(tmp_path / "out", toy_flags, *runner)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "out" / "scores").iterdir()) == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (("--runner=Warp",), "Apache Beam has no such runner. Received: --runner=Warp"),
        (("--runner=no.such.Runner",), "Apache Beam has no such runner. Received: --runner=no.such.Runner"),
        ((*DIRECT, "--beam_options=--warp=9 --depth=1"), r"no such option.*\(depth, warp\)"),
    ],
)
def test_runners_and_options_that_beam_does_not_have(toy_flags, tmp_path, said, words):
    with pytest.raises(InputError, match=words):
        score_command(tmp_path / "out", toy_flags, *said)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_pipeline_leaves_nothing_half_written(alone, toy_flags, tmp_path):
    said = [f"--{name}={toy_flags[name]}" for name in ("scenes_size", "data_dir")]
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tfcap.score", *said, f"--out={out}", *TWO_PROCESSES]
    process = subprocess.Popen(command, cwd=_REPOSITORY, stderr=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not any(out.glob("scores/.beam.*.partial/*.counted")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (out / "scores" / f"{NAME}.npy").exists() and not (out / "scores" / f"{NAME}.json").exists()
    waiting = time.monotonic()
    while _alive(process.pid) and time.monotonic() - waiting < 60:  # its workers notice that it is gone
        time.sleep(0.1)
    assert not _alive(process.pid)
    scores = score_command(out, toy_flags)
    assert (scores / f"{NAME}.npy").read_bytes() == (alone["image"] / f"{NAME}.npy").read_bytes()
    assert set(read_json(scores / f"{NAME}.json")) - set(TIMES) == set(described(alone["image"]))
    assert sorted(path.name for path in scores.iterdir()) == [f"{NAME}.json", f"{NAME}.npy"]


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
