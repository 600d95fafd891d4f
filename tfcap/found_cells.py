"""What studies and single runs have found, read from their folders in one form."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcap.errors import InputError
from tfcap.files import read_json
from tfcap.grid import OF_SELECTION
from tfcap.run_folder import EVALUATION, description_of
from tfcap.settings import NEUTRAL

_EXPECTED = "the folder of a study (study.json) or of a finished run (metrics.json), or a study's JSON file"
_OF_EVERY_RUN = ("selector", "fraction", "seed")


@dataclasses.dataclass(frozen=True)
class Part:
    """Cells that are compared with each other: those of one study, or single runs with the same test images.

    Attributes:
      name: of the study's folder, or of the data set.
      cells: by name, as study.json holds them.
      runs: the folders of those cells that have one.
    """

    name: str
    cells: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, Path]


@dataclasses.dataclass(frozen=True)
class _Run:
    """A single run: its folder, its choices by the flag's name, the fingerprint of its test images, and its cell."""

    path: Path
    choices: Mapping[str, Any]
    fingerprint: str
    cell: dict[str, Any]


def parts_of(places: Sequence[str]) -> list[Part]:
    """Returns what is at these places, each place once, in their order; single runs come last.

    Raises:
      InputError: one is neither a study nor a finished run, is damaged or empty, or two runs are the same experiment.
    """
    studies, runs = [], []
    for place in dict.fromkeys(Path(place).resolve() for place in places):
        if (place / "study.json").is_file():
            studies.append(_study(place / "study.json", place.name, place / "runs"))
        elif (place / "experiment.json").is_file() or (place / EVALUATION).is_file():
            runs.append(_run(place))
        elif place.is_file() and place.suffix == ".json":
            studies.append(_study(place, place.stem, None))
        else:
            raise InputError("There is no study and no run", received=place, expected=_EXPECTED)
    return [*studies, *_together(runs)]


def _study(path: Path, name: str, runs: Path | None) -> Part:
    found = read_json(path)
    cells = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(cells, dict):
        raise InputError(f"{path} is not what a study has found", expected=_EXPECTED)
    if not cells:
        raise InputError("No cell of the study is finished", received=path, remedy="Wait, or run the study.")
    for of_cell, cell in cells.items():
        _check(cell, f"{path}, cell {of_cell}")
    folders = {of_cell: runs / of_cell for of_cell in cells if runs is not None}
    return Part(name, cells, {of_cell: path for of_cell, path in folders.items() if path.is_dir()})


def _check(cell: Any, where: str) -> None:
    """Raises InputError if a cell lacks what every finished one has."""
    try:
        axes, values = cell["axes"], cell["per_image"]["CIDEr"]
        good = all(isinstance(word, str) for word in (*axes, *axes.values(), *cell["arguments"]))
        good &= 0 < float(axes.get("fraction", 1)) <= 1 and math.isfinite(cell["metrics"]["CIDEr"]["value"])
        good &= len(values) > 0 and all(isinstance(value, float | int) and math.isfinite(value) for value in values)
    except (KeyError, TypeError, ValueError, AttributeError):
        good = False
    if not good:
        raise InputError(f"{where}: not what a finished experiment has found", remedy="Delete it and run again.")


def _run(path: Path) -> _Run:
    for name in ("metrics.json", "per_image.json"):
        if not (path / name).is_file():
            raise InputError(f"The run {path} is not finished", expected=f"a folder with {name}")
    if (path / EVALUATION).is_file():
        described = read_json(path / EVALUATION)
        try:
            choices = {**described["settings"], "selector": "full", "fraction": 1.0}
            fingerprint = described["data"]["fingerprint"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{path / EVALUATION} does not describe an evaluation ({error})") from None
    else:
        settings, fingerprints = description_of(path)
        choices = {name: value for group in settings.to_json().values() for name, value in group.items()}
        fingerprint, described = fingerprints["test"], read_json(path / "experiment.json")
    command, metrics = described.get("command") or [""], read_json(path / "metrics.json")
    cell = {
        "axes": {},
        "module": Path(command[0]).stem,
        "arguments": command[1:],
        "metrics": metrics,
        "per_image": read_json(path / "per_image.json"),
        "finished": described.get("started"),
        "git_commit": described.get("git_commit"),
        "versions": described.get("versions", {}),
    }
    _check(cell, str(path))
    return _Run(path, choices, fingerprint, cell)


def _together(runs: Sequence[_Run]) -> list[Part]:
    """Returns a part for each set of test images; its axes are the choices in which its runs differ."""
    grouped: dict[str, list[_Run]] = defaultdict(list)
    for run in runs:
        grouped[run.fingerprint].append(run)
    return [_part(group) for group in grouped.values()]


def _part(runs: Sequence[_Run]) -> Part:
    names = dict.fromkeys(name for run in runs for name in run.choices if name not in (*NEUTRAL, *_OF_EVERY_RUN))
    differing = [name for name in names if len({repr(run.choices.get(name)) for run in runs}) > 1]
    cells: dict[str, dict[str, Any]] = {}
    folders: dict[str, Path] = {}
    known: dict[tuple[tuple[str, str], ...], Path] = {}
    for run in runs:
        full = run.choices["fraction"] == 1
        axes = {name: _word(name, run.choices.get(name)) for name in differing if not (full and name in OF_SELECTION)}
        chosen = {"selector": "full" if full else run.choices["selector"], **axes}
        chosen |= {"fraction": f"{run.choices['fraction']:g}", "seed": str(run.choices["seed"])}
        twin = known.setdefault(tuple(chosen.items()), run.path)
        if twin != run.path:
            raise InputError(
                "Two runs are the same experiment", received=f"{twin} and {run.path}", expected="one of them"
            )
        name = run.path.name if run.path.name not in cells else str(run.path)
        cells[name], folders[name] = {**run.cell, "axes": chosen}, run.path
    return Part(str(runs[0].choices["dataset"]), cells, folders)


def _word(name: str, value: Any) -> str:
    """Returns a choice in words that tell it from a choice of another flag."""
    return str(value) if isinstance(value, str) and value else f"{name}={value}"
