"""Scores that need captions alone, through Apache Beam: counts of all workers meet, then each block has its scores.

Workers read the shards and write the scores of their blocks, so they and the caller share the file system that holds
both. A worker holds a few hundred images' captions, its share of the counts and then the counts above one.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shlex
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner, create_runner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from tfcap.data.caption_blocks import Block, Texts, texts_of
from tfcap.errors import InputError
from tfcap.files import atomic_file, write_text
from tfcap.progress import progress_bar
from tfcap.scoring.signal import TextSignal
from tfcap.scoring.texts import scores_of_part

_DIRECT = ("DirectRunner", "direct")
_SHARES = 64  # that the counts are dealt into by their keys, so that as many workers can add them up
_MISTAKE = "mistake.txt"  # of the user, which a worker found


def runner_of(name: str, workers: int, options: str) -> tuple[PipelineRunner, PipelineOptions]:
    """Returns a runner by its name, and its options.

    DirectRunner is Beam's own on this machine, with one process for each worker; what Beam itself takes for that name
    may be Prism, a program that it downloads.

    Args:
      workers: of DirectRunner; 0 for one a core.
      options: of another runner, as Beam's command lines have them.

    Raises:
      InputError: Beam knows no such runner, or no such option.
    """
    made = PipelineOptions(shlex.split(options))
    known = made.get_all_options().keys()
    if unknown := sorted(made.get_all_options(retain_unknown_options=True).keys() - known):
        raise InputError("Apache Beam has no such option", received=f"--beam_options={options} ({', '.join(unknown)})")
    try:
        return (_direct(made, workers) if name in _DIRECT else create_runner(name)), made
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError("Apache Beam has no such runner", received=f"--runner={name} ({error})") from None


def _direct(options: PipelineOptions, workers: int) -> PipelineRunner:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = workers or cores
    if processes == 1:
        return FnApiRunner()
    options.view_as(DirectOptions).direct_num_workers = processes
    command = f"exec {shlex.quote(sys.executable)} -m tfcap.scoring.beam_worker"  # no shell that ^C would reach
    return FnApiRunner(default_environment=SubprocessSDKEnvironment.from_command_string(command))


def score_on_beam(
    signal: TextSignal,
    blocks: Sequence[Block],
    pairs: bool,
    runner: tuple[PipelineRunner, PipelineOptions],
    scratch: Path,
    progress: bool,
) -> np.ndarray:
    """Returns the scores of a split's images, float32 [N], or pairs, [P], bit for bit those of a single process.

    Args:
      blocks: the whole split.
      scratch: an empty folder that all workers see.

    Raises:
      InputError: a shard is cut short, an image cannot have a number, or workers do not share the folder.
    """
    images = sum(block.records for block in blocks)
    made, options = runner
    pipeline = beam.Pipeline(runner=made, options=options)
    whole = pipeline | beam.Create(blocks) | beam.Reshuffle()
    counts = (
        whole
        | "count" >> beam.ParDo(_Count(signal, scratch))
        | "add up" >> beam.CombinePerKey(_Sum())
        | "above one" >> beam.MapTuple(_above_one)
    )
    _ = whole | "score" >> beam.ParDo(_Score(signal, images, pairs, scratch), beam.pvalue.AsIter(counts))
    with _watched(scratch, blocks, progress), _mistakes_of_workers(scratch):
        pipeline.run().wait_until_finish()
    return _merged(blocks, scratch)


class _OnBlocks(beam.DoFn):
    """Does something once with a block; a user's mistake is noted where the caller finds it."""

    def __init__(self, signal: TextSignal, scratch: Path) -> None:
        self.signal, self.scratch = signal, scratch

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            write_text(self.scratch / _MISTAKE, str(error))
            raise


class _Count(_OnBlocks):
    """Block -> (share, {thing: number of images that have it})."""

    def process(self, block: Block) -> Iterator[tuple[int, dict[str, int]]]:
        shares: list[dict[str, int]] = [{} for _ in range(_SHARES)]
        with self.noted():
            for texts in texts_of(block):
                for thing, count in self.signal.count(texts).items():
                    share = shares[zlib.crc32(thing.encode()) % _SHARES]
                    share[thing] = share.get(thing, 0) + count
        yield from enumerate(shares)
        (self.scratch / f"{block.start}.counted").touch()


class _Sum(beam.CombineFn):
    """Adds up counts of one share."""

    def create_accumulator(self) -> dict[str, int]:
        return {}

    def add_input(self, accumulator: dict[str, int], counts: dict[str, int]) -> dict[str, int]:
        for thing, count in counts.items():
            accumulator[thing] = accumulator.get(thing, 0) + count
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[dict[str, int]]) -> dict[str, int]:
        total: dict[str, int] = {}
        for counts in accumulators:
            total = self.add_input(total, counts)
        return total

    def extract_output(self, accumulator: dict[str, int]) -> dict[str, int]:
        return accumulator


def _above_one(share: int, counts: dict[str, int]) -> dict[str, int]:
    return {thing: count for thing, count in counts.items() if count > 1}


class _Score(_OnBlocks):
    """Block -> a file of its scores, the same however often a runner does it."""

    def __init__(self, signal: TextSignal, images: int, pairs: bool, scratch: Path) -> None:
        super().__init__(signal, scratch)
        self.images, self.pairs = images, pairs
        self.scorer: Callable[[Texts], np.ndarray] | None = None

    def process(self, block: Block, counts: Iterable[dict[str, int]]) -> None:
        if self.scorer is None:
            each = itertools.chain.from_iterable(share.items() for share in counts)
            self.scorer = self.signal.scorer(each, self.images)
        with self.noted():
            found = [scores_of_part(self.scorer, texts, self.pairs) for texts in texts_of(block)]
        with atomic_file(self.scratch / f"{block.start}.npy") as path:
            np.save(path, np.concatenate(found), allow_pickle=False)


def _merged(blocks: Sequence[Block], scratch: Path) -> np.ndarray:
    """Returns the blocks' scores in the order of the records."""
    missing = [block.start for block in blocks if not (scratch / f"{block.start}.npy").exists()]
    if missing:
        raise InputError(
            "The workers' scores are not where this process looks for them",
            received=f"{len(blocks) - len(missing)} of {len(blocks)} blocks in {scratch}",
            expected="a folder that all workers share",
        )
    return np.concatenate([np.load(scratch / f"{block.start}.npy", allow_pickle=False) for block in blocks])


@contextlib.contextmanager
def _mistakes_of_workers(scratch: Path) -> Iterator[None]:
    """Turns the failure of a pipeline into the one line that a worker noted, where it did."""
    logger = logging.getLogger("apache_beam")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what fails is raised; before, Beam logs the worker's traceback
    try:
        yield
    except Exception as error:
        if (scratch / _MISTAKE).exists():
            raise InputError((scratch / _MISTAKE).read_text(encoding="utf-8")) from error
        raise
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _watched(scratch: Path, blocks: Sequence[Block], shown: bool) -> Iterator[None]:
    """Shows how far the workers are, by the files that they leave."""
    records = {str(block.start): block.records for block in blocks}
    done = threading.Event()
    with progress_bar(2 * sum(records.values()), "captions, in two passes", "image", shown=shown) as bar:

        def look() -> None:
            while not done.wait(0.5):
                now = sum(records.get(name.partition(".")[0], 0) for name in os.listdir(scratch))
                bar.update(now - bar.n)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
            bar.update(bar.total - bar.n)
        finally:
            done.set()
            thread.join()
