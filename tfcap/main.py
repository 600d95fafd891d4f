"""Runs one experiment: build the data set, score, select, train, evaluate, export.

    python -m tfcap.main --selector=random --fraction=0.75

With nothing else said it runs on the embedded data set `scenes`. Flags:
"""

from __future__ import annotations

import flags
from tfcap.settings import Settings


def main(settings: Settings) -> None:
    """Runs the experiment and prints what it found and where it lies."""
    from tfcap.experiment import run  # TensorFlow is imported only when it is needed

    print(run(settings).summary())


if __name__ == "__main__":
    flags.launch(main, usage=__doc__ or "")
