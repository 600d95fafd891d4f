"""Caption consensus of 10^4, 10^5 and 10^6 made-up records, in one process and through Apache Beam on this machine.

    python -m benchmarks.scoring_at_scale [--quick] [--workers=2]

The records hold captions of the grammar of `scenes`, of a scene each, and a picture of 16 pixels, so that little is
read beside what is scored; the smaller sizes are the first of the largest. A side is the real command: its seconds are
those in the score's JSON, from the index to the merged array, the start of workers included, and its peak memory is
that of each of its processes; its CPU seconds, which other work on the machine hardly changes, are of the whole
command, imports included. A score file of Beam that is not that of the single process, bit for bit, is an error.
`growth` is the exponent p of seconds ~ N^p between sizes, and `cpu_growth` that of CPU seconds.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from benchmarks import measure, pictures
from tfcap.files import atomic_folder, read_json, write_json
from tfcap.progress import progress_bar
from tfcap.registry import DATASETS
from tfcap.settings import DataSettings
from tfrecords_builder import integrity
from tfrecords_builder.scene_captions import write_captions
from tfrecords_builder.scene_plan import CAPTIONS_PER_IMAGE, generator
from tfrecords_builder.scene_world import sample_type

import numpy as np  # isort: skip

DATASET = "flickr8k"  # whose place the records take: it asks for no size and, once built, for no source
SHARDS = 16
BEAM, SINGLE = "beam", "single_process"


def main() -> None:
    """Measures and prints."""
    parser = measure.parser(__doc__)
    parser.add_argument("--workers", type=int, default=2, help="processes of Beam's DirectRunner")
    parser.add_argument("--folder", help="where the records are kept, or taken from if an earlier run has kept them")
    arguments = parser.parse_args()
    counts = (500, 2000) if arguments.quick else (10_000, 100_000, 1_000_000)
    workers = arguments.workers
    flags = {SINGLE: [], BEAM: ["--runner=DirectRunner", f"--workers={workers}"]}
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as made:
        out = Path(made)
        data = Path(arguments.folder or made) / f"records-{counts[-1]}"
        if not data.exists():
            write_records(data, counts[-1])
        for count in counts:
            cases[f"n{count}"] = {side: scored(data, out, side, count, said) for side, said in flags.items()}
            check_equal(out, count)
    sizes = {"counts": counts, "captions_per_image": CAPTIONS_PER_IMAGE, "shards": SHARDS, "workers": workers}
    ratios = {name: round(case[BEAM]["seconds"] / case[SINGLE]["seconds"], 3) for name, case in cases.items()}
    measure.report(
        "scoring_at_scale",
        arguments.quick,
        sizes,
        cases,
        growth={side: growth(cases, side, "seconds", counts) for side in flags},
        cpu_growth={side: growth(cases, side, "cpu_seconds", counts) for side in flags},
        beam_over_single_process=ratios,
        equal_bit_for_bit=True,
        apache_beam=metadata.version("apache-beam"),
    )


def write_records(data: Path, count: int) -> None:
    """Writes a built data set with `count` records in train and one in each other split."""
    with atomic_folder(data) as folder:
        where = DATASETS[DATASET].folder(DataSettings(dataset=DATASET, data_dir=str(folder)))
        where.mkdir(parents=True)
        _write_splits(where, count)


def _write_splits(where: Path, count: int) -> None:
    (picture,) = pictures.jpegs(1, (16, 16))
    ids, arrays, splits = itertools.count(), {}, {}
    for split, records, shards in (("train", count, SHARDS), ("validation", 1, 1), ("test", 1, 1)):
        fingerprint = integrity.Fingerprint(DATASET, "made_up", "1.0.0", split)
        paths = [where / f"made_up-{split}.tfrecord-{shard:05d}-of-{shards:05d}" for shard in range(shards)]
        lengths = [len(part) for part in np.array_split(np.arange(records), shards)]
        bar = iter(progress_bar(records, f"writing {split}", "record", over=itertools.islice(ids, records)))
        for path, length in zip(paths, lengths, strict=True):
            with tf.io.TFRecordWriter(str(path)) as writer:
                for number in itertools.islice(bar, length):
                    rng = generator(0, number)
                    captions = write_captions(sample_type(rng), rng)
                    fingerprint.add(number, picture, captions)
                    writer.write(_serialised(number, picture, captions))
        index, splits[split] = integrity.describe_split(paths, lengths, fingerprint)
        arrays.update({f"{split}/{name}": values for name, values in index.items()})
    np.savez(where / integrity.INDEX, **arrays)  # type: ignore[arg-type]
    write_json(
        where / integrity.MANIFEST, {"dataset": DATASET, "config": "made_up", "version": "1.0.0", "splits": splits}
    )


def _serialised(number: int, picture: bytes, captions: Sequence[str]) -> bytes:
    texts = [caption.encode() for caption in captions]
    first = CAPTIONS_PER_IMAGE * number
    values = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture])),
        "image/id": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
        "captions/text": tf.train.Feature(bytes_list=tf.train.BytesList(value=texts)),
        "captions/id": tf.train.Feature(int64_list=tf.train.Int64List(value=range(first, first + len(texts)))),
    }
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()


def scored(data: Path, folder: Path, side: str, count: int, said: Sequence[str]) -> dict[str, Any]:
    """Returns the seconds of the command, its records a second, and the peak memory of each of its processes."""
    out = folder / f"{side}-{count}"
    command = [sys.executable, "-m", "tfcap.score", f"--dataset={DATASET}", f"--data_dir={data}"]
    command += [f"--out={out}", f"--limit={count}", "--noprogress", *said]
    peaks: dict[int, float] = {}
    before = _cpu_seconds()
    with open(folder / "said.txt", "w+") as words:
        process = subprocess.Popen(command, cwd=measure.REPOSITORY, stdout=words, stderr=words)
        while process.poll() is None:
            for number in [process.pid, *filter(_is_worker, _descendants(process.pid))]:
                peaks[number] = max(peaks.get(number, 0), _peak_memory_mib(number))
            time.sleep(0.2)
        words.seek(0)
        if process.returncode:
            raise RuntimeError(f"{side}, {count}: {words.read()[-2000:]}")
    seconds = read_json(out / "scores" / "caption_consensus.json")["seconds"]
    caller = peaks.pop(process.pid)
    cpu = _cpu_seconds() - before
    memory = {"caller": caller, "workers": sorted(peaks.values())}
    measure.say(f"{side}, {count}: {seconds:.1f} s, {count / seconds:,.0f} records/s, {cpu:.1f} s of CPU, MiB {memory}")
    speed = {"records_per_second": round(count / seconds, 1), "cpu_seconds": round(cpu, 2)}
    return {"seconds": round(seconds, 3), **speed, "peak_memory_mib": memory}


def check_equal(folder: Path, count: int) -> None:
    """Raises RuntimeError unless both sides wrote the same finite numbers."""
    one, other = (np.load(folder / f"{side}-{count}" / "scores" / "caption_consensus.npy") for side in (SINGLE, BEAM))
    if one.tobytes() != other.tobytes() or one.shape != (count,) or not np.isfinite(one).all():
        raise RuntimeError(f"{count} records: the scores differ, at most by {np.abs(one - other).max()}")


def growth(cases: dict[str, Any], side: str, unit: str, counts: Sequence[int]) -> dict[str, float]:
    """Returns the exponent of a side's seconds, of the clock or of CPUs, between each size and the next."""
    found = {}
    for small, large in itertools.pairwise(counts):
        ratio = cases[f"n{large}"][side][unit] / cases[f"n{small}"][side][unit]
        found[f"{small}_to_{large}"] = round(math.log(ratio) / math.log(large / small), 3)
    return found


def _cpu_seconds() -> float:
    """Returns the CPU seconds of all processes that have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _is_worker(process: int) -> bool:
    """True for Beam's worker; false for the shell before it, and for a process that is not yet what it will be."""
    try:
        return b"beam_worker" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


def _descendants(process: int) -> Iterator[int]:
    """Yields the processes that a process has started, and theirs; none where the system does not say."""
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from _descendants(child)


def _peak_memory_mib(process: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 2**10, 1)
    return 0.0


if __name__ == "__main__":
    main()
