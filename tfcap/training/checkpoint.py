"""Checkpoints that a kill cannot spoil: a folder a step, synced and renamed, then a pointer to it.

A folder holds `state.safetensors` (the trainable parameters, the moving statistics of batch normalisation and the
optimizer's variables), `state.json` (where training is) and, where training tracks signals, `dynamics.safetensors`
(what it tracked so far, the running epoch included). Frozen weights are not stored: the run names where they come from.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors.numpy import load_file, save_file

from tfcap.errors import InputError
from tfcap.files import atomic_folder, file_hash, read_json, remove_partials, write_json, write_text
from tfcap.models.batch_norm import moving_statistics

LATEST, BEST = "LATEST", "BEST"


def _named(model: keras.Model, optimizer: keras.Optimizer | None) -> dict[str, keras.Variable]:
    changed = [*model.trainable_variables, *moving_statistics(model)]
    named = {f"model/{variable.path}": variable for variable in changed}
    if len(named) != len(changed):
        raise ValueError("Two variables that training changes share a path.")
    if optimizer is not None:
        named |= {f"optimizer/{index:04d}": variable for index, variable in enumerate(optimizer.variables)}
    return named


def save(
    folder: Path,
    model: keras.Model,
    optimizer: keras.Optimizer,
    state: dict[str, Any],
    *,
    best: bool,
    writes: bool,
    dynamics: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Saves step `state["step"]` under `folder`, points LATEST (and BEST) to it and deletes what no pointer names.

    All workers call it, since reading a variable may need them all; only one with `writes` writes.
    """
    arrays = {name: np.array(variable.numpy(), order="C") for name, variable in _named(model, optimizer).items()}
    if not writes:
        return
    name = f"step-{state['step']:08d}"
    with atomic_folder(folder / name) as target:
        save_file(arrays, target / "state.safetensors")
        if dynamics:
            save_file(dict(dynamics), target / "dynamics.safetensors")
        write_json(target / "state.json", state)
    if best:  # first, because what LATEST names is not done again: a kill between the two must not lose the best
        write_text(folder / BEST, name)
    write_text(folder / LATEST, name)
    tidy(folder)


def after(epoch: int) -> str:
    """Returns the name of the pointer to the checkpoint after an epoch."""
    return f"EPOCH-{epoch}"


def keep(folder: Path, epoch: int) -> None:
    """Points to the latest checkpoint as the one after `epoch`, so that none after it takes its place.

    Raises:
      RuntimeError: it is of another moment.
    """
    if (folder / after(epoch)).exists():
        return
    latest = find(folder)
    state = read_json(latest / "state.json") if latest else {}
    if latest is None or (state["epoch"], state["step_in_epoch"]) != (epoch, 0):
        raise RuntimeError(f"The latest checkpoint in {folder} is not that after epoch {epoch}")
    write_text(folder / after(epoch), latest.name)


def tidy(folder: Path) -> None:
    """Deletes the checkpoints that no pointer names, and what killed saves left."""
    pointers = [folder / LATEST, folder / BEST, *folder.glob("EPOCH-*")]
    pointed = {pointer.read_text() for pointer in pointers if pointer.exists()}
    for path in folder.glob("step-*"):
        if path.name not in pointed:
            shutil.rmtree(path, ignore_errors=True)
    remove_partials(folder)


def find(folder: Path, pointer: str = LATEST) -> Path | None:
    """Returns the checkpoint that a pointer names, or None where there is none."""
    try:
        path = folder / (folder / pointer).read_text().strip()
    except FileNotFoundError:
        return None
    if not (path / "state.json").exists():
        raise InputError(
            f"The pointer {folder / pointer} names a checkpoint that is gone",
            received=path.name,
            remedy="Run with --noresume.",
        )
    return path


def restore(path: Path, model: keras.Model, optimizer: keras.Optimizer | None = None) -> dict[str, Any]:
    """Sets the variables from a checkpoint and returns its state; names and shapes must fit exactly."""
    arrays = _load(path, "state.safetensors")
    named = _named(model, optimizer)
    wanted = {name: tuple(variable.shape) for name, variable in named.items()}
    stored = {name: array.shape for name, array in arrays.items() if optimizer is not None or name.startswith("model/")}
    _check_same(path, stored, wanted)
    for name, variable in named.items():
        variable.assign(arrays[name])
    return read_json(path / "state.json")


def restore_dynamics(path: Path, wanted: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what was tracked up to a checkpoint; raises InputError unless names and shapes are those of `wanted`."""
    arrays = _load(path, "dynamics.safetensors") if (path / "dynamics.safetensors").exists() else {}
    stored, shapes = ({name: array.shape for name, array in found.items()} for found in (arrays, wanted))
    _check_same(path, stored, shapes, "training")
    return {name: np.array(arrays[name]) for name in wanted}


def _load(path: Path, name: str) -> dict[str, np.ndarray]:
    try:
        return load_file(path / name)
    except Exception as error:  # noqa: BLE001 - safetensors raises its own class, which it does not export
        raise InputError(
            f"The checkpoint {path} is damaged ({str(error)[:120]})", remedy="Run with --noresume."
        ) from None


def _check_same(
    path: Path, stored: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]], kind: str = "model"
) -> None:
    def names(found: Sequence[str]) -> str:
        return ", ".join(sorted(found)[:3]) or "none"

    differing = [name for name in wanted.keys() & stored.keys() if wanted[name] != stored[name]]
    missing, left_over = list(wanted.keys() - stored.keys()), list(stored.keys() - wanted.keys())
    if differing or missing or left_over:
        raise InputError(
            f"The checkpoint {path} is of another {kind}: missing {names(missing)}; left over {names(left_over)};"
            f" of another shape {names(differing)}"
        )


def epoch(path: Path) -> int:
    """Returns how many epochs a checkpoint's training had done."""
    return read_json(path / "state.json")["epoch"]


def identity(path: Path) -> str:
    """Returns the SHA-256 (hex) of a checkpoint's parameters file."""
    return file_hash(path / "state.safetensors")
