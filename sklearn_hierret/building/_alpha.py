"""The weight of the hierarchical distance that retrieves best among held-out samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_hierret._arrays import row_chunks, unit_rows
from sklearn_hierret.building._leaves import HeldOutLeaves
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy

#: Weights that are tried, ascending.
ALPHAS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 16.0)
#: Queries of all folds together, and samples of a fold that they are compared with.
MOST_QUERIES, MOST_COMPARED = 2048, 8192
#: Where nothing can be held out.
DEFAULT_ALPHA = 1.0


def choose_alpha(
    X: NDArray,
    y: NDArray[np.intp],
    held_out: HeldOutLeaves,
    hierarchy: ClassHierarchy | CombinedHierarchy,
    scale: float = 1.0,
) -> float:
    """The largest weight whose mAP@1 is within one standard error of the best.

    Held-out samples retrieve within their fold, each by leaves that its fold had no part in. The
    error is that of the difference from the best, over the same queries.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        Classes as integers.
    held_out : HeldOutLeaves
    hierarchy : ClassHierarchy or CombinedHierarchy
        With the class model's classes, in their order.
    scale : float, default=1.0
        Of the cosine distance in the distance of the features.

    Returns
    -------
    alpha : float
        One of `ALPHAS`.
    """
    rng = np.random.RandomState(0)
    n_folds = int(held_out.folds.max()) + 1
    is_right = []
    for fold in range(n_folds):
        mine = np.flatnonzero(held_out.folds == fold)
        mine = rng.permutation(mine)[:MOST_COMPARED]
        some = mine[: MOST_QUERIES // n_folds]
        _, code, counts = np.unique(y[mine], return_inverse=True, return_counts=True)
        some = some[counts[code[: len(some)]] > 1]  # others have nothing to find
        if len(some):
            is_right.append(_first_is_right(X, y, held_out.leaves, hierarchy, some, mine, scale))
    right = np.concatenate(is_right) if is_right else np.zeros((0, len(ALPHAS)))
    if len(right) < 2:
        return DEFAULT_ALPHA
    best = right.mean(axis=0).argmax()
    loss = right[:, [best]].astype(np.float64) - right
    error = loss.std(axis=0, ddof=1) / np.sqrt(len(right))
    return ALPHAS[np.flatnonzero(loss.mean(axis=0) <= error)[-1]]


def _first_is_right(
    X: NDArray,
    y: NDArray[np.intp],
    leaves: NDArray,
    hierarchy: ClassHierarchy | CombinedHierarchy,
    queries: NDArray[np.intp],
    others: NDArray[np.intp],
    scale: float,
) -> NDArray[np.bool_]:
    """Whether the nearest other sample is of the query's class, (n_queries, n_alphas)."""
    theirs, labels = unit_rows(X[others])[0], y[others]
    theirs_by_class = by_class(leaves[others], hierarchy.n_classes)
    right = np.empty((len(queries), len(ALPHAS)), dtype=bool)
    for rows in row_chunks(len(queries), 24 * (len(others) + hierarchy.n_classes)):
        some = queries[rows]
        cosine = scale * (1 - unit_rows(X[some])[0] @ theirs.T)
        cosine[some[:, None] == others] = np.inf
        expected = expected_distances(leaves[some], hierarchy)
        # The mass that their leaves leave to the root is 1 away from everything.
        hierarchical = 1 - (theirs_by_class @ (1 - expected).T).T
        for i, alpha in enumerate(ALPHAS):
            right[rows, i] = labels[(cosine + alpha * hierarchical).argmin(axis=1)] == y[some]
    return right


def by_class(leaves: NDArray, n_classes: int) -> csr_array:
    """Probabilities as a sparse array of samples by classes."""
    n_samples = len(leaves)
    if leaves.ndim == 1:
        data, columns, n_kept = np.ones(n_samples), leaves, 1
    else:
        data, columns, n_kept = leaves["probability"].ravel(), leaves["leaf"].ravel(), leaves.shape[1]
    starts = np.arange(0, n_samples * n_kept + 1, n_kept)
    return csr_array((data, columns, starts), shape=(n_samples, n_classes))


def expected_distances(leaves: NDArray, hierarchy: ClassHierarchy | CombinedHierarchy) -> NDArray[np.float64]:
    """Expected D_H of samples to each class, (n_samples, n_classes).

    Parameters
    ----------
    leaves : ndarray of shape (n_samples,) or soft leaves
    hierarchy : ClassHierarchy or CombinedHierarchy
        Over as many classes as the leaves are positions of.
    """
    if leaves.ndim == 1:
        classes = hierarchy.classes
        return hierarchy.distance(classes[leaves][:, None], classes[None, :])
    proba = np.zeros((len(leaves), hierarchy.n_classes))
    # A class with probability 0 may stand in several places of a row.
    np.add.at(proba, (np.arange(len(leaves))[:, None], leaves["leaf"]), leaves["probability"])
    expected = hierarchy.expected_distance(proba)
    return expected + np.maximum(0, 1 - proba.sum(axis=1, keepdims=True))
