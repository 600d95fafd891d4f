"""A folder in the form of a distilled set, of noise, made by the test that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tfrecords_builder
from tests.tfrecords_builder.toy import encoded
from tfcap.data.record_index import RecordIndex
from tfcap.settings import DataSettings


def write_distilled(folder: Path, original: DataSettings, pairs: int = 4, size: int = 16, **changes: Any) -> Path:
    """Writes the folder, and the original if it is not built; `changes` are of distilled.json, None leaves one out."""
    built = tfrecords_builder.build(original, progress=False)
    (folder / "images").mkdir(parents=True)
    for row in range(pairs):
        (folder / "images" / f"{row:05d}.png").write_bytes(encoded(row, (size, size), form="PNG"))
    said = {
        "method": "trajectories",
        "pairs": pairs,
        "seed": 3,
        "kind": "images",
        "captions": [f"a red ball beside a tree {row}" for row in range(pairs)],
        "data": vars(original),
        "fingerprints": {
            split: RecordIndex(built, split, original.limit).fingerprint for split in ("train", "validation", "test")
        },
        **changes,
    }
    about = {name: value for name, value in said.items() if value is not None}
    (folder / "distilled.json").write_text(json.dumps(about), encoding="utf-8")
    return folder
