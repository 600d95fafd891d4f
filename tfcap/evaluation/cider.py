"""CIDEr-D against fixed references, fast enough to follow a training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfcap.errors import InputError
from tfcap.evaluation.tokenizer import tokenize

_ORDER = 4
_SIGMA = 6.0  # of the penalty on a difference in length
# One caption as CIDEr sees it: for each n the tf-idf weights of its n-grams and their norm; the number of bigrams.
_Vector = tuple[list[dict[str, float]], list[float], int]


class GramWeights:
    """What the n-grams of a caption weigh, from how many images have captions with them.

    Args:
        frequency: n-gram and number of images, each n-gram once; those of a single image may be left out, because an
            n-gram of one image weighs as much as one of none.
        images: how many images there are.
    """

    def __init__(self, frequency: Iterable[tuple[str, int]], images: int) -> None:
        self._unseen = math.log(images)
        self._idf = {gram: self._unseen - math.log(count) for gram, count in frequency if count > 1}

    def vector(self, caption: str) -> _Vector:
        """Returns the tf-idf vector of tokens that are separated by spaces."""
        weights, norms, bigrams = [], [], 0
        for n, counts in enumerate(_count(caption), start=1):
            weighed = {gram: count * self._idf.get(gram, self._unseen) for gram, count in counts.items()}
            weights.append(weighed)
            norms.append(math.sqrt(sum(weight * weight for weight in weighed.values())))
            bigrams += counts.total() if n == 2 else 0
        return weights, norms, bigrams


class CiderScorer:
    """Scores captions against references that are counted once.

    Gives what pycocoevalcap's Cider gives for the same tokens; its length penalty counts bigrams, and so does this.
    Document frequencies come from the references, so the score of one image alone is 0.

    Source: Vedantam, Zitnick and Parikh 2015, "CIDEr: consensus-based image description evaluation", in the form
    CIDEr-D of its section 6 (clipped matches, Gaussian length penalty, times 10).
    Cost: O(words of the references) to make and O(words of the candidates x references of an image) a score.

    Args:
        references: at least one caption for each image id.
        tokenized: True if the captions are tokens separated by spaces; False tokenises them here, without Java.

    Raises:
        InputError: there is no image, or an image has no reference.
    """

    def __init__(self, references: Mapping[Any, Sequence[str]], *, tokenized: bool = False) -> None:
        if not references:
            raise InputError("No image to evaluate", expected="references of at least one image")
        empty = [key for key, captions in references.items() if not captions]
        if empty:
            raise InputError(f"Image {empty[0]} has no reference caption", received=f"{len(empty)} such images")
        self._tokenized = tokenized
        tokens = references if tokenized else tokenize(references, java="never")[0]
        frequency: Counter[str] = Counter()
        for captions in tokens.values():
            frequency.update(grams_of(captions))
        self._weights = GramWeights(frequency.items(), len(tokens))
        self._references = {
            key: [self._weights.vector(caption) for caption in captions] for key, captions in tokens.items()
        }

    def score(self, candidates: Mapping[Any, str]) -> tuple[float, np.ndarray]:
        """Scores one caption an image.

        Args:
            candidates: the same ids as the references, in any order.

        Returns:
            The mean and the scores [N] float64 in the order of the references; each in [0, 10].

        Raises:
            InputError: the ids differ from those of the references.
        """
        check_ids(self._references, candidates)
        captions = {key: [candidates[key]] for key in self._references}
        tokens = captions if self._tokenized else tokenize(captions, java="never")[0]
        scores = np.array([self._score_one(key, tokens[key][0]) for key in self._references])
        return float(scores.mean()), scores

    def _score_one(self, key: Hashable, caption: str) -> float:
        return _similarity(self._weights.vector(caption), self._references[key])


def grams_of(captions: Iterable[str]) -> set[str]:
    """Returns the n-grams of an image's captions, which are tokens separated by spaces."""
    return {gram for caption in captions for counts in _count(caption) for gram in counts}


def consensus(captions: Sequence[str], weights: GramWeights) -> list[float]:
    """Returns the score of each of an image's captions, at least two and tokenised, against the others."""
    vectors = [weights.vector(caption) for caption in captions]
    return [_similarity(one, [*vectors[:i], *vectors[i + 1 :]]) for i, one in enumerate(vectors)]


def _similarity(caption: _Vector, references: Sequence[_Vector]) -> float:
    """Returns the CIDEr-D of a caption against at least one reference.

    Sums run in the order of the caption's words: over a set of strings it would be another in each process.
    """
    weights, norms, bigrams = caption
    total = 0.0
    for their_weights, their_norms, their_bigrams in references:
        similarity = 0.0
        for ours, theirs, norm, their_norm in zip(weights, their_weights, norms, their_norms, strict=True):
            product = 0.0
            for gram, weight in ours.items():
                if gram in theirs:
                    other = theirs[gram]
                    product += (weight if weight < other else other) * other
            if product:
                similarity += product / (norm * their_norm)
        total += similarity * math.exp(-((bigrams - their_bigrams) ** 2) / (2 * _SIGMA**2))
    return 10 * total / _ORDER / len(references)


def _count(caption: str) -> list[Counter[str]]:
    """Returns how often each n-gram occurs, for n from 1 to 4; its words are joined by single spaces."""
    words = caption.split()
    return [Counter([" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]) for n in range(1, _ORDER + 1)]


def check_ids(references: Mapping[Any, object], candidates: Mapping[Any, object]) -> None:
    """Raises InputError, naming one, if an id has references and no candidate or the reverse."""
    for here, there, name in ((references, candidates, "candidate"), (candidates, references, "reference")):
        missing = [key for key in here if key not in there]
        if missing:
            raise InputError(
                f"Image {missing[0]!r} has no {name} caption",
                received=f"{len(references)} images with references and {len(candidates)} with candidates, "
                f"{len(missing)} without a {name}",
                expected="the same ids in both",
            )


def cider(references: Mapping[Any, Sequence[str]], candidates: Mapping[Any, str]) -> float:
    """Returns CIDEr of raw captions, tokenised without Java; for one use, else keep a `CiderScorer`."""
    return CiderScorer(references).score(candidates)[0]
