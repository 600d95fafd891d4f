"""What studies and single runs have found, read from their folders in one form."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcap.errors import InputError
from tfcap.evaluation.quality import quality_of
from tfcap.files import read_json
from tfcap.findings import FULL, quality_among, validations
from tfcap.grid import OF_SELECTION
from tfcap.report.protocols import AXIS, by_protocol, with_usual_axes
from tfcap.run_folder import EVALUATION, description_of
from tfcap.settings import NEUTRAL, Settings

_EXPECTED = "the folder of a study (study.json) or of a finished run (metrics.json), or a study's JSON file"
_OF_EVERY_RUN = ("selector", "fraction", "seed", AXIS)
AS_IT_IS = "as_it_is"  # in the place of a selector, of a captioner that was not trained


@dataclasses.dataclass(frozen=True)
class Part:
    """Cells that are compared with each other: of one protocol, and of one study or with the same test images.

    Attributes:
      name: of the study's folder, or of the data set; with the protocol where there is a part of each.
      cells: by name, as study.json holds them, but that selector and fraction are always on their axes and the protocol
        never is. Of single runs, `choices` holds all settings by the flag's name.
      runs: the folders of those cells that have one.
      protocol: of the cells that keep less than all; "" where there are none.
      study: its name without the protocol.
      fingerprint: of the test images; "" where no folder tells it.
      twin: the same study's part of the other protocol, if that comes before this one.
    """

    name: str
    cells: Mapping[str, Mapping[str, Any]]
    runs: Mapping[str, Path]
    protocol: str
    study: str
    fingerprint: str
    twin: Part | None = None


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
      InputError: one is neither a study nor a finished run, is damaged or empty, two runs are the same experiment, or
        captioners and classifiers are among them.
    """
    studies: list[Part] = []
    runs: list[_Run] = []
    for place in dict.fromkeys(Path(place).resolve() for place in places):
        if (place / "study.json").is_file():
            studies += _study(place / "study.json", _title(place, place.name, studies), place / "runs")
        elif (place / "experiment.json").is_file() or (place / EVALUATION).is_file():
            runs.append(_run(place))
        elif place.is_file() and place.suffix == ".json":
            studies += _study(place, _title(place, place.stem, studies), None)
        else:
            raise InputError("There is no study and no run", received=place, expected=_EXPECTED)
    parts = [*studies, *_together(runs)]
    quality_among({f"{part.name}/{name}": cell for part in parts for name, cell in part.cells.items()})
    return parts


def _title(place: Path, name: str, known: Sequence[Part]) -> str:
    """Returns a study's name, with its folder's where another has the same."""
    return f"{name} in {place.parent.name}" if any(part.study == name for part in known) else name


def _study(path: Path, name: str, runs: Path | None) -> list[Part]:
    found = read_json(path)
    cells = found.get("cells") if isinstance(found, dict) else None
    if not isinstance(cells, dict):
        raise InputError(f"{path} is not what a study has found", expected=_EXPECTED)
    if not cells:
        raise InputError("No cell of the study is finished", received=path, remedy="Wait, or run the study.")
    for of_cell, cell in cells.items():
        _check(cell, f"{path}, cell {of_cell}")
    folders = {of_cell: runs / of_cell for of_cell in cells if runs is not None and (runs / of_cell).is_dir()}
    whole = {name: with_usual_axes(cell) for name, cell in cells.items()}
    whole = {
        name: _with_data_set(_with_curve(cell, folders.get(name)), folders.get(name)) for name, cell in whole.items()
    }
    return _parts(name, whole, folders, _fingerprint(folders))


def _parts(name: str, cells: Mapping[str, Any], folders: Mapping[str, Path], fingerprint: str) -> list[Part]:
    """Returns a part for each protocol."""
    apart = by_protocol(cells)
    parts: list[Part] = []
    for protocol, own in apart.items():
        runs = {of_cell: path for of_cell, path in folders.items() if of_cell in own}
        title = f"{name}, {protocol}" if len(apart) > 1 else name
        parts.append(Part(title, own, runs, protocol, name, fingerprint, parts[0] if parts else None))
    return parts


def _with_curve(cell: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Returns a cell of all the data with its validation score by epoch, which studies did not always record."""
    path = folder / "history.json" if folder is not None else None
    if validations(cell) or float(cell["axes"]["fraction"]) < 1 or path is None or not path.is_file():
        return cell
    curve = validations(read_json(path))
    return {**cell, f"val_{quality_of(cell['per_image'])}": curve} if curve else cell


def _with_data_set(cell: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Returns a cell with the configuration of its data set, which studies did not always record."""
    path = folder / "experiment.json" if folder is not None else None
    if "data_set" in cell or path is None or not path.is_file():
        return cell
    return {**cell, "data_set": read_json(path).get("data_set", {})}


def _fingerprint(folders: Mapping[str, Path]) -> str:
    described = next((path for folder in folders.values() if (path := folder / "experiment.json").is_file()), None)
    found = read_json(described).get("fingerprints") if described else None
    return str(found.get("test", "")) if isinstance(found, dict) else ""


def _check(cell: Any, where: str) -> None:
    """Raises InputError if a cell lacks what every finished one has."""
    try:
        quality = quality_of(cell["per_image"])
        axes, values = cell["axes"], cell["per_image"][quality]
        good = all(isinstance(word, str) for word in (*axes, *axes.values(), *cell["arguments"]))
        good &= 0 < float(with_usual_axes(cell)["axes"]["fraction"]) <= 1
        good &= math.isfinite(cell["metrics"][quality]["value"])
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
            choices = {**described["settings"], "selector": AS_IT_IS, "fraction": 1.0}
            choices.pop("train", None)  # nothing was trained
            fingerprint = described["data"]["fingerprint"]
        except (KeyError, TypeError) as error:
            raise InputError(f"{path / EVALUATION} does not describe an evaluation ({error})") from None
    else:
        settings, fingerprints = description_of(path)
        choices = {**settings.by_name()}
        fingerprint, described = fingerprints["test"], read_json(path / "experiment.json")
        if choices["fraction"] == 1:
            choices["selector"] = FULL
    command, metrics = described.get("command") or [""], read_json(path / "metrics.json")
    cell = {
        "axes": {"fraction": f"{choices['fraction']:g}"},
        "choices": choices,
        "module": Path(command[0]).stem,
        "arguments": command[1:],
        "metrics": metrics,
        "per_image": read_json(path / "per_image.json"),
        "finished": described.get("started"),
        "data_set": described.get("data_set", {}),
        "git_commit": described.get("git_commit"),
        "versions": described.get("versions", {}),
    }
    _check(cell, str(path))
    cell = _with_curve(cell, path)
    return _Run(path, choices, fingerprint, cell)


def _together(runs: Sequence[_Run]) -> list[Part]:
    """Returns the parts of each set of test images; their axes are the choices in which its runs differ."""
    grouped: dict[str, list[_Run]] = defaultdict(list)
    for run in runs:
        grouped[run.fingerprint].append(run)
    return [part for group in grouped.values() for part in _of_group(group)]


def _of_group(runs: Sequence[_Run]) -> list[Part]:
    differing = _axes(runs)
    cells: dict[str, dict[str, Any]] = {}
    folders: dict[str, Path] = {}
    known: dict[tuple[tuple[str, str], ...], Path] = {}
    for run in runs:
        all_kept = run.choices["fraction"] == 1
        of_run = [name for name in differing if name in run.choices and not (all_kept and name in OF_SELECTION)]
        chosen = {"selector": run.choices["selector"], **{name: _word(name, run.choices[name]) for name in of_run}}
        chosen |= {"fraction": f"{run.choices['fraction']:g}", "seed": str(run.choices["seed"])}
        chosen |= {} if all_kept else {AXIS: str(run.choices[AXIS]).lower()}
        twin = known.setdefault(tuple(chosen.items()), run.path)
        if twin != run.path:
            raise InputError(
                "Two runs are the same experiment", received=f"{twin} and {run.path}", expected="one of them"
            )
        name = run.path.name if run.path.name not in cells else str(run.path)
        cells[name], folders[name] = {**run.cell, "axes": chosen}, run.path
    return _parts(str(runs[0].choices["dataset"]), cells, folders, runs[0].fingerprint)


def _axes(runs: Sequence[_Run]) -> list[str]:
    """Returns the choices in which those runs differ that have them.

    Without one that takes its value by itself, that nobody has said, and that differs exactly as another does: it
    follows from that one.
    """
    names = list(dict.fromkeys(name for run in runs for name in run.choices))
    names = [name for name in names if name not in (*NEUTRAL, *_OF_EVERY_RUN)]
    patterns = {name: _pattern([repr(run.choices.get(name)) for run in runs]) for name in names}
    differing = [name for name in names if len({repr(run.choices[name]) for run in runs if name in run.choices}) > 1]
    by_itself, said = _by_themselves(), {name for run in runs for name in _flags_in(run.cell["arguments"])}
    found: list[str] = []
    for name in sorted(differing, key=lambda name: (name not in said, name in by_itself)):
        follows = name in by_itself and name not in said
        if not follows or patterns[name] not in [patterns[other] for other in found]:
            found.append(name)
    return sorted(found, key=names.index)


def _pattern(values: Sequence[str]) -> tuple[int, ...]:
    """Returns which runs are alike, whatever the values are."""
    return tuple(values.index(value) for value in values)


def _by_themselves() -> set[str]:
    """Returns the settings that take a value by themselves, which suits the others."""
    return {name for name, value in Settings().by_name().items() if value is None}


def _flags_in(arguments: Sequence[str]) -> list[str]:
    """Returns the names of flags in a command line; of --noNAME, NAME too."""
    names = [match[1] for word in arguments if (match := re.match(r"--?(\w+)", word))]
    return [*names, *(name.removeprefix("no") for name in names)]


def _word(name: str, value: Any) -> str:
    """Returns a choice in words that tell it from a choice of another flag."""
    return str(value) if isinstance(value, str) and value else f"{name}={value}"
