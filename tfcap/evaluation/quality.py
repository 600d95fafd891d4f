"""Which number says how good a run is: CIDEr of its captions, or accuracy of its classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfcap.errors import InputError

CIDER, ACCURACY = "CIDEr", "accuracy"
QUALITIES = (CIDER, ACCURACY)


def quality_of(found: Mapping[str, Any]) -> str:
    """Returns the name of the one that is among the keys, such as those of metrics.json or per_image.json.

    Raises:
      InputError: none is.
    """
    for name in QUALITIES:
        if name in found:
            return name
    raise InputError("It is not said how good a run is", received=", ".join(found), expected=" or ".join(QUALITIES))
