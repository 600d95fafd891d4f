"""Reading what users have on disk: files that may be absent, texts that may not be UTF-8; and random splits."""

from __future__ import annotations

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from tfcap.errors import InputError

_T = TypeVar("_T")
_R = TypeVar("_R")


def read_file(path: Path) -> bytes | None:
    """Returns the bytes of a file, or None where there is none or it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def read_text(path: Path) -> str:
    """Returns a UTF-8 text without its byte order mark; raises InputError where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8", received=f"{error.reason} at byte {error.start}") from None


def read_lines(path: Path) -> list[str]:
    """Returns the lines of a UTF-8 text that are not blank; raises InputError where it is not UTF-8."""
    return [line for line in read_text(path).split("\n") if line.strip()]  # not splitlines: a caption may hold U+2028


def random_splits(items: Sequence[_T], seed: int = 0) -> dict[str, list[_T]]:
    """Returns `items` permuted by `seed` and split 0.8/0.1/0.1; the smaller two have at least one item each."""
    order = np.random.default_rng(seed).permutation(len(items))
    permuted = [items[position] for position in order]
    tenth = max(1, round(len(items) / 10))
    kept = len(items) - 2 * tenth
    return {"train": permuted[:kept], "validation": permuted[kept : kept + tenth], "test": permuted[kept + tenth :]}


def absolute(path: str) -> str:
    """Returns the absolute path without links; "" for ""."""
    return str(Path(path).expanduser().resolve()) if path else ""


def in_order(function: Callable[[_T], _R], items: Iterable[_T]) -> Iterator[_R]:
    """Yields `function(item)` in the order of `items`, computed on a thread per core, a few items ahead."""
    workers = os.cpu_count() or 1
    pending: collections.deque[concurrent.futures.Future[_R]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
