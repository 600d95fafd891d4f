"""A reader finds a whole data set or none: after kills, interrupts, full disks and damage."""

import errno
import json
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tfrecords_builder
from tests.tfrecords_builder.toy import Toy
from tfcap.errors import InputError
from tfcap.settings import DataSettings

_REPOSITORY = Path(__file__).resolve().parents[2]
# Each stops for good at one moment of a build and says so; the test then kills the process.
_STOPS = {
    "generating": "Toy.splits = lambda self, data: {'train': (stop() if n == 2 else toy.example(n) for n in range(3))}",
    "indexing": "integrity.describe_split = lambda *_: stop()",
    "manifest": "write = captions_builder.write_json; captions_builder.write_json = lambda *a: (write(*a), stop())",
}
_CHILD = """
    import sys, time
    from tests.tfrecords_builder import toy
    from tests.tfrecords_builder.toy import Toy
    from tfcap.settings import DataSettings
    from tfrecords_builder import captions_builder, integrity
    import tfrecords_builder
    def stop():
        print("here", flush=True)
        time.sleep(600)
    toy.register()
    Toy.contents = {"train": [toy.example(n) for n in (7, 3, 5)], "test": [toy.example(1)]}
    exec(sys.argv[2])
    tfrecords_builder.build(DataSettings(dataset="toy", data_dir=sys.argv[1]), progress=False)
"""


def _child(data_dir: Path, statement: str, **options) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(_CHILD), str(data_dir), statement]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_CPP")}
    return subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True, env=environment, **options)


def _fingerprints(folder: Path) -> list[str]:
    return [split["fingerprint"] for split in json.loads((folder / "tfcap.json").read_text())["splits"].values()]


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def test_a_build_killed_at_any_moment_leaves_no_data_set_and_the_next_one_succeeds(toy_data, tmp_path):
    fingerprints = _fingerprints(tfrecords_builder.build(toy_data, progress=False))
    processes = {moment: _child(tmp_path / moment, statement) for moment, statement in _STOPS.items()}
    for moment, process in processes.items():
        with process:
            assert process.stdout.readline() == "here\n", moment
            process.kill()
        data = DataSettings(dataset="toy", data_dir=str(tmp_path / moment))
        assert list((tmp_path / moment).glob("toy/plain/incomplete.*")), moment  # it was killed in the middle
        assert tfrecords_builder.locate(data) is None, moment
        folder = tfrecords_builder.build(data, progress=False)
        assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"], moment
        assert _fingerprints(folder) == fingerprints, moment


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interrupt_or_a_full_disk_leaves_nothing(toy_data, monkeypatch, error):
    def interrupted(self, data):
        def examples():
            yield Toy.contents["train"][0]
            raise error

        return {"train": examples()}

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "splits", interrupted)
        expected = InputError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected, match="The disk is full" if isinstance(error, OSError) else None):
            tfrecords_builder.build(toy_data, progress=False)
    assert _files(Path(toy_data.data_dir)) == []
    assert tfrecords_builder.build(toy_data, progress=False).is_dir()


def test_a_file_that_may_not_grow_is_no_data_set(toy_data):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))

    process = _child(Path(toy_data.data_dir), "pass", stderr=subprocess.PIPE, preexec_fn=limit)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode != 0 and complaint
    assert _files(Path(toy_data.data_dir)) == []


def _damage(folder: Path, how: str) -> str:
    shard = next(folder.glob("*train*"))
    if how == "missing":
        shard.unlink()
    elif how == "cut":
        shard.write_bytes(shard.read_bytes()[:-1])
    elif how == "flipped":
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
    else:
        shard = folder / how
        shard.unlink()
    return shard.name


@pytest.mark.parametrize("how", ["missing", "cut", "flipped", "tfcap.json", "tfcap_index.npz"])
def test_damage_is_named_and_not_used(toy_data, how):
    name = _damage(tfrecords_builder.build(toy_data, progress=False), how)
    for find in (tfrecords_builder.locate, tfrecords_builder.build):
        with pytest.raises(InputError, match=rf"damaged: .*{name}.*Delete .* and build again"):
            find(toy_data)
