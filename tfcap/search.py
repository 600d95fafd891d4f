"""What a search tries: flags with a range or choices, as in learning_rate=1e-4..1e-2:log,batch_size=16..64:16."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import flags
from tfcap.chosen_selector import asked
from tfcap.errors import InputError
from tfcap.fields import plain_type
from tfcap.settings import NEUTRAL, DataSettings, EvaluationSettings, SelectionSettings, Settings

_FORMS = "flag=low..high, flag=low..high:log, flag=low..high:step or flag=a|b"
_OF_SELECTION = [field.name for field in dataclasses.fields(SelectionSettings)]
_CORNERS = 1024  # points that are tried before anything runs
_OF_DATA = "it decides the data, and scores on other data are of something else"
_UNSEEN = "validation, which decides, does not see it"
# Flags of an experiment that no search may choose, and why not; those that change no number come to this.
_REFUSED = {
    **{field.name: _OF_DATA for field in dataclasses.fields(DataSettings)},
    **dict.fromkeys(("fraction", "level"), "it decides how much is learnt from, which is what a study asks"),
    "budget_steps": "it decides how many steps are taken, which is what a study asks",
    **{field.name: _UNSEEN for field in dataclasses.fields(EvaluationSettings)},
    "track": _UNSEEN,
    "seed": "the best seed is luck",
    **dict.fromkeys(("score_batch_size", "gradient_norm_fallback"), "it decides how scores are made, and not which"),
    "validate_every": "it decides how often the score is taken of which the best counts",
    **dict.fromkeys(NEUTRAL, "it changes no score"),
}
for _name in ("image_size", "max_tokens", "min_word_count", "augment", "no_repeat_ngram"):
    del _REFUSED[_name]  # how the captioner sees the data and speaks, in validation too


@dataclasses.dataclass(frozen=True)
class Axis:
    """One flag of a search, with either a range or choices.

    Attributes:
      name: of the flag.
      low, high: both may be tried; int where the flag is.
      log: values are drawn evenly by their logarithm.
      step: between the values of a range of whole numbers.
    """

    name: str
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: int = 1
    choices: tuple[Any, ...] = ()

    @property
    def corners(self) -> tuple[Any, ...]:
        """Values with which, if they are accepted, all others probably are."""
        return self.choices or (self.low, self.high)

    def __str__(self) -> str:
        if self.choices:
            return f"{self.name}=" + "|".join(word_of(one) for one in self.choices)
        scale = ":log" if self.log else f":{self.step}" if self.step > 1 else ""
        return f"{self.name}={word_of(self.low)}..{word_of(self.high)}{scale}"


def word_of(value: Any) -> str:
    """Returns a value of a flag as it is written on a command line, none of its digits lost."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def search_of(text: str, base: Settings) -> list[Axis]:
    """Returns the axes of a search around an experiment, in the order in which they are written.

    Raises:
      InputError: it cannot be read, names a flag that cannot be searched, or an experiment that cannot be.
    """
    if not text:
        raise InputError("--search is missing", expected=_FORMS + ", joined by commas", remedy="See --help.")
    axes = [_axis(part.strip(), base) for part in text.split(",")]
    names = [axis.name for axis in axes]
    if len(set(names)) < len(names):
        raise InputError("--search names a flag twice", received=repr(text), expected="each once")
    for point in itertools.islice(itertools.product(*(axis.corners for axis in axes)), _CORNERS):
        _check(base, dict(zip(names, point, strict=True)))
    quality_of(axes, base)
    return axes


def quality_of(axes: Sequence[Axis], base: Settings) -> str:
    """Returns the name of what says how good each trial of a search around an experiment is.

    Raises:
      InputError: it is not the same of all.
    """
    models = next((axis.choices for axis in axes if axis.name == "model"), (base.model.model,))
    names = {base.replace(model=model).quality for model in models}
    if len(names) > 1:
        raise InputError(
            "Captioners and classifiers are not compared with each other",
            received="model=" + "|".join(models),
            expected="captioners, or a classifier alone",
        )
    return names.pop()


def _check(base: Settings, point: Mapping[str, Any]) -> None:
    try:
        settings = base.replace(**point).resolve()
        if any(name in _OF_SELECTION for name in point):
            _check_selection(settings, point)
    except InputError as error:
        words = " ".join(f"--{name}={word_of(value)}" for name, value in point.items())
        raise InputError(f"--search has an experiment that cannot be, {words}: {error}") from None


def _check_selection(settings: Settings, point: Mapping[str, Any]) -> None:
    """Raises InputError for a flag of selection that changes nothing of what is kept."""
    from tfcap.scoring_plan import ScoringPlan  # TensorFlow is imported only when it is needed

    used = ScoringPlan(settings).used()
    for name in point:
        if name in _OF_SELECTION and name not in used:
            raise InputError(
                f"--{name} would have no effect",
                received=f"{asked(settings.selection)} --fraction={settings.selection.fraction:g}",
                expected="a selector that goes by it, and a part of the data",
            )


def _axis(part: str, base: Settings) -> Axis:
    name, equals, values = (word.strip() for word in part.partition("="))
    if not (name and equals and values):
        raise InputError("--search cannot be read", received=repr(part), expected=_FORMS)
    if name not in flags.names():
        raise InputError("--search names no flag of an experiment", received=repr(name), remedy="See --help.")
    if name in _REFUSED:
        raise InputError(f"--search cannot choose --{name}: {_REFUSED[name]}", received=repr(part))
    kind = _kind(name, base)
    is_number = kind in (int, float)
    if is_number and ".." in values:
        return _range(name, kind, values, part)
    choices = tuple(_value(name, kind, word.strip(), part) for word in values.split("|"))
    if len(choices) < 2 or len(set(choices)) < len(choices):
        expected = _FORMS if is_number else f"{name}=a|b, since --{name} is no number"
        raise InputError("--search needs two or more choices", received=repr(part), expected=expected)
    for one in choices:
        base.replace(**{name: one})
    return Axis(name, choices=choices)


def _range(name: str, kind: type, values: str, part: str) -> Axis:
    span, _, scale = (word.strip() for word in values.partition(":"))
    words: Sequence[str] = [word.strip() for word in span.split("..")]
    has_step = kind is int and scale.isdecimal() and int(scale) > 0
    if len(words) != 2 or (":" in values and scale != "log" and not has_step):
        raise InputError("--search cannot be read", received=repr(part), expected=_FORMS)
    low, high = (_value(name, kind, word, part) for word in words)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError("--search has a range that is none", received=repr(part), expected="low below high")
    if scale == "log" and low <= 0:
        raise InputError("--search has no logarithm below or at 0", received=repr(part), expected="low above 0")
    step = int(scale) if has_step else 1
    if kind is int and (high - low) % step:
        raise InputError("--search has a step past the range's end", received=repr(part), expected="low + n*step")
    return Axis(name, low, high, scale == "log", step)


def _value(name: str, kind: type, word: str, part: str) -> Any:
    try:
        return {"true": True, "false": False}[word.lower()] if kind is bool else kind(word)
    except (ValueError, KeyError):
        expected = "true or false" if kind is bool else {int: "whole numbers", float: "numbers"}[kind]
        raise InputError(
            f"--search has a value that --{name} cannot be", received=repr(part), expected=expected
        ) from None


def _kind(name: str, base: Settings) -> type:
    for group in dataclasses.fields(base):
        of_group = type(getattr(base, group.name))
        for field in dataclasses.fields(of_group):
            if field.name == name:
                return plain_type(field, of_group)
    raise KeyError(name)
