"""Grids of experiments: a command line whose flags may be lists, and the command line of each cell.

    --selector=random,loss --fraction=0.25,0.5 --seed=0,1,2

has twelve cells. A flag whose own value may hold commas (--track, --mixture, --score_epochs, --tracker, --source,
--data_dir, --teacher) is a list by semicolons. With --teacher=full, a cell that keeps a part learns from the grid's own
cell of all the data.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence

from absl import flags as absl_flags

import flags
from tfcap.errors import InputError
from tfcap.settings import SelectionSettings, Settings

OWN_TEACHER = "full"  # of --teacher: the grid's own cell of all the data
_OWN_COMMAS = ("track", "mixture", "score_epochs", "tracker", "source", "data_dir", "teacher")
# Which flags say how something is kept, for how many steps, and what a student learns from its teacher; of no meaning
# where everything is kept, since the student would be its teacher's twin.
OF_SELECTION = (
    *(one.name for one in dataclasses.fields(SelectionSettings) if one.name not in ("fraction", "level")),
    *("budget_steps", "knowledge_distillation", "kd_alpha", "kd_temperature"),
)
# In what a teacher and those who learn from it cannot differ.
_OF_TEACHERS = ("dataset", "model", "encoder", "norm", "width", "image_size", "checkpoint", "train")
_PROTOCOLS = {"false": "equal_epochs", "true": "equal_steps"}  # what --budget_steps makes of a smaller fraction


@dataclasses.dataclass(frozen=True)
class Cell:
    """One experiment of a grid.

    Attributes:
      name: of its values on the grid's axes, such as loss-0.25-s1; unique in the grid.
      axes: those values by flag, as they were written, and the fraction also where it is on no axis; selector "full"
        where everything is kept.
      arguments: of `python -m tfcap.main`, without the places that it writes to.
      settings: what these ask for, not resolved.
    """

    name: str
    axes: dict[str, str]
    arguments: tuple[str, ...]
    settings: Settings


def cells_of(arguments: Sequence[str]) -> list[Cell]:
    """Returns the cells of a grid, the seeds outermost, each experiment once.

    At fraction 1 every selector keeps the same, so those cells are one, whose selector is called full. With
    --teacher=full there is one of them a seed, that of the first value of every other flag, to be the teacher.

    Raises:
      InputError: a flag is unknown or one of its values is not accepted, or an argument is no flag.
    """
    values = _values_by_flag(arguments)
    axes = {name: several for name, several in values.items() if len(several) > 1}
    order = sorted(axes, key=lambda name: name != "seed")  # stable: the others as they were written
    one_teacher = values.get("teacher") == [OWN_TEACHER]
    found: dict[str, Cell] = {}
    for point in itertools.product(*(axes[name] for name in order)):
        chosen = dict(zip(order, point, strict=True))
        said = {name: chosen.get(name, several[0]) for name, several in values.items()}
        settings = _parsed(said)
        if settings.selection.fraction == 1:
            said = {name: value for name, value in said.items() if name not in OF_SELECTION}
            settings = _parsed(said)
            kept = {name: value for name, value in chosen.items() if name not in (*OF_SELECTION, "fraction")}
            if one_teacher and any(value != axes[name][0] for name, value in kept.items() if name != "seed"):
                continue
            chosen = {"selector": "full", "fraction": "1", **kept}
        axes_of_cell = {"fraction": f"{settings.selection.fraction:g}", **chosen}
        cell = Cell(_name(chosen), axes_of_cell, tuple(f"--{name}={value}" for name, value in said.items()), settings)
        if cell.name in found and found[cell.name].settings != cell.settings:
            raise InputError("Two cells of the grid have one name", received=cell.name, expected="distinct values")
        found.setdefault(cell.name, cell)
    _check_different(list(found.values()))
    return list(found.values())


def teachers_of(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Returns the teacher of each cell that keeps a part and has --teacher=full, by that cell's name.

    It is the cell of all the data with the same seed: the cells of a seed share one.

    Raises:
      InputError: the grid keeps everything in no cell, or a cell is made otherwise than its teacher.
    """
    full: dict[int, Cell] = {}
    for cell in cells:
        if cell.settings.selection.fraction == 1:
            full.setdefault(cell.settings.run.seed, cell)
    taught = [cell for cell in cells if cell.settings.selection.fraction < 1 and _asks_for_own(cell)]
    if taught and not full:
        raise InputError(
            "--teacher=full is the grid's own cell of all the data, and it has none",
            received="--fraction=" + ",".join(dict.fromkeys(f"{cell.settings.selection.fraction:g}" for cell in cells)),
            expected="1 among them, or a run's folder as --teacher",
        )
    for cell in taught:
        ours, theirs = cell.settings, full[cell.settings.run.seed].settings
        differing = [name for name in _OF_TEACHERS if ours.get(name) != theirs.get(name)]
        if differing:
            raise InputError(
                "With --teacher=full the cells of a grid share one teacher, which is made as they are",
                received=f"--{differing[0]}={theirs.get(differing[0])},{ours.get(differing[0])}",
                expected="one value, or a study for each",
            )
    return {cell.name: full[cell.settings.run.seed] for cell in taught}


def _asks_for_own(cell: Cell) -> bool:
    return cell.settings.selection.teacher == OWN_TEACHER


def _check_different(cells: Sequence[Cell]) -> None:
    """Raises InputError if two cells are one experiment, which would count twice: --fraction=0.5,0.50."""
    known: dict[str, str] = {}
    for cell in cells:
        twin = known.setdefault(cell.settings.hash(), cell.name)
        if twin != cell.name:
            raise InputError("Two cells of the grid are one experiment", received=f"{twin} and {cell.name}")


def command_of(cells: Sequence[Sequence[str]]) -> list[str]:
    """Returns the arguments of a grid that has these cells, perhaps among others; what `cells_of` undoes.

    Args:
      cells: the arguments of each, as `Cell` has them.
    """
    values: dict[str, dict[str, None]] = {}
    for arguments in cells:
        for argument in arguments:
            name, _, value = argument.removeprefix("--").partition("=")
            values.setdefault(name, {})[value] = None
    return [f"--{name}=" + (";" if name in _OWN_COMMAS else ",").join(found) for name, found in values.items()]


def word_of(name: str, value: str) -> str:
    """Returns a value on the axis of a flag as it is named in cells and tables: itself, or the switch that it sets."""
    words = _PROTOCOLS if name == "budget_steps" else {"true": name, "false": f"no{name}"}
    return words.get(value, value)


def _parsed(said: dict[str, str]) -> Settings:
    return flags.parse(["study", *(f"--{name}={value}" for name, value in said.items())])


def _values_by_flag(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Returns the values of each flag that was said, the last time that it was; flagfiles are read."""
    try:
        words = absl_flags.FlagValues().read_flags_from_files(list(arguments), force_gnu=False)
    except absl_flags.CantOpenFlagFileError as error:
        raise InputError(
            "The flagfile cannot be read", received=str(error).rsplit(": ", 1)[-1], expected="a file of flags"
        ) from None
    found: dict[str, list[str]] = {}
    for word in words:
        match = re.fullmatch(r"--?(\w+)(?:=(.*))?", word, re.DOTALL)
        if match is None:
            raise InputError("Arguments must be flags", received=word, expected="--name=value", remedy="See --help.")
        name, value = match[1], match[2]
        if value is None:  # a switch
            name, value = (name[2:], "false") if name.startswith("no") and name not in flags.names() else (name, "true")
        parts = value.split(";" if name in _OWN_COMMAS else ",")
        found[name] = [part.strip() for part in parts]
    return found


def _name(axes: dict[str, str]) -> str:
    if axes.get("selector") == "full":
        axes = {name: value for name, value in axes.items() if name != "fraction"}
    order = sorted(axes, key=lambda name: (name == "seed", name != "selector"))
    words = [f"s{axes[name]}" if name == "seed" else word_of(name, axes[name]) for name in order]
    return re.sub(r"[^\w.,:+-]+", "_", "-".join(words)) or "only"
