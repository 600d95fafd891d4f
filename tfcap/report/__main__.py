"""Makes a report on studies and runs: one page that needs no network, with its figures and tables as files beside it.

    python -m tfcap.report studies/a runs/x runs/y --out=report

Named are folders of studies, folders of finished runs, and JSON files of studies (of these, only what is in them). Runs
with the same test images are compared with each other. --data_dir says where the data set is, if it is no longer
where the runs found it; without it the page has no pictures. Flags:
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import flags
import tfcap
from tfcap.command_settings import ReportSettings
from tfcap.errors import InputError
from tfcap.files import atomic_folder, refusal_explained, write_json
from tfcap.progress import progress_bar
from tfcap.report.cells import parts_of

_MARK = "report.json"  # a folder that holds it is a report, and may be replaced by another


def main(argv: Sequence[str]) -> None:
    """Reads the runs, writes the report and says where it is."""
    said = flags.parse_said(argv, ("report",), __doc__ or "", also=("data_dir",), argument="run", several=True)
    places, data_dir = said.pop("run"), said.pop("data_dir", "")
    asked = ReportSettings(**said)
    out = Path(asked.out)
    _check_out(out, places)
    parts = parts_of(places)
    from tfcap.report.across import across  # Matplotlib and Jinja are imported only when they are needed
    from tfcap.report.data import looks_of
    from tfcap.report.parts import page_part
    from tfcap.reporting.page import write_page

    looks = looks_of(parts)
    with progress_bar(len(parts), "parts", "part", over=parts) as bar:
        pages = [page_part(part, asked.pictures, data_dir, looks) for part in bar]
    pages = [*across(parts), *pages]
    with refusal_explained(f"--out={out}"), atomic_folder(out) as folder:
        write_page(folder, asked.title, [f"Made by tfcap {tfcap.__version__}."], pages, taken=[_MARK])
        write_json(folder / _MARK, {"tfcap": tfcap.__version__, "runs": list(places), "title": asked.title})
    for note in [section.samples.note for page in pages for section in page.sections if section.samples]:
        if note:
            print(f"note: {note}", file=sys.stderr)
    print(out / "index.html")


def _check_out(out: Path, places: Sequence[str]) -> None:
    """Raises InputError if the report would replace something else."""
    if out.exists() and not (out / _MARK).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(
            f"{out} is not the folder of a report",
            expected=f"a new or empty folder, or one with {_MARK}",
            remedy="Choose another --out.",
        )
    for place in places:
        if Path(place).resolve().is_relative_to(out.resolve()):
            raise InputError("The report would replace what it is of", received=f"--out={out}, {place}")


if __name__ == "__main__":
    flags.exit_after(lambda: main(sys.argv))
