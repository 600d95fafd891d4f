"""Prototype pairs: the centres of clusters of images and of texts, matched by how many pairs they share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfcap.distillation.method import Chosen, Method, Shown
from tfcap.distillation.pairs import Pairs


class Prototypes(Method):
    """k-means of each modality by itself, and the assignment of text to image clusters that keeps most pairs together.

    Nothing is trained. Cost: two k-means of N images and of as many captions, and O(M^3) for the assignment (Kuhn 1955,
    by scipy).
    """

    needs_features = True

    def distil(self, count: int, seed: int, folder: Path, xla: bool, shown: Shown) -> Chosen:
        from scipy.optimize import linear_sum_assignment
        from sklearn.cluster import KMeans

        train = self.problem.train
        captions = train.one_caption_each(np.random.default_rng([seed, 0]))
        of_images, of_texts = (
            KMeans(count, n_init=1, random_state=seed).fit(vectors) for vectors in (train.images, train.texts[captions])
        )
        shared = np.zeros([count, count], np.int64)
        np.add.at(shared, (of_images.labels_, of_texts.labels_), 1)
        image_clusters, text_clusters = linear_sum_assignment(shared, maximize=True)
        return Chosen(
            Pairs(
                of_images.cluster_centers_[image_clusters].astype(np.float32),
                of_texts.cluster_centers_[text_clusters].astype(np.float32),
            )
        )
