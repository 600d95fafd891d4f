"""Sets whose cross-covariance of images and texts is that of all pairs: by descent, or in closed form of features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tfcap.quiet  # noqa: F401

import numpy as np
import tensorflow as tf

from tfcap.distillation.descent import Change, Objective
from tfcap.distillation.experts import Experts
from tfcap.distillation.method import OF_EXPERTS, Chosen, Method, Shown
from tfcap.distillation.pairs import Pairs
from tfcap.distillation.problem import Problem, Split
from tfcap.distillation.stepwise import Stepwise
from tfcap.errors import InputError
from tfcap.training.matching import covariance_distance

_RIDGE = 1.0  # of the mean eigenvalue of a covariance


def cross_covariance(images: np.ndarray, split: Split) -> np.ndarray:
    """Returns that of all image-caption pairs, float64 [D, E]: an image counts once, with the mean of its captions."""
    texts = _mean_captions(split)
    images = np.asarray(images, np.float64)
    return (images - images.mean(axis=0)).T @ (texts - texts.mean(axis=0)) / len(images)


def _mean_captions(split: Split) -> np.ndarray:
    """Returns the mean of each image's captions, float64 [N, E]."""
    sums = np.add.reduceat(split.texts, split.start[:-1], axis=0, dtype=np.float64)
    return sums / np.diff(split.start)[:, None]


class CovMatch(Stepwise):
    """Descent on the distance between the cross-covariances, and between the means, of real and of synthetic pairs.

    Source: Lee et al. 2025, "CovMatch", https://arxiv.org/abs/2510.18583, its objective alone, for frozen encoders: the
    paper also trains both encoders, the text's too, in rounds in between. The image encoder is frozen at its pretrained
    weights or, where it has none, at an expert's last ones. The distance is divided by the square of the wanted
    cross-covariance, so `--mean_weight` is not the paper's weight. Cost of a step: a pass of the encoder over the
    pairs, and O(M D E).
    """

    uses = (*Stepwise.uses, "mean_weight", "covariance_scale")

    def __init__(self, problem: Problem, experts: Callable[[], Experts]) -> None:
        super().__init__(problem, experts)
        self._of_expert = problem.has_random_start
        self.needs_experts = self.needs_experts or self._of_expert

    def options(self) -> dict[str, object]:
        of_expert = (*OF_EXPERTS, "expert_epochs") if self._of_expert else ()
        return super().options() | {name: getattr(self.problem.asked, name) for name in of_expert}

    def objective(self, xla: bool) -> Objective:
        return _ToCovariance(self.problem, self.experts if self._of_expert else None, xla)


class _ToCovariance(Objective):
    def __init__(self, problem: Problem, experts: Callable[[], Experts] | None, xla: bool) -> None:
        asked, train = problem.asked, problem.train
        parameters = experts().point(0, asked.expert_epochs).parameters if experts else None
        encode, real = problem.encoding(parameters), problem.encoded_images("train", parameters)
        self._distance = covariance_distance(encode, xla, asked.mean_weight)
        means = real.mean(axis=0), _mean_captions(train).mean(axis=0)
        self._wanted = [tf.constant(np.float32(one)) for one in (cross_covariance(real, train), *means)]
        self._scale = tf.constant(np.float32(asked.covariance_scale))

    def change(self, images: tf.Tensor, texts: tf.Tensor, rates: tf.Tensor, rng: np.random.Generator) -> Change:
        return Change(*self._distance(images, texts, *self._wanted, self._scale))


class _Directions(Method):
    """Pairs along paired directions of both spaces, of features alone. Cost: O(N D E + D E min(D, E)), no training."""

    needs_features = True

    pairs_a_direction = 1

    def most_pairs(self) -> int:
        widths = self.problem.train.images.shape[1], self.problem.train.texts.shape[1]
        return self.pairs_a_direction * min(widths)

    def _check(self, count: int) -> None:
        few = count < self.least_pairs
        if few or count > self.most_pairs():
            bound = "less than two pairs" if few else "more pairs than both modalities have directions for"
            raise InputError(
                f"{self.problem.asked.method} can make no {bound}",
                received=f"--pairs={count}",
                expected=f"{self.least_pairs} to {self.most_pairs()}",
            )


class CovMatchExact(_Directions):
    """The features that minimise CovMatch's distance of cross-covariances, up to one factor, by singular vectors.

    M pairs about their mean have a cross-covariance of rank M - 1 at most, and the best approximation of that rank is
    the truncated singular value decomposition (Eckart and Young 1936). So the pairs are M - 1 columns that sum to 0, of
    the discrete cosine transform, each times the root of a value and its two vectors. Their mean is 0 and their mean
    squared length 1, as in train, which sets the factor.
    """

    least_pairs = 2

    def most_pairs(self) -> int:
        return super().most_pairs() + 1

    def distil(self, count: int, seed: int, folder: Path, xla: bool, shown: Shown) -> Chosen:
        wanted = cross_covariance(self.problem.train.images, self.problem.train)
        self._check(count)
        left, values, right = np.linalg.svd(wanted, full_matrices=False)
        rank = count - 1
        columns = np.cos(np.pi * np.outer(np.arange(count) + 0.5, np.arange(1, count)) / count)
        columns *= np.sqrt(2 * values[:rank] / values[:rank].sum())
        images, texts = ((columns @ vectors[:rank]).astype(np.float32) for vectors in (left.T, right))
        return Chosen(Pairs(images, texts))


class WhitenedDirections(_Directions):
    """Leading singular vectors of the whitened cross-covariance, each as a pair of unit vectors and as its opposite.

    Whitened is the cross-covariance between (S + r I)^(-1/2) and the like of texts, S a modality's covariance and r the
    mean eigenvalue of S, as in ridge-regularised canonical correlation analysis (Hotelling 1936; Vinod 1976); its
    canonical directions would be these vectors multiplied by that root once more. That the vectors are used as pairs,
    as they are, is this project's own. Opposites keep the mean of the set at 0, as that of train is; of an odd number
    the last direction has one of the two.
    """

    pairs_a_direction = 2

    def distil(self, count: int, seed: int, folder: Path, xla: bool, shown: Shown) -> Chosen:
        train = self.problem.train
        wanted = cross_covariance(train.images, train)
        directions = -(-count // 2)
        self._check(count)
        whitened = _whitening(train.images) @ wanted @ _whitening(train.texts)
        left, _, right = np.linalg.svd(whitened, full_matrices=False)
        one, other = left.T[:directions], right[:directions]
        images, texts = (np.concatenate([half, -half])[:count].astype(np.float32) for half in (one, other))
        return Chosen(Pairs(images, texts))


def _whitening(vectors: np.ndarray) -> np.ndarray:
    """Returns (S + r I)^(-1/2) of vectors [N, D], float64 [D, D]."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred / len(centred))
    values = np.maximum(values, 0)
    return (directions * (values + _RIDGE * values.mean()) ** -0.5) @ directions.T
