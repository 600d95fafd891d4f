"""What a frozen encoder makes of each image, computed once and memory-mapped.

The folder's name holds the hash of the encoder, its weights and the data, so a cache can never be stale.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfcap.data.pipeline import Batch, Inputs, SequentialBatches
from tfcap.data.records import Records
from tfcap.data.resumable import fill
from tfcap.files import hash_of, locked, read_json, write_json


def features(
    records: Records,
    image_size: int,
    encoder_hash: str,
    encode: Callable[[Batch], np.ndarray],
    folder: Path,
    batch_size: int,
    progress: bool = True,
    writes: bool = True,
    barrier: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, float]:
    """Returns the memory-mapped features float32 [N, ...] of a split and the seconds their making took, now or earlier.

    Args:
      encoder_hash: identifies the encoder and its weights.
      encode: a batch with images uint8 [B, S, S, 3] -> float32 [B, ...].
      folder: where caches are kept.
      writes: False in workers other than the chief.
      barrier: returns when every worker has called it.
    """
    target = folder / hash_of(encoder_hash, image_size, records.fingerprint)[:16]
    name = f"features-{records.split}"
    about = target / f"{name}.json"
    with locked(target / f".{name}.lock") if writes and not about.exists() else contextlib.nullcontext():
        barrier()  # all workers see what another run has made while this one waited
        if not about.exists():
            batches = SequentialBatches(Inputs(records, image_size), np.arange(len(records)), batch_size)
            _, seconds = fill(target, name, batches, encode, progress=progress, writes=writes)
            if writes:
                described = {"fingerprint": records.fingerprint, "encoder": encoder_hash, "image_size": image_size}
                write_json(about, {**described, "seconds": seconds})
            barrier()
    return np.load(target / f"{name}.npy", mmap_mode="r"), read_json(about)["seconds"]
