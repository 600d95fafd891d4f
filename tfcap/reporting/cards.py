"""Cards in the form of Hugging Face: Markdown that says what something is, under a header that programs read."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import yaml

_COMMAND_WIDTH = 100


def card(template: str, header: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Returns a card: its header as YAML, and the template's words.

    Args:
      template: the name of a file in `templates`.
      header: plain values; what is None or empty is left out.
      facts: what the template names; one that it names and is not there is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfcap.reporting"),
        autoescape=False,  # noqa: S701  (Markdown; `cell` and `fenced` keep values in their places)
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "fenced": fenced, "times_100": times_100}
    said = {name: value for name, value in header.items() if value not in (None, "", [], {})}
    above = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=1000)
    words = re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(**facts)).strip()
    return f"---\n{above}---\n\n{words}\n"


def cell(value: Any) -> str:
    """Returns a value on one line that no table of Markdown takes for its own marks."""
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return re.sub(r"([|<>`\\])", r"\\\1", " ".join(text.split()))


def fenced(text: str) -> str:
    """Returns text as a block of code, whatever backticks it holds."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def times_100(value: float | None) -> str:
    """Returns a metric as tables for people show it."""
    return "-" if value is None else f"{100 * value:.1f}"


def command(words: Sequence[str]) -> str:
    """Returns a command for the shell, broken into lines between its arguments."""
    lines = [""]
    for word in (shlex.quote(word) for word in words):
        if lines[-1] and len(lines[-1]) + len(word) >= _COMMAND_WIDTH:
            lines.append("   ")
        lines[-1] += (" " if lines[-1] else "") + word
    return " \\\n".join(lines)
