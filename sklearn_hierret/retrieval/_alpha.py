"""The weight of the hierarchical distance, chosen by what held-out samples retrieve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.class_models import HeldOutLeaves
from sklearn_hierret.distance import average_precision, within_one_error
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.leaves import expected_distances, float_dtype, leaf_matrix, unassigned
from sklearn_hierret.retrieval._metric import FittedMetric, cosine_metric

#: Weights that are tried, ascending.
ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)
#: Queries of all folds together at rank 1, those at more ranks, and samples that they are compared with.
MOST_QUERIES, MOST_DEEP, MOST_COMPARED = 8192, 1024, 6144
#: MiB of distances at once.
CHUNK = 8
#: MiB of expected distances to all classes at once.
TREE_CHUNK = 64
#: Share of the best gain in mAP@20 that is enough.
ENOUGH = 0.97
#: Where nothing can be held out.
DEFAULT_ALPHA = 1.0


def choose_alpha(
    X: NDArray,
    y: NDArray[np.intp],
    held_out: HeldOutLeaves,
    hierarchy: ClassHierarchy | CombinedHierarchy,
    scale: float = 1.0,
    metric: FittedMetric | None = None,
) -> float:
    """Choose the weight that held-out samples retrieve best with, and no larger than it must be.

    They retrieve within their fold, with leaves and a visual metric that did not see that fold. Among the
    weights whose mAP@1 is within one standard error of the best (of the difference, over the same queries),
    the weight is the smallest that has `ENOUGH` of the best gain in mAP@20 over no leaves at all.

    `y` are classes as integers, the first ones of the hierarchy in its order. `scale` is the factor of the
    cosine distance in the distance of the features. Without a metric, it is cosine. The result is one of
    `ALPHAS`.
    """
    rng, metric = np.random.RandomState(0), metric or cosine_metric()
    n_folds = int(held_out.folds.max()) + 1
    precisions = []
    for fold in range(n_folds):
        members = rng.permutation(np.flatnonzero(held_out.folds == fold))[:MOST_COMPARED]
        _, code, counts = np.unique(y[members], return_inverse=True, return_counts=True)
        queries = np.flatnonzero(counts[code] > 1)  # others have nothing to find
        queries = queries[queries < MOST_QUERIES // n_folds]
        if len(queries):
            n_deep = MOST_DEEP // n_folds
            rows = metric.held_out(fold, np.flatnonzero(held_out.folds != fold), X[members])
            leaves = held_out.leaves[members]
            precisions.append(_precisions(rows, y[members], leaves, hierarchy, queries, scale, n_deep))
    if sum(first.shape[0] for first, _ in precisions) < 2:
        return DEFAULT_ALPHA
    first, twenty = (np.concatenate(of_folds) for of_folds in zip(*precisions, strict=True))

    is_good = within_one_error(first, int(first.mean(axis=0).argmax()))
    gain = twenty.mean(axis=0)
    gain = np.where(is_good, gain - gain[0], -np.inf)  # of no leaves, exactly 0
    return ALPHAS[int(np.flatnonzero(gain >= min(ENOUGH * gain.max(), gain.max()))[0])]


def _precisions(
    visual: NDArray,
    labels: NDArray[np.intp],
    leaves: NDArray,
    hierarchy: ClassHierarchy | CombinedHierarchy,
    queries: NDArray[np.intp],
    scale: float,
    n_deep: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute AP@1 of queries among all rows, (n_queries, n_alphas), and AP@20 of the first of them."""
    dtype = float_dtype(visual)
    leaves_by_class = leaf_matrix(leaves, hierarchy.n_classes)
    left = unassigned(leaves)
    counts = np.bincount(labels)
    first = np.empty((len(queries), len(ALPHAS)))
    deep = np.empty((min(n_deep, len(queries)), len(ALPHAS)))
    # A pass over a tree takes about as long for many samples as for few; small chunks of distances stay in
    # the caches, for all of the weights.
    for outer in row_chunks(len(queries), 24 * hierarchy.n_classes, at_most=TREE_CHUNK):
        expected = expected_distances(leaves[queries[outer]], hierarchy)
        for inner in row_chunks(len(expected), 32 * len(visual), at_most=CHUNK):
            rows = slice(outer.start + inner.start, outer.start + inner.stop)
            batch = queries[rows]
            cosine = (scale * (1 - visual[batch] @ visual.T)).astype(dtype)
            cosine[np.arange(len(batch)), batch] = np.inf
            hierarchical = ((leaves_by_class @ expected[inner].T).T + left).astype(dtype)
            buffer = np.empty_like(cosine)
            of_deep = slice(0, max(0, len(deep) - rows.start))
            for i, alpha in enumerate(ALPHAS):
                distances = np.multiply(hierarchical, dtype.type(alpha), out=buffer)
                distances += cosine
                first[rows, i] = labels[distances.argmin(axis=1)] == labels[batch]
                precision = average_precision(distances[of_deep], labels, labels[batch][of_deep], counts)
                deep[rows.start : rows.start + len(precision), i] = precision
    return first, deep
