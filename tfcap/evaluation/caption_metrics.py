"""BLEU, METEOR, ROUGE-L and CIDEr of generated captions, as pycocoevalcap gives them, with bootstrap intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tfcap.errors import InputError
from tfcap.evaluation import confidence
from tfcap.evaluation.cider import CiderScorer, check_ids, cider
from tfcap.evaluation.meteor import MeteorError, meteor_from_sums, meteor_statistics
from tfcap.evaluation.tokenizer import jar, java_available, tokenize

__all__ = ["CiderScorer", "Evaluation", "cider", "evaluate"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The scores of one set of captions."""

    metrics: dict[str, Any]  # the metric -> {"value", "low", "high"}, as metrics.json holds it
    ids: tuple[Hashable, ...]  # the images, in the order of `per_image`
    per_image: dict[str, np.ndarray]  # CIDEr, ROUGE-L, BLEU-4 and, with Java, METEOR -> [N] float64
    tokenizer: str  # "ptb-java" or "ptb-regex"


def evaluate(
    references: Mapping[int, Sequence[str]],
    candidates: Mapping[int, str],
    *,
    java: str = "auto",
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Scores one caption an image against its references.

    Values are those of pycocoevalcap 1.2, in its units ([0, 1]; CIDEr [0, 10]). The intervals are 95 % percentile
    bootstrap over images: means are resampled for CIDEr (document frequencies stay those of the whole set) and
    ROUGE-L; BLEU and METEOR are computed anew from the resampled statistics of the corpus. CIDEr weighs words
    by how few images have them, so CIDEr of one image alone is 0, whatever the caption.

    Source: Papineni et al. 2002 (BLEU); Denkowski and Lavie 2014 (METEOR); Lin 2004 (ROUGE-L); Vedantam et al.
    2015 (CIDEr); Chen et al. 2015 (all together, as "Microsoft COCO captions: data collection and evaluation server").

    Args:
        references: raw captions, at least one for each image id.
        candidates: one raw caption for each image id, possibly empty.
        java: "auto" uses Java where it is, "never" leaves METEOR out and tokenises by regular expression,
            "require" raises where Java is absent.
        resamples: bootstrap samples, at least 1.
        seed: of the bootstrap.

    Returns:
        The evaluation, in the order of `references`.

    Raises:
        InputError: no images, an image without a reference, ids that differ, or Java required and absent.
    """
    _check(references, candidates, resamples)
    ids = tuple(references)
    tokens, tokenizer = tokenize(references, java)
    truth = [tokens[key] for key in ids]
    tokens, _ = tokenize({key: [candidates[key]] for key in ids}, java)
    guesses = [tokens[key][0] for key in ids]
    if not any(caption for captions in truth for caption in captions):
        raise InputError("The reference captions hold no words", expected="words beside punctuation")
    values, per_image, bleu_counts = _published_scores(truth, guesses)
    statistics = [per_image["ROUGE-L"][:, None], per_image["CIDEr"][:, None], bleu_counts]
    alignment, missing = _meteor(truth, guesses, java)
    if alignment is not None:
        values["METEOR"] = float(meteor_from_sums(alignment.sum(0)))
        per_image["METEOR"] = meteor_from_sums(alignment)
        statistics.append(alignment)
    sums = confidence.resampled_sums(np.concatenate(statistics, axis=1), resamples, seed)
    resampled = _resampled_scores(sums, len(ids))
    metrics: dict[str, Any] = {}
    for name in ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "METEOR", "ROUGE-L", "CIDEr"):
        metrics[name] = None
        if name in values:
            low, high = confidence.interval(resampled[name])
            metrics[name] = {"value": values[name], "low": low, "high": high}
    if missing:
        metrics["METEOR_missing"] = missing
    return Evaluation(metrics, ids, per_image, tokenizer)


def _check(references: Mapping[int, Sequence[str]], candidates: Mapping[int, str], resamples: int) -> None:
    if not references:
        raise InputError("No image to evaluate", expected="references of at least one image")
    check_ids(references, candidates)
    for key, captions in references.items():
        if isinstance(captions, str) or not all(isinstance(caption, str) for caption in captions):
            raise InputError(f"The references of image {key!r} are not a list of captions", received=repr(captions))
        if not captions:
            raise InputError(f"Image {key!r} has no reference caption", expected="at least one reference an image")
    for key, caption in candidates.items():
        if not isinstance(caption, str):
            raise InputError(f"The candidate of image {key!r} is not a caption", received=repr(caption))
    if resamples < 1:
        raise InputError("Too few bootstrap resamples", received=resamples, expected="at least 1")


def _published_scores(
    truth: list[list[str]], guesses: list[str]
) -> tuple[dict[str, float], dict[str, np.ndarray], np.ndarray]:
    """Scores tokenised captions by pycocoevalcap.

    Returns:
        BLEU, ROUGE-L and CIDEr over all images; for each image, [N]; and what corpus BLEU sums over images, [N, 10].
    """
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    gts = dict(enumerate(truth))
    res = {row: [caption] for row, caption in enumerate(guesses)}
    scorer = BleuScorer(n=4)  # pycocoevalcap's Bleu is this and no more, but keeps the counts to itself
    for row, caption in enumerate(guesses):
        scorer += (caption, gts[row])
    bleu, bleus = scorer.compute_score(option="closest", verbose=0)
    rouge, rouges = Rouge().compute_score(gts, res)
    consensus, consensuses = Cider().compute_score(gts, res)
    values = {f"BLEU-{n}": float(value) for n, value in enumerate(bleu, start=1)}
    values |= {"ROUGE-L": float(rouge), "CIDEr": float(consensus)}
    per_image = {"CIDEr": consensuses, "ROUGE-L": rouges, "BLEU-4": bleus[3]}
    counts = [
        [*row["correct"], *row["guess"], row["testlen"], _closest(row["reflen"], row["testlen"])]
        for row in scorer.ctest
    ]
    per_image = {name: np.asarray(scores, np.float64) for name, scores in per_image.items()}
    return values, per_image, np.array(counts, np.float64)


def _closest(lengths: list[int], length: int) -> int:
    """Returns the length nearest to `length`, the shorter of two equally near."""
    return min((abs(reference - length), reference) for reference in lengths)[1]


def _meteor(truth: list[list[str]], guesses: list[str], java: str) -> tuple[np.ndarray | None, str]:
    """Returns METEOR's statistics [N, 23] and "", or None and why they are missing."""
    if java == "never":
        return None, "METEOR needs Java, which --java=never leaves out."
    path = jar("meteor/meteor-1.5.jar")
    try:
        if path is None or not java_available():
            raise MeteorError("METEOR needs a Java runtime (8 or later) on PATH and the jar of pycocoevalcap 1.2")
        return meteor_statistics(path, truth, guesses), ""
    except MeteorError as error:
        if java == "require":
            raise InputError(str(error), remedy="Use --java=auto to evaluate without METEOR.") from error
        return None, f"{error}."


def _resampled_scores(sums: np.ndarray, images: int) -> dict[str, np.ndarray]:
    """Returns {metric: [resamples]} of sums [resamples, 12 or 35]: ROUGE-L, CIDEr, BLEU's ten, METEOR's 23."""
    bleu = confidence.bleu_from_sums(sums[:, 2:12])
    scores = {f"BLEU-{n}": bleu[:, n - 1] for n in range(1, 5)}
    scores |= {"ROUGE-L": sums[:, 0] / images, "CIDEr": sums[:, 1] / images}
    if sums.shape[1] > 12:
        scores["METEOR"] = meteor_from_sums(sums[:, 12:])
    return scores
