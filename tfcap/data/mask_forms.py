"""A mask's ids in the forms that other tools read: text, Parquet and COCO's captions format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfcap.data.masks import Mask
from tfcap.data.pairs import Pairs
from tfcap.data.record_index import Examples, RecordIndex
from tfcap.errors import InputError
from tfcap.files import atomic_file, write_text
from tfcap.installed import is_installed
from tfcap.progress import progress_bar

SUFFIXES = {"text": ".txt", "parquet": ".parquet", "coco": ".coco.json"}


def check_formats(names: list[str]) -> None:
    """Raises InputError for an unknown format, and for Parquet where pyarrow is not installed."""
    unknown = [name for name in names if name not in SUFFIXES]
    if unknown:
        raise InputError("Unknown format", received=repr(unknown[0]), expected="one of " + ", ".join(SUFFIXES))
    if "parquet" in names and not is_installed("pyarrow"):
        raise InputError("--formats=parquet needs pyarrow, which is not installed", remedy="pip install pyarrow.")


def write_ids(path: Path, mask: Mask) -> None:
    """Writes one id a line, in the order of selection."""
    write_text(path, "".join(f"{number}\n" for number in mask.ids))


def write_parquet(path: Path, mask: Mask, examples: Examples, scores: Mapping[str, np.ndarray]) -> None:
    """Writes a table with a row for each kept example, in the order of selection: `id` and its `scores` [N] by name."""
    import pyarrow
    from pyarrow import parquet

    kept = positions_of(mask, examples)
    table = pyarrow.table({"id": mask.ids, **{name: values[kept] for name, values in scores.items()}})
    with atomic_file(path) as temporary:
        parquet.write_table(table, temporary)


def write_coco(path: Path, mask: Mask, index: RecordIndex, examples: Examples, sizes: bool, progress: bool) -> None:
    """Writes the kept images, in the order of selection, with all or the kept ones of their captions, as COCO does.

    Args:
      index: of the images.
      examples: what the mask is of, the images or their pairs.
      sizes: whether the stored images have the sizes of those that the file names name.
    """
    from tfcap.data.records import Records  # TensorFlow parses the records

    # What is in the mask is inside a limit, so the records need none.
    records = Records(index.folder, index.split)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    positions = list(dict.fromkeys(examples.images[positions_of(mask, examples)].tolist()))
    kept = set(mask.ids.tolist()) if isinstance(examples, Pairs) else None
    described = records.described(positions)
    for record in progress_bar(len(positions), path.name, "image", over=described, shown=progress, passing=True):
        size = {"height": record.height, "width": record.width} if sizes else {}
        images.append({"id": record.image_id, "file_name": record.filename, **size})
        annotations += [
            {"id": caption_id, "image_id": record.image_id, "caption": text}
            for caption_id, text in zip(record.caption_ids, record.captions, strict=True)
            if kept is None or caption_id in kept
        ]
    info = {"description": "selected by tfcap", **mask.about}
    write_text(path, json.dumps({"info": info, "images": images, "annotations": annotations}, ensure_ascii=False))


def positions_of(mask: Mask, examples: Examples) -> np.ndarray:
    """Returns the positions of the kept examples, int64 [k], in the order of selection."""
    order = np.argsort(examples.ids, kind="stable")
    return order[np.searchsorted(examples.ids, mask.ids, sorter=order)]
