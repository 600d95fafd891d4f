"""Builds a data set as TFRecords, checked and indexed, or says where it already is.

    python -m tfrecords_builder --dataset=flickr8k --source=DIR --data_dir=data

Flags:
"""

from __future__ import annotations

import flags
from tfcap.settings import Settings


def main(settings: Settings) -> None:
    """Builds the data set and prints where it is and what it holds."""
    import tfrecords_builder
    from tfrecords_builder import integrity, quarantine

    folder = tfrecords_builder.build(settings.data, settings.run.progress)
    manifest = integrity.check(folder)
    print(folder)
    for name, split in manifest["splits"].items():
        megabytes = sum(shard["bytes"] for shard in split["shards"]) / 1e6
        size = f"{split['records']:,} images, {megabytes:,.1f} MB, shards: {len(split['shards'])}"
        print(f"  {name}: {size}, fingerprint {split['fingerprint'][:16]}")
    for name, count in manifest["counts"].items():
        print(f"  {name.replace('_', ' ')}: {count:,}")
    bad = manifest["counts"].get("bad_images", 0)
    notes = folder / quarantine.FILE
    print(f"  quarantine: {bad:,} images" + (f", see {notes}" if notes.stat().st_size else ""))


if __name__ == "__main__":
    flags.launch(main, groups=("data", "run"), usage=__doc__ or "")
