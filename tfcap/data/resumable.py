"""One pass over a split that fills an array row by row, and that a kill costs at most ten seconds of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from tfcap.data.pipeline import Batch
from tfcap.files import read_json, remove_partials, write_json
from tfcap.progress import progress_bar

_SAVE_SECONDS = 10.0


class Batches(Protocol):
    """What a pass goes over, in an order that a later one repeats.

    Attributes:
      positions: of all examples, in that order.
      blocks: those of each batch.
      unit: what an example is called.
    """

    batch_size: int
    unit: str

    @property
    def positions(self) -> np.ndarray: ...

    @property
    def blocks(self) -> Sequence[np.ndarray]: ...

    def __len__(self) -> int: ...

    def start(self, first_block: int) -> Iterator[Batch]: ...


def fill(
    folder: Path,
    name: str,
    batches: Batches,
    compute: Callable[[Batch], np.ndarray],
    *,
    progress: bool = True,
    writes: bool = True,
) -> tuple[Path, float]:
    """Writes `folder/name.npy`, [N, ...] in record order, and returns its path and the seconds it took in all.

    The array grows under the name of a partial file; a later call with batches of the same size continues it.

    Args:
      batches: over all N records, in any order that a later call repeats.
      compute: a batch of B -> an array [B, ...].
      progress: shows a bar.
      writes: False in workers other than the chief, which compute and write nothing.
    """
    partial, journal, path = folder / f".{name}.partial.npy", folder / f".{name}.partial.json", folder / f"{name}.npy"
    said = read_json(journal) if journal.exists() and partial.exists() else {}
    resumes = said.get("batch_size") == batches.batch_size and said.get("records") == len(batches.positions)
    done, seconds = (said["batches"], said["seconds"]) if resumes else (0, 0.0)
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    array = np.lib.format.open_memmap(partial, mode="r+") if done and writes else None
    began = saved = time.perf_counter()
    total = len(batches.positions)
    with progress_bar(total, name, batches.unit, shown=progress, done=min(done * batches.batch_size, total)) as bar:
        for index, batch in enumerate(batches.start(done), start=done):
            rows = batches.blocks[index]
            values = compute(batch)[: len(rows)]
            bar.update(len(rows))
            if not writes:
                continue
            if array is None:
                array = np.lib.format.open_memmap(
                    partial, "w+", values.dtype, (len(batches.positions), *values.shape[1:])
                )
            array[rows] = values
            now = time.perf_counter()
            if now - saved > _SAVE_SECONDS or index == len(batches) - 1:
                array.flush()
                spent = seconds + now - began
                write_json(
                    journal,
                    {
                        "batches": index + 1,
                        "batch_size": batches.batch_size,
                        "records": len(batches.positions),
                        "seconds": spent,
                    },
                )
                saved = now
    if writes:
        partial.replace(path)
        journal.unlink()
        remove_partials(folder)
    return path, seconds + time.perf_counter() - began
