"""Selectors: pure functions from signals to an order of examples. They neither train nor read files."""

from tfcap.selection.selector import Selector, Signals, budget_of

__all__ = ["Selector", "Signals", "budget_of"]
