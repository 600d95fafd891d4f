"""The selector that the settings ask for, and whether its signals can be had."""

from __future__ import annotations

import inspect
import math
from typing import Any

from tfcap import registry
from tfcap.effects import CLASSIFIER
from tfcap.errors import InputError
from tfcap.selection import EMBEDDING, LABELS, Selector
from tfcap.selection.class_balanced import ClassBalanced
from tfcap.settings import SelectionSettings, Settings

# What selectors call the flags that are their options; of those in _BY_ITSELF 0 leaves it to the selector.
_OPTIONS = {
    "selection_score": "score",
    **{name: name for name in ("noise_cut", "strata", "clusters", "neighbours")},
}
_BY_ITSELF = ("clusters", "neighbours")


def chosen_selector(settings: Settings) -> Selector:
    """Returns the selector that resolved settings ask for.

    Raises:
      InputError: the mixture cannot be read, or a signal that the selector needs cannot be computed.
    """
    selector = made_selector(settings.selection)
    _check_signals(selector, settings)
    return selector


def made_selector(selection: SelectionSettings) -> Selector:
    """Returns the selector with its options, whether its signals can be had or not; raises InputError for a mixture."""
    values = {flag: getattr(selection, flag) for flag in _OPTIONS}
    options: dict[str, Any] = {
        _OPTIONS[flag]: value for flag, value in values.items() if value or flag not in _BY_ITSELF
    }
    if selection.selector == "mixed":
        options["parts"] = tuple((_made(name, options), share) for name, share in _shares(selection.mixture))
    selector = _made(selection.selector, options)
    if selection.class_balanced:
        selector = ClassBalanced(selector)
    return selector


def used_by_selector(selection: SelectionSettings) -> set[str]:
    """Returns which flags are options of the selector, or of one that it is mixed of; raises as `made_selector`."""
    mixed = selection.selector == "mixed"
    names = [name for name, _ in _shares(selection.mixture)] if mixed else [selection.selector]
    known = {option for name in names for option in inspect.signature(registry.SELECTORS[name]).parameters}
    return {flag for flag, option in _OPTIONS.items() if option in known} | ({"mixture"} if mixed else set())


def _made(name: str, options: dict[str, Any]) -> Selector:
    """Returns the registered selector with those of the options that it has."""
    make = registry.SELECTORS[name]
    known = inspect.signature(make).parameters
    return make(**{option: value for option, value in options.items() if option in known})


def _shares(mixture: str) -> list[tuple[str, float]]:
    """Returns the selectors of a mixture such as "loss:0.5,random:0.5" with their shares."""
    found = []
    for part in mixture.split(","):
        name, _, share = part.strip().partition(":")
        try:
            found.append((registry.SELECTORS.check(name), float(share)))
        except ValueError:  # InputError is one
            found.append((name, math.nan))
    names = [name for name, _ in found]
    if not all(0 < share < math.inf for _, share in found) or "mixed" in names or len(set(names)) < len(names):
        others = ", ".join(name for name in registry.SELECTORS if name != "mixed")
        raise InputError(
            "--mixture cannot be read",
            received=repr(mixture),
            expected=f"selector:share,... with shares above 0 and selectors, each once, among {others}",
        )
    return found


def _check_signals(selector: Selector, settings: Settings) -> None:
    for need in selector.needs:
        if need == LABELS and settings.model.model != CLASSIFIER:
            raise InputError(
                "Captions are of no class",
                received=f"{asked(settings.selection)} --model={settings.model.model}",
                expected=f"--model={CLASSIFIER}, or a selector that does without",
            )
        if need == EMBEDDING and settings.selection.level == "pair":
            raise InputError(
                "Embeddings of images cannot tell an image's captions apart",
                received=f"{asked(settings.selection)} --level=pair",
                expected="a selector by a score, random or influence, or --level=image",
            )


def asked(selection: SelectionSettings) -> str:
    """Returns the flags that name the selector, for an error."""
    mixture = f" --mixture={selection.mixture}" if selection.selector == "mixed" else ""
    return f"--selector={selection.selector}{mixture}" + (" --class_balanced" if selection.class_balanced else "")
