"""Precision of held-out samples that retrieve each other, from a matrix of their distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Ranks that are looked at.
DEPTH = 20


def average_precision(
    distances: NDArray, labels: NDArray[np.intp], wanted: NDArray[np.intp], counts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Compute AP@20 of rows of distances.

    Parameters
    ----------
    distances : ndarray of shape (n_queries, n_others)
        Infinite for a query itself.
    labels : ndarray of shape (n_others,)
    wanted : ndarray of shape (n_queries,)
    counts : ndarray
        Samples of each label among the others, the query included.
    """
    depth = min(DEPTH, len(labels) - 1)
    nearest = np.argpartition(distances, depth - 1, axis=1)[:, :depth]
    order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1)
    is_right = labels[np.take_along_axis(nearest, order, axis=1)] == wanted[:, None]
    precision = np.cumsum(is_right, axis=1) / np.arange(1, depth + 1)
    return (precision * is_right).sum(axis=1) / np.minimum(counts[wanted] - 1, depth)


def within_one_error(scores: NDArray[np.float64], reference: int) -> NDArray[np.bool_]:
    """Find the columns whose loss to a reference is at most its standard error over the rows.

    Parameters
    ----------
    scores : ndarray of shape (n_queries, n_candidates)
    reference : int
        A column.
    """
    loss, error = loss_and_error(scores, reference)
    # One query more or less is one standard error exactly.
    return loss <= error + 1e-12


def loss_and_error(
    scores: NDArray[np.float64], reference: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute how much each column loses to a reference, and the standard error of that.

    Parameters
    ----------
    scores, reference
        See `within_one_error`.
    """
    loss = scores[:, [reference]] - scores
    error = loss.std(axis=0, ddof=min(1, len(loss) - 1)) / np.sqrt(len(loss))
    return loss.mean(axis=0), error
