"""Scores of generated captions with confidence intervals; imports nothing else of tfcap but its errors."""
