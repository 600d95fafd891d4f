"""Every command-line flag: made from the fields of tfcap.settings, worded here, read in one place.

A group's module holds the help texts; name, type, default and range come from the settings, so that
a notebook and the command line cannot disagree.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import flags as absl_flags

from tfcap.errors import InputError, TrainingDiverged
from tfcap.settings import Settings, plain_type

GROUPS = ("data", "selection", "model", "training", "evaluation", "run")


def define(groups: Sequence[str], values: absl_flags.FlagValues) -> None:
    """Defines one flag per field of the settings groups; every default is None, so that `given` shows what was said."""
    for group in groups:
        words = importlib.import_module(f"flags.{group}").HELP
        settings_group = type(getattr(Settings(), group))
        for field in dataclasses.fields(settings_group):
            kind = plain_type(field, settings_group)
            text = " ".join([words[field.name], _range_and_default(field)])
            if kind is bool:
                absl_flags.DEFINE_bool(field.name, None, text, flag_values=values)
            elif kind is int:
                absl_flags.DEFINE_integer(field.name, None, text, flag_values=values)
            elif kind is float:
                absl_flags.DEFINE_float(field.name, None, text, flag_values=values)
            else:
                absl_flags.DEFINE_string(field.name, None, text, flag_values=values)


def _range_and_default(field: dataclasses.Field[object]) -> str:
    accepted = str(field.metadata["range"])
    default = "by data set and encoder" if field.default is None else repr(field.default)
    return f"({accepted}; default: {default})" if accepted else f"(default: {default})"


def parse(argv: Sequence[str], groups: Sequence[str] = GROUPS, usage: str = "") -> Settings:
    """Returns the settings that the command line `argv` (program name first) asks for.

    Raises:
      InputError: for an unknown flag, a value of the wrong type or range, a missing flagfile or a stray argument.
      SystemExit: code 0, after printing the help, when `--help` is among the arguments.
    """
    values = absl_flags.FlagValues()
    define(groups, values)
    absl_flags.DEFINE_string("flagfile", "", "File of flags, one a line, '#' for comments.", flag_values=values)
    if any(word in ("-h", "-help", "--help", "--helpfull") for word in argv[1:]):
        print(help_text(values, groups, usage))
        raise SystemExit(0)
    try:
        stray = values(list(argv))[1:]
    except absl_flags.CantOpenFlagFileError as error:
        raise InputError(
            "The flagfile cannot be read", received=str(error).rsplit(": ", 1)[-1], expected="a file of flags"
        ) from None
    except (absl_flags.Error, OSError) as error:
        raise InputError(str(error).replace("\n", " "), remedy="See --help.") from None
    if stray:
        raise InputError(
            "Arguments must be flags", received=" ".join(stray), expected="--name=value", remedy="See --help."
        )
    said = {name: values[name].value for group in groups for name in _names(group) if values[name].present}
    return Settings().replace(**said)


def _names(group: str) -> list[str]:
    return [field.name for field in dataclasses.fields(getattr(Settings(), group))]


def help_text(values: absl_flags.FlagValues, groups: Sequence[str], usage: str) -> str:
    """Returns the help page: usage, then the flags group by group."""
    pages = [usage.strip()]
    for group in groups:
        title = (importlib.import_module(f"flags.{group}").__doc__ or group).strip().splitlines()[0]
        pages.append(f"\n{title}")
        for name in _names(group):
            flag = values[name]
            shown = f"--[no]{name}" if flag.boolean else f"--{name}=..."
            pages.append(f"  {shown}")
            pages.extend(textwrap.wrap(flag.help or "", 96, initial_indent="      ", subsequent_indent="      "))
    pages.append("\n  --flagfile=...\n      File of flags, one a line, '#' for comments; see flags/presets/.")
    return "\n".join(pages)


def launch(main: Callable[[Settings], None], groups: Sequence[str] = GROUPS, usage: str = "") -> NoReturn:
    """Parses sys.argv, calls `main(settings)` and exits: 0 done, 2 user's mistake (one line), 1 diverged training."""
    try:
        main(parse(sys.argv, groups, usage))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except TrainingDiverged as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues from the last checkpoint", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(0)
