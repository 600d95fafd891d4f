"""Which packages are there, of those that do not come with the product."""

from __future__ import annotations

import importlib.util


def is_installed(package: str) -> bool:
    """Returns whether a package can be imported; a mere folder of its name, such as wandb's own files, is none."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None
