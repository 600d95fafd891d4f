"""k-means over embeddings that may be large or repeat; scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

# N times k up to which Lloyd's iterations run over all examples: at D = 512 that is 0.1 TFLOP an iteration, a second or
# two. A k below 1,000 counts as 1,000, because Lloyd copies the embeddings.
LLOYD_AT_MOST = 10**8
_ITERATIONS, _PASSES = 100, 10  # at most: of Lloyd, and of the mini-batches over the examples


def clusters(points: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns the cluster of each example, int [N], and the centroids, float [count, D].

    Lloyd's algorithm from k-means++ seeds, O(N count D) an iteration, and above LLOYD_AT_MOST mini-batches from drawn
    seeds, which do not copy the embeddings. Clusters may be empty where embeddings repeat.
    """
    seed = int(rng.integers(2**31))
    if len(points) * max(count, 1000) <= LLOYD_AT_MOST:
        model = KMeans(count, n_init=1, max_iter=_ITERATIONS, random_state=seed)
    else:
        batch = min(max(4096, count), len(points))
        model = MiniBatchKMeans(
            count, init="random", n_init=1, batch_size=batch, max_iter=_PASSES, random_state=seed, compute_labels=True
        )
    # Threads add their sums in the order in which they end: with one, the clusters are the same on any machine.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="openmp"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct embeddings than clusters
        model.fit(np.asarray(points, np.float32))  # a copy only where they are of another type
    return model.labels_, model.cluster_centers_
