"""The weight of the hierarchical distance, chosen by what held-out samples retrieve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_hierret._arrays import row_chunks, unit_rows
from sklearn_hierret.building._leaves import HeldOutLeaves, float_dtype, unassigned
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy

#: Weights that are tried, ascending.
ALPHAS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 16.0)
#: Queries of all folds together at rank 1, those at more ranks, and samples that they are compared with.
MOST_QUERIES, MOST_DEEP, MOST_COMPARED = 8192, 1024, 6144
#: Ranks that are looked at, and the share of the best gain at them that is enough.
DEPTH, ENOUGH = 20, 0.8
#: Where nothing can be held out.
DEFAULT_ALPHA = 1.0


def choose_alpha(
    X: NDArray,
    y: NDArray[np.intp],
    held_out: HeldOutLeaves,
    hierarchy: ClassHierarchy | CombinedHierarchy,
    scale: float = 1.0,
) -> float:
    """The weight that held-out samples retrieve best with, rank 1 first, and no larger than it must be.

    They retrieve within their fold, with leaves of models that did not see that fold. The weight is the
    smallest whose mAP@1 is within one standard error of the best (of the difference, over the same
    queries), or the smallest that has `ENOUGH` of the best gain in mAP@20 over no leaves at all,
    whichever is larger; but then none whose mAP@1 is more than one standard error below that of no leaves.

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

    Returns
    -------
    alpha : float
        One of `ALPHAS`.
    """
    rng = np.random.RandomState(0)
    n_folds = int(held_out.folds.max()) + 1
    found = []
    for fold in range(n_folds):
        mine = np.flatnonzero(held_out.folds == fold)
        mine = rng.permutation(mine)[:MOST_COMPARED]
        some = mine[: MOST_QUERIES // n_folds]
        _, code, counts = np.unique(y[mine], return_inverse=True, return_counts=True)
        some = some[counts[code[: len(some)]] > 1]  # others have nothing to find
        if len(some):
            n_deep = MOST_DEEP // n_folds
            found.append(_retrieved(X, y, held_out.leaves, hierarchy, some, mine, scale, n_deep))
    if sum(first.shape[0] for first, _ in found) < 2:
        return DEFAULT_ALPHA
    first, twenty = (np.concatenate(part) for part in zip(*found, strict=True))

    by_first = int(np.flatnonzero(within_one_error(first, int(first.mean(axis=0).argmax())))[0])
    gain = twenty.mean(axis=0)
    gain = gain - gain[0]  # of no leaves, exactly 0
    by_twenty = int(np.flatnonzero(gain >= ENOUGH * gain.max())[0])
    if by_twenty > by_first:
        by_twenty = int(np.flatnonzero(within_one_error(first, 0)[: by_twenty + 1])[-1])
    return ALPHAS[max(by_first, by_twenty)]


def within_one_error(scores: NDArray[np.float64], reference: int) -> NDArray[np.bool_]:
    """Columns whose loss to a reference is at most its standard error over the rows.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_candidates)
    reference : int
        A column.
    """
    loss = scores[:, [reference]] - scores
    error = loss.std(axis=0, ddof=min(1, len(loss) - 1)) / np.sqrt(len(loss))
    # One query more or less is one standard error exactly.
    return loss.mean(axis=0) <= error + 1e-12


def _retrieved(
    X: NDArray,
    y: NDArray[np.intp],
    leaves: NDArray,
    hierarchy: ClassHierarchy | CombinedHierarchy,
    queries: NDArray[np.intp],
    others: NDArray[np.intp],
    scale: float,
    n_deep: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AP@1 of queries among other samples, (n_queries, n_alphas), and AP@20 of the first of them."""
    dtype = float_dtype(X)
    theirs, labels = unit_rows(X[others])[0], y[others]
    theirs_by_class = by_class(leaves[others], hierarchy.n_classes)
    left = unassigned(leaves[others])
    depth = min(DEPTH, len(others) - 1)
    counts = np.bincount(labels)
    first = np.empty((len(queries), len(ALPHAS)))
    deep = np.empty((min(n_deep, len(queries)), len(ALPHAS)))
    for rows in row_chunks(len(queries), 32 * (len(others) + hierarchy.n_classes)):
        some = queries[rows]
        cosine = (scale * (1 - unit_rows(X[some])[0] @ theirs.T)).astype(dtype)
        cosine[some[:, None] == others] = np.inf
        expected = expected_distances(leaves[some], hierarchy)
        hierarchical = ((theirs_by_class @ expected.T).T + left).astype(dtype)
        buffer = np.empty_like(cosine)
        of_deep = slice(0, max(0, len(deep) - rows.start))
        for i, alpha in enumerate(ALPHAS):
            distances = np.multiply(hierarchical, dtype.type(alpha), out=buffer)
            distances += cosine
            first[rows, i] = labels[distances.argmin(axis=1)] == y[some]
            precision = _average_precision(distances[of_deep], labels, y[some][of_deep], depth, counts)
            deep[rows.start : rows.start + len(precision), i] = precision
    return first, deep


def _average_precision(
    distances: NDArray, labels: NDArray, wanted: NDArray, depth: int, counts: NDArray
) -> NDArray[np.float64]:
    """AP@depth of rows of distances."""
    nearest = np.argpartition(distances, depth - 1, axis=1)[:, :depth]
    order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1)
    is_right = labels[np.take_along_axis(nearest, order, axis=1)] == wanted[:, None]
    precision = np.cumsum(is_right, axis=1) / np.arange(1, depth + 1)
    return (precision * is_right).sum(axis=1) / np.minimum(counts[wanted] - 1, depth)


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
