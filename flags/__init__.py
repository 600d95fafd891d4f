"""Every command-line flag: made from the fields of tfcap.settings, worded here, read in one place.

A group's module holds the help texts; name, type, default and range come from the settings, so that
a notebook and the command line cannot disagree.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

from absl import flags as absl_flags

from tfcap.command_settings import (
    ConvertSettings,
    DistillSettings,
    EvaluateSettings,
    InspectSettings,
    ReportSettings,
    ScoreSettings,
    SelectSettings,
    StudySettings,
    TuneSettings,
)
from tfcap.errors import CellsFailed, InputError, TrainingDiverged
from tfcap.fields import plain_type
from tfcap.settings import Settings

GROUPS = ("data", "selection", "model", "training", "evaluation", "run")  # of an experiment
_COMMANDS: dict[str, type] = {
    "score": ScoreSettings,
    "select": SelectSettings,
    "convert": ConvertSettings,
    "distill": DistillSettings,
    "evaluate": EvaluateSettings,
    "inspect": InspectSettings,
    "report": ReportSettings,
    "study": StudySettings,
    "tune": TuneSettings,
}


def _class_of(group: str) -> type:
    return _COMMANDS.get(group) or type(getattr(Settings(), group))


def names() -> set[str]:
    """Returns the names of all flags of an experiment."""
    return {field.name for group in GROUPS for field in dataclasses.fields(_class_of(group))}


def _offered(groups: Sequence[str], of_run: Collection[str]) -> dict[str, list[dataclasses.Field[Any]]]:
    """Returns the fields of each group that a command offers: whole groups, then those named of the others."""
    found = {group: list(dataclasses.fields(_class_of(group))) for group in groups}
    for group in GROUPS:
        named = [field for field in dataclasses.fields(_class_of(group)) if field.name in of_run]
        if named and group not in found:
            found[group] = named
    return found


def _define(offered: Mapping[str, list[dataclasses.Field[Any]]], of_run: Collection[str]) -> absl_flags.FlagValues:
    """Returns one flag per field; every default is None, so that `present` shows what was said."""
    values = absl_flags.FlagValues()
    for group, fields in offered.items():
        words = importlib.import_module(f"flags.{group}").HELP
        for field in fields:
            kind = plain_type(field, _class_of(group))
            text = " ".join([words[field.name], _range_and_default(field, field.name in of_run)])
            if kind is bool:
                absl_flags.DEFINE_bool(field.name, None, text, flag_values=values)
            elif kind is int:
                absl_flags.DEFINE_integer(field.name, None, text, flag_values=values)
            elif kind is float:
                absl_flags.DEFINE_float(field.name, None, text, flag_values=values)
            else:
                absl_flags.DEFINE_string(field.name, None, text, flag_values=values)
    absl_flags.DEFINE_string("flagfile", "", "File of flags, one a line, '#' for comments.", flag_values=values)
    return values


def _range_and_default(field: dataclasses.Field[Any], of_run: bool) -> str:
    accepted = str(field.metadata["range"])
    default = "by data set, captioner and encoder" if field.default is None else repr(field.default)
    default = "as in the run" if of_run else default
    return f"({accepted}; default: {default})" if accepted else f"(default: {default})"


def parse(argv: Sequence[str], groups: Sequence[str] = GROUPS, usage: str = "") -> Settings:
    """Returns the settings that the command line `argv` (program name first) asks for.

    Raises:
      InputError: for an unknown flag, a value of the wrong type or range, a missing flagfile or a stray argument.
      SystemExit: code 0, after printing the help, when `--help` is among the arguments.
    """
    return Settings().replace(**parse_said(argv, groups, usage))


def parse_said(
    argv: Sequence[str],
    groups: Sequence[str],
    usage: str,
    of_run: Collection[str] = (),
    argument: str = "",
    several: bool = False,
    also: Collection[str] = (),
) -> dict[str, Any]:
    """Returns the flags that were said, by name; raises as `parse` does.

    Args:
      of_run: flags of other groups that the command offers too; not said, they are as in the run that it reads.
      also: flags of other groups that the command offers too, with their own defaults.
      argument: what the one argument without a name is, returned under this name; "" where there must be none.
      several: there may be more than one of these, and they are returned as a list.
    """
    offered = _offered(groups, [*of_run, *also])
    values = _define(offered, of_run)
    if any(word in ("-h", "-help", "--help", "--helpfull") for word in argv[1:]):
        print(_help_text(values, offered, usage))
        raise SystemExit(0)
    try:
        stray = values(list(argv))[1:]
    except absl_flags.CantOpenFlagFileError as error:
        raise InputError(
            "The flagfile cannot be read", received=str(error).rsplit(": ", 1)[-1], expected="a file of flags"
        ) from None
    except (absl_flags.Error, OSError) as error:
        raise InputError(str(error).replace("\n", " "), remedy="See --help.") from None
    if argument and (not stray if several else len(stray) != 1):
        raise InputError(f"One {argument} must be named", received=" ".join(stray) or "none", remedy="See --help.")
    if stray and not argument:
        raise InputError(
            "Arguments must be flags", received=" ".join(stray), expected="--name=value", remedy="See --help."
        )
    names = [field.name for fields in offered.values() for field in fields]
    said = {name: values[name].value for name in names if values[name].present}
    said = _with_folder(said)
    return {**said, argument: stray if several else stray[0]} if argument else said


def _with_folder(said: dict[str, Any]) -> dict[str, Any]:
    """Returns what was said with --dataset=distilled:DIR as the settings have it, the folder as its source."""
    dataset, colon, folder = str(said.get("dataset", "")).partition(":")
    if dataset != "distilled" or not colon:
        return said
    if "source" in said:
        raise InputError(
            "A distilled set is its own source",
            received=f"--dataset={said['dataset']} --source={said['source']}",
            expected="--dataset=distilled:DIR alone",
        )
    return {**said, "dataset": dataset, "source": folder}


def _help_text(values: absl_flags.FlagValues, offered: Mapping[str, list[dataclasses.Field[Any]]], usage: str) -> str:
    """Returns the help page: usage, then the flags group by group."""
    pages = [usage.strip()]
    for group, fields in offered.items():
        title = (importlib.import_module(f"flags.{group}").__doc__ or group).strip().splitlines()[0]
        pages.append(f"\n{title}")
        for field in fields:
            flag = values[field.name]
            pages.append(f"  --[no]{field.name}" if flag.boolean else f"  --{field.name}=...")
            pages.extend(textwrap.wrap(flag.help or "", 96, initial_indent="      ", subsequent_indent="      "))
    pages.append("\n  --flagfile=...\n      File of flags, one a line, '#' for comments; see flags/presets/.")
    return "\n".join(pages)


def launch(main: Callable[[Settings], None], groups: Sequence[str] = GROUPS, usage: str = "") -> NoReturn:
    """Parses sys.argv, calls `main(settings)` and exits as `exit_after` does."""
    exit_after(
        lambda: main(parse(sys.argv, groups, usage)), "interrupted; the same command continues from the last checkpoint"
    )


def exit_after(action: Callable[[], None], interrupted: str = "interrupted") -> NoReturn:
    """Calls `action` and exits: 0 done, 2 user's mistake (one line), 1 diverged training, 130 interrupted."""
    try:
        action()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (TrainingDiverged, CellsFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(0)
