"""The weight of the hierarchical distance, chosen by what held-out samples retrieve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.building._leaves import HeldOutLeaves, float_dtype, unassigned
from sklearn_hierret.building._metric import FittedMetric, cosine_metric
from sklearn_hierret.distance import average_precision, within_one_error
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy

#: Weights that are tried, ascending.
ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)
#: Queries of all folds together at rank 1, those at more ranks, and samples that they are compared with.
MOST_QUERIES, MOST_DEEP, MOST_COMPARED = 8192, 1024, 6144
#: MiB of distances at once.
CHUNK = 8
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

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        Classes as integers.
    held_out : HeldOutLeaves
    hierarchy : ClassHierarchy or CombinedHierarchy
        With the class model's classes first, in their order.
    scale : float, default=1.0
        Of the cosine distance in the distance of the features.
    metric : FittedMetric, optional
        Default: cosine.

    Returns
    -------
    alpha : float
        One of `ALPHAS`.
    """
    rng, metric = np.random.RandomState(0), metric or cosine_metric()
    n_folds = int(held_out.folds.max()) + 1
    found = []
    for fold in range(n_folds):
        mine = np.flatnonzero(held_out.folds == fold)
        mine = rng.permutation(mine)[:MOST_COMPARED]
        _, code, counts = np.unique(y[mine], return_inverse=True, return_counts=True)
        queries = np.flatnonzero(counts[code] > 1)  # others have nothing to find
        queries = queries[queries < MOST_QUERIES // n_folds]
        if len(queries):
            n_deep = MOST_DEEP // n_folds
            rows = metric.held_out(fold, np.flatnonzero(held_out.folds != fold), X[mine])
            found.append(_retrieved(rows, y[mine], held_out.leaves[mine], hierarchy, queries, scale, n_deep))
    if sum(first.shape[0] for first, _ in found) < 2:
        return DEFAULT_ALPHA
    first, twenty = (np.concatenate(part) for part in zip(*found, strict=True))

    is_good = within_one_error(first, int(first.mean(axis=0).argmax()))
    gain = twenty.mean(axis=0)
    gain = np.where(is_good, gain - gain[0], -np.inf)  # of no leaves, exactly 0
    return ALPHAS[int(np.flatnonzero(gain >= min(ENOUGH * gain.max(), gain.max()))[0])]


def _retrieved(
    visual: NDArray,
    labels: NDArray[np.intp],
    leaves: NDArray,
    hierarchy: ClassHierarchy | CombinedHierarchy,
    queries: NDArray[np.intp],
    scale: float,
    n_deep: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AP@1 of some rows among all of them, (n_queries, n_alphas), and AP@20 of the first of these queries."""
    dtype = float_dtype(visual)
    leaves_by_class = by_class(leaves, hierarchy.n_classes)
    left = unassigned(leaves)
    counts = np.bincount(labels)
    first = np.empty((len(queries), len(ALPHAS)))
    deep = np.empty((min(n_deep, len(queries)), len(ALPHAS)))
    # Small chunks stay in the caches, for all of the weights.
    for rows in row_chunks(len(queries), 32 * (len(visual) + hierarchy.n_classes), at_most=CHUNK):
        some = queries[rows]
        cosine = (scale * (1 - visual[some] @ visual.T)).astype(dtype)
        cosine[np.arange(len(some)), some] = np.inf
        expected = expected_distances(leaves[some], hierarchy)
        hierarchical = ((leaves_by_class @ expected.T).T + left).astype(dtype)
        buffer = np.empty_like(cosine)
        of_deep = slice(0, max(0, len(deep) - rows.start))
        for i, alpha in enumerate(ALPHAS):
            distances = np.multiply(hierarchical, dtype.type(alpha), out=buffer)
            distances += cosine
            first[rows, i] = labels[distances.argmin(axis=1)] == labels[some]
            precision = average_precision(distances[of_deep], labels, labels[some][of_deep], counts)
            deep[rows.start : rows.start + len(precision), i] = precision
    return first, deep


def by_class(leaves: NDArray, n_classes: int) -> csr_array:
    """Probabilities as a sparse array of samples by classes."""
    starts = np.arange(0, leaves.size + 1, leaves.shape[1])
    parts = (leaves["probability"].ravel(), leaves["leaf"].ravel(), starts)
    return csr_array(parts, shape=(len(leaves), n_classes))


def expected_distances(leaves: NDArray, hierarchy: ClassHierarchy | CombinedHierarchy) -> NDArray[np.float64]:
    """Expected D_H of samples to each class, (n_samples, n_classes).

    Parameters
    ----------
    leaves : ndarray of shape (n_samples, n_kept)
    hierarchy : ClassHierarchy or CombinedHierarchy
        Over as many classes as the leaves are positions of.
    """
    left = unassigned(leaves)[:, None]
    if leaves.shape[1] == 1:  # the very heights of the tree, so that ties are ties
        distinct, inverse = np.unique(leaves["leaf"][:, 0], return_inverse=True)
        return hierarchy.distances_from(distinct)[inverse] * leaves["probability"] + left
    proba = np.zeros((len(leaves), hierarchy.n_classes))
    # A class with probability 0 may stand in several places of a row.
    np.add.at(proba, (np.arange(len(leaves))[:, None], leaves["leaf"]), leaves["probability"])
    return hierarchy.expected_distance(proba) + left
