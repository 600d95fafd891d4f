"""Selectors: pure functions from signals to an order of examples. They neither train nor read files."""

from tfcap.selection.selector import EMBEDDING, LABELS, SKETCHES, Selector, Signals, budget_of

__all__ = ["EMBEDDING", "LABELS", "SKETCHES", "Selector", "Signals", "budget_of"]
