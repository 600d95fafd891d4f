"""What settings are made of: fields with a type and a range, in groups that check them."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Sequence
from typing import Any

from tfcap import registry
from tfcap.errors import InputError


@dataclasses.dataclass(frozen=True)
class Range:
    """What a field accepts, in words a flag's help can show and in a check."""

    low: float | None = None
    high: float | None = None
    choices: Sequence[str] | registry.Registry | None = None
    open_low: bool = False
    unit: str = ""
    several: bool = False

    def __str__(self) -> str:
        if self.choices is not None and self.several:
            return "none or some of " + ", ".join(self.choices) + ", joined by commas"
        if self.choices is not None:
            return "one of " + ", ".join(self.choices)
        words = f" {self.unit}" if self.unit else ""
        if self.low is None:
            return self.unit
        if self.high is None:
            return f"{'above' if self.open_low else 'at least'} {self.low:g}{words}"
        return f"in {'(' if self.open_low else '['}{self.low:g}, {self.high:g}]{words}"

    def check(self, name: str, value: Any) -> None:
        """Raises InputError naming the field `name` if `value` lies outside."""
        if isinstance(self.choices, registry.Registry):
            names = several(value) if self.several else [value]
            for one in names:
                self.choices.check(one)
            if len(set(names)) < len(names):
                raise InputError(f"--{name} names one twice", received=repr(value), expected=self)
        elif self.choices is not None and value not in self.choices:
            raise InputError(f"Unknown --{name}", received=repr(value), expected=self)
        if self.low is not None:
            too_low = value <= self.low if self.open_low else value < self.low
            if not (value == value) or too_low or (self.high is not None and value > self.high):
                raise InputError(f"--{name} is out of range", received=value, expected=self)


def several(names: str) -> list[str]:
    """Returns the names that are joined by commas; none for an empty text."""
    return [name.strip() for name in names.split(",")] if names else []


def field(default: Any, **range_words: Any) -> Any:
    """Returns a dataclass field whose range has these words, those of `Range`."""
    return dataclasses.field(default=default, metadata={"range": Range(**range_words)})


def plain_type(field: dataclasses.Field[Any], group: type) -> type:
    """Returns the type of a field: str, int, float or bool."""
    return _types(group)[field.name]


@functools.cache  # reading annotations is slow, and a grid makes thousands of settings
def _types(group: type) -> dict[str, type]:
    return typing.get_type_hints(group)


class Group:
    """Checks every field's type and range when an instance is made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            expected = plain_type(field, type(self))
            if expected is float and type(value) is int:
                value = float(value)
                object.__setattr__(self, field.name, value)
            if type(value) is not expected:
                raise InputError(f"--{field.name} has the wrong type", received=repr(value), expected=expected.__name__)
            field.metadata["range"].check(field.name, value)
