"""METEOR 1.5: the jar aligns words (stems, synonyms, paraphrases need its tables); the score is computed here.

Source: Denkowski and Lavie 2014, "Meteor Universal: language specific translation evaluation for any target
language". A corpus score is a function of statistics summed over segments, not the mean of segment scores, so
resampled sums give the bootstrap of the corpus score itself.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

# English, as the jar sets them for `-l en`.
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
COLUMNS = 23


class MeteorError(RuntimeError):
    """The METEOR jar did not answer; the message says how it ended."""


def meteor_statistics(
    jar: Path, references: Sequence[Sequence[str]], candidates: Sequence[str], timeout: float = 3600
) -> np.ndarray:
    """Aligns each candidate with its references and returns the statistics of the best reference.

    One process is started, given everything and closed, whatever happens. Starting takes most of the time
    (about 15 s: the jar reads its paraphrase table).

    Args:
        jar: meteor-1.5.jar.
        references: N sequences of tokenised references.
        candidates: N tokenised captions; an empty one scores 0.
        timeout: seconds after which the process is ended.

    Returns:
        [N, 23] float64: words of the candidate and of the reference; function words of both; for each of the four
        stages matched content words of both and matched function words of both; chunks; matched words of both.
        A candidate equal to its reference has no chunk, as in the jar's own sums.

    Raises:
        MeteorError: the jar failed, ran out of memory or of time, or gave something else than N lines.
    """
    lines = [
        " ||| ".join(["SCORE", *map(_without_separator, texts), _without_separator(text)])
        for texts, text in zip(references, candidates, strict=True)
    ]
    command = ["java", "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    try:
        done = subprocess.run(
            command,
            input="".join(line + "\n" for line in lines).encode("utf-8", "replace"),
            capture_output=True,
            timeout=timeout,
            cwd=jar.parent,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeteorError(f"METEOR's jar did not answer ({error})") from error
    rows = done.stdout.decode("utf-8", "replace").splitlines()
    try:
        statistics = np.array([[float(value) for value in row.split()] for row in rows], np.float64)
    except ValueError:
        statistics = np.empty(0)
    if done.returncode or statistics.shape != (len(lines), COLUMNS):
        said = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing on its error stream"]
        raise MeteorError(
            f"METEOR's jar gave {len(rows)} lines for {len(lines)} captions (exit code {done.returncode}: {said[0]})"
        )
    length, stages = statistics[:, 0:2], statistics[:, 4:20].reshape(-1, 8, 2)
    equal = np.all(stages.sum(1) == length, axis=1) & (statistics[:, 20] == 1)
    statistics[equal, 20] = 0
    return statistics


def _without_separator(caption: str) -> str:
    return caption.replace("|||", "").replace("  ", " ")


def meteor_from_sums(sums: np.ndarray) -> np.ndarray:
    """Gives METEOR of statistics summed over segments, or of one segment.

    Args:
        sums: [..., 23] as `meteor_statistics` orders them.

    Returns:
        [...] float64 in [0, 1]; 0 where nothing matches.
    """
    length, function_words = sums[..., 0:2], sums[..., 2:4]  # [..., 2]: candidate, reference
    stages = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 2, 2)  # [..., stage, content or function, side]
    chunks, matched = sums[..., 20], sums[..., 21:23].sum(-1) / 2
    importance = np.array([DELTA, 1 - DELTA])
    weighted_matches = np.einsum("...skt,s,k->...t", stages, STAGE_WEIGHTS, importance)
    weighted_length = DELTA * (length - function_words) + (1 - DELTA) * function_words
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = weighted_matches / weighted_length
        precision, recall = ratio[..., 0], ratio[..., 1]
        mean = 1 / ((1 - ALPHA) / precision + ALPHA / recall)
        score = mean * (1 - GAMMA * (chunks / matched) ** BETA)
    return np.where(np.isnan(score), 0.0, np.maximum(score, 0.0))
