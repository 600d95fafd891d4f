"""Score files: one float per example, beside what they are scores of. One scoring pass serves every fraction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcap.data.record_index import Examples
from tfcap.errors import InputError
from tfcap.files import atomic_file, read_json, remove_partials, write_json


def save(folder: Path, name: str, scores: np.ndarray) -> None:
    """Writes scores as float32 to `name`.npy, which nobody reads until they are described."""
    with atomic_file(folder / f"{name}.npy") as path:
        np.save(path, scores.astype(np.float32), allow_pickle=False)
    remove_partials(folder)


def describe(folder: Path, name: str, examples: Examples, about: Mapping[str, Any]) -> None:
    """Writes `name`.json beside `name`.npy; only then is the score complete."""
    write_json(folder / f"{name}.json", {"score": name, "fingerprint": examples.fingerprint, **about})


def read(folder: Path, name: str) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Returns what `load` does, whatever data the scores are of; raises InputError if they are damaged."""
    if not (folder / f"{name}.json").exists():
        return None
    about = read_json(folder / f"{name}.json")
    path = folder / f"{name}.npy"
    try:
        scores = np.load(path, mmap_mode="r", allow_pickle=False)
        return scores if scores.ndim > 1 else np.array(scores), about
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"The score file {path} is damaged ({error})", remedy=f"Delete {path.stem}.json and run again."
        ) from None


def load(
    folder: Path, name: str, examples: Examples, choices: Mapping[str, Any] | None = None, axis: int = 0
) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Returns the scores in the examples' order, and what is said of them; None without any.

    Scores are an array [N]; sketches, embeddings and what was tracked are memory-mapped, [N, ...].

    Args:
      choices: what must be said of them, by the names of flags; a file from before a flag was there says nothing of it.
      axis: along which the examples lie; 1 for what was tracked in each epoch, [epochs, N].

    Raises:
      InputError: they are damaged, scores of other data, or made by other choices.
    """
    found = read(folder, name)
    if found is None:
        return None
    (scores, about), path = found, folder / f"{name}.npy"
    if about["fingerprint"] != examples.fingerprint or scores.shape[axis : axis + 1] != (len(examples),):
        raise InputError(
            f"The scores {path} were made for other data",
            received=f"fingerprint {examples.fingerprint[:12]}",
            expected=f"fingerprint {about['fingerprint'][:12]}",
            remedy="Score again on this data set.",
        )
    for choice, wanted in (choices or {}).items():
        if about.get(choice, wanted) != wanted:
            raise InputError(
                f"The scores {path} were made otherwise",
                received=f"--{choice}={wanted}",
                expected=f"--{choice}={about[choice]}",
                remedy=f"Delete {path.stem}.json and run again, or choose another --run_dir.",
            )
    return scores, about
