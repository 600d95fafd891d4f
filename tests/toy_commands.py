"""Commands of toy experiments, as processes."""

import subprocess
import sys


def arguments_of(toy_flags, out, *more):
    said = {name: value for name, value in toy_flags.items() if name not in ("xla", "progress")}
    return [*(f"--{name}={value}" for name, value in said.items()), "--noxla", "--noexport", f"--out={out}", *more]


def started(module, arguments, **more):
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def done(process):
    out, errors = process.communicate(timeout=600)
    return process.returncode, out, errors
