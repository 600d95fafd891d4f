"""How cores and GPUs are shared among processes, and what a process gets of them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfcap import machine
from tfcap.errors import InputError
from tfcap.machine import Part, parts_of


@pytest.mark.parametrize(
    ("jobs", "cores", "gpus", "parts"),
    [
        (2, [0, 1, 2, 3], [], [Part((0, 1)), Part((2, 3))]),
        (2, [4, 5, 9], [], [Part((4,)), Part((5, 9))]),
        (3, [7], [], [Part((7,)), Part((7,)), Part((7,))]),
        (2, [], ["0", "1"], [Part((), ("0",)), Part((), ("1",))]),
        (1, [0], ["2", "GPU-a"], [Part((0,), ("2", "GPU-a"))]),
        (2, [0, 1], ["0", "1", "2", "3"], [Part((0,), ("0", "1")), Part((1,), ("2", "3"))]),
    ],
)
def test_each_process_has_its_own(jobs, cores, gpus, parts):
    assert parts_of(jobs, cores, gpus) == parts


def test_two_processes_on_one_gpu_are_refused():
    with pytest.raises(InputError, match="--jobs is more than there are GPUs.*3.*at most 2"):
        parts_of(3, [0, 1, 2], ["0", "1"])


def test_a_process_sees_its_gpus_and_its_cores(tmp_path):
    words = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], sorted(os.sched_getaffinity(0)))"
    core = machine.cores()[0]
    with open(tmp_path / "log", "wb") as log:
        assert machine.start([sys.executable, "-c", words], Part((core,), ("1", "3")), log).wait() == 0
    assert (tmp_path / "log").read_text() == f"1,3 [{core}]\n"


def test_a_process_ends_with_the_one_that_started_it():
    words = """
import sys, time
from tfcap import machine
core = machine.cores()[0]
child = machine.start([sys.executable, "-c", "import time; time.sleep(60)"], machine.Part((core,)), sys.stderr)
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True) as parent:
        child = Path(f"/proc/{int(parent.stdout.readline())}/stat")
        parent.kill()
    deadline = time.monotonic() + 30
    while child.exists() and child.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < deadline, "it outlived the one that started it"
        time.sleep(0.01)
