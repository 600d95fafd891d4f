"""Inspect: a figure of a run's scores."""

HELP = {"out": "Where the figure is written."}
