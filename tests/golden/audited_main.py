"""Runs tfcap.main and lists, in a file named first, every path that its Python code opened to write, made or renamed.

python -m tests.golden.audited_main WRITTEN.txt --run_dir=... (flags of tfcap.main)
"""

import os
import runpy
import sys
from pathlib import Path

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main() -> None:
    report, written = Path(sys.argv.pop(1)), []

    def hook(event, arguments):
        if (
            event == "open"
            and isinstance(arguments[0], str | os.PathLike)
            and (arguments[2] or 0) & _WRITES
            or event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
        ):
            written.append(os.fspath(arguments[0]))

    sys.addaudithook(hook)
    try:
        runpy.run_module("tfcap.main", run_name="__main__", alter_sys=True)
    finally:
        report.write_text("\n".join(map(str, list(written))))


if __name__ == "__main__":
    main()
