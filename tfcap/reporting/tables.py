"""The tables a terminal shows: plain text, aligned, within 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tfcap.reporting.quality import ACCURACY

WIDTH = 80
ABSENT = "-"


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """Returns the table of one run: every metric times 100 with its 95 % interval, classes, then what the run cost.

    Args:
        metrics: what metrics.json holds. A metric is a key whose value is `{"value", "low", "high"}`, or None
            beside `<metric>_missing`, the reason; `per_class` has one of each class, by name. What a run did not
            measure may be absent or None.
    """
    rows = [("metric", "%" if ACCURACY.name in metrics else "x 100", "95 % interval")]
    rows += [(name, *_times_100(metrics[name])) for name in metrics if _is_metric(name, metrics)]
    reasons = [_reason(name, metrics) for name in metrics if metrics[name] is None and f"{name}_missing" in metrics]
    lines = aligned(rows, "<><") + [line for reason in reasons for line in reason]
    lines += _by_class(metrics.get("per_class", {}))
    costs = _costs(metrics)
    if costs:
        lines += ["", *aligned(costs, "<<")]
    return "\n".join(lines)


def _is_metric(name: str, metrics: Mapping[str, Any]) -> bool:
    value = metrics[name]
    return f"{name}_missing" in metrics if value is None else isinstance(value, Mapping) and "value" in value


def _times_100(metric: Mapping[str, float | None] | None) -> tuple[str, str]:
    """Returns the value and the interval in words."""
    if metric is None or metric["value"] is None:
        return ABSENT, ""
    low, high = metric.get("low"), metric.get("high")
    interval = "" if low is None or high is None else f"[{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * metric['value']:.1f}", interval


def _by_class(metrics: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Returns the value of each class, without its interval, in few lines."""
    words = ", ".join(f"{name} {_times_100(metric)[0]}" for name, metric in metrics.items())
    return ["", *textwrap.wrap(f"by class: {words}", WIDTH, subsequent_indent="  ")] if metrics else []


def _reason(name: str, metrics: Mapping[str, Any]) -> list[str]:
    words = " ".join(str(metrics[f"{name}_missing"]).split())
    if not words.startswith(name):
        words = f"{name}: {words}"
    return textwrap.wrap(words, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")


def _costs(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns (what, how much) of the images kept, the time and the tokenizer, as far as the run knows them."""
    rows = []
    kept, total = metrics.get("examples_kept"), metrics.get("examples_total")
    if kept is not None and total:
        rows.append((f"{metrics.get('level', 'image')}s kept", f"{kept:,} of {total:,} ({100 * kept / total:.1f} %)"))
    rows += _noise(metrics)
    if metrics.get("parameters"):
        rows.append(("weights trained", parameters_in_words(metrics["parameters_trained"], metrics["parameters"])))
    for name, key in (("training", "train_seconds"), ("scoring", "scoring_seconds")):
        if metrics.get(key) is not None:
            rows.append((name, _minutes(metrics[key])))
    speeds = [
        f"{metrics[key]:,.1f} {unit}"
        for key, unit in (("images_per_second", "images/s"), ("steps_per_second", "steps/s"))
        if metrics.get(key) is not None
    ]
    if speeds:
        rows.append(("speed", ", ".join(speeds)))
    if metrics.get("tokenizer") and ACCURACY.name not in metrics:  # classes are one word
        rows.append(("tokenizer", str(metrics["tokenizer"])))
    return rows


def parameters_in_words(trained: int, total: int) -> str:
    """Returns how many of a captioner's weights train."""
    if trained == total:
        return f"all {total:,} weights"
    return f"{trained:,} of {total:,} weights"


def _noise(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what selection did with captions that are known to be wrong."""
    if metrics.get("noise_rate_kept") is None:
        return []
    words = f"{100 * metrics['noise_rate_kept']:.1f} % of the kept, {100 * metrics['noise_rate']:.1f} % of all"
    if metrics.get("noise_precision_top_5_percent") is not None:
        words += f", {100 * metrics['noise_precision_top_5_percent']:.0f} % of the 5 % with the highest score"
    return [("wrong captions", words)]


def _minutes(seconds: float) -> str:
    minutes = seconds / 60
    if minutes >= 1 or seconds == 0:
        return f"{minutes:,.1f} min"
    return f"{minutes:.2f} min" if minutes >= 0.005 else "< 0.01 min"


def aligned(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    """Returns one line a row; `alignment` has a `<` or `>` for each column."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, alignment, widths, strict=True)).rstrip()
        for row in rows
    ]
