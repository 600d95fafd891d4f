"""CIDEr-D against fixed references, fast enough to follow a training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tfcap.errors import InputError
from tfcap.evaluation.tokenizer import tokenize

_ORDER = 4
_SIGMA = 6.0  # of the penalty on a difference in length
Gram = tuple[str, ...]
# One caption as CIDEr sees it: tf-idf weight of each n-gram, the norm for each n, the number of bigrams.
_Vector = tuple[dict[Gram, float], list[float], int]


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
        counts = {key: [_count(caption) for caption in captions] for key, captions in tokens.items()}
        frequency: Counter[Gram] = Counter()
        for captions in counts.values():
            frequency.update(set().union(*captions))
        self._unseen = math.log(len(counts))
        self._idf = {gram: self._unseen - math.log(count) for gram, count in frequency.items()}
        self._references = {key: [self._vector(count) for count in captions] for key, captions in counts.items()}

    def _vector(self, counts: Counter[Gram]) -> _Vector:
        squares = [0.0] * _ORDER
        weights = {}
        bigrams = 0
        for gram, count in counts.items():
            weights[gram] = weight = count * self._idf.get(gram, self._unseen)
            squares[len(gram) - 1] += weight * weight
            bigrams += count if len(gram) == 2 else 0
        return weights, [math.sqrt(square) for square in squares], bigrams

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

    def consensus(self) -> np.ndarray:
        """Returns [P] float64: each reference's score against the others of its image, image after image.

        Raises:
            InputError: an image has a single reference.
        """
        alone = [key for key, references in self._references.items() if len(references) < 2]
        if alone:
            raise InputError(
                f"Image {alone[0]!r} has a single caption, which has no others to agree with",
                received=f"{len(alone)} such images",
                expected="at least two captions an image",
            )
        scores = [
            _similarity(one, [*others[:i], *others[i + 1 :]])
            for others in self._references.values()
            for i, one in enumerate(others)
        ]
        return np.array(scores)

    def _score_one(self, key: Hashable, caption: str) -> float:
        return _similarity(self._vector(_count(caption)), self._references[key])


def _similarity(caption: _Vector, references: Sequence[_Vector]) -> float:
    """Returns the CIDEr-D of a caption against at least one reference."""
    weights, norms, bigrams = caption
    total = 0.0
    for their_weights, their_norms, their_bigrams in references:
        products = [0.0] * _ORDER
        for gram in weights.keys() & their_weights.keys():
            theirs = their_weights[gram]
            products[len(gram) - 1] += min(weights[gram], theirs) * theirs
        scales = (ours * theirs for ours, theirs in zip(norms, their_norms, strict=True))
        similarity = sum(product / scale for product, scale in zip(products, scales, strict=True) if scale)
        total += similarity * math.exp(-((bigrams - their_bigrams) ** 2) / (2 * _SIGMA**2))
    return 10 * total / _ORDER / len(references)


def _count(caption: str) -> Counter[Gram]:
    words = caption.split()
    return Counter(tuple(words[i : i + n]) for n in range(1, _ORDER + 1) for i in range(len(words) - n + 1))


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
