"""Metrics of ranked lists of labels with binary relevance.

Every function takes the queries' labels and the labels of their ranked neighbours, and
returns one value per query; the ``map_...`` functions return the mean.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_hierret.metrics._curves import (
    average_precision_curve,
    found_share_curve,
    precision_curve,
    recall_curve,
    reciprocal_rank_curve,
)
from sklearn_hierret.metrics._judged import Binary

#: What recall is: whether a relevant item was found, or the share of them that was.
RECALLS = ("any", "share")


def average_precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
    denominator: str = "min",
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Average precision of the first k results of each query.

    ``AP@k = sum of P@i over the relevant ranks i <= k``, divided by `denominator`.

    Parameters
    ----------
    y_query : array-like of shape (n_queries,)
        Labels of the queries.
    y_retrieved : array-like of shape (n_queries, n_ranked)
        Labels of their neighbours, the nearest first.
    k : int, optional
        Results that count; default: all that are given.
    n_relevant : array-like of shape (n_queries,), optional
        R, the relevant items in the whole gallery less the query itself. Default: those
        in `y_retrieved`, which is right only if it ranks the whole gallery.
    denominator : {"min", "relevant", "k", "hits"}, default="min"
        "min": min(R, k), so that a perfect list scores 1; "relevant": R, as trec_eval
        and ranx; "k": k, as the code of venkataramanan2023; "hits": the relevant items
        among the first k, as torchmetrics and the hashing papers (it rewards retrieving
        less).
    distances : array-like of shape (n_queries, n_ranked), optional
        Distances of the results. Results at equal distances then have no order, and the
        score is the expected value over all their orders [1]_. Groups of equal distances are
        known as far as `y_retrieved` goes, which may go beyond `k`. Default: the order
        is as given.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        NaN for queries without relevant items.

    References
    ----------
    .. [1] F. McSherry, M. Najork, "Computing Information Retrieval Performance Measures
       Efficiently in the Presence of Tied Scores", ECIR 2008.

    Examples
    --------
    >>> from sklearn_hierret import average_precision_at_k
    >>> average_precision_at_k(["a"], [["a", "b", "a", "b"]], k=4, n_relevant=[3])
    array([0.55555556])
    """
    binary = Binary(y_query, y_retrieved, k, n_relevant, distances)
    return average_precision_curve(binary, denominator)[:, binary.k - 1]


def map_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
    denominator: str = "min",
    distances: ArrayLike | None = None,
    empty: str = "skip",
    macro: bool = False,
) -> float:
    """Mean average precision at k.

    Parameters
    ----------
    y_query, y_retrieved, k, n_relevant, denominator, distances
        See `average_precision_at_k`.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries without relevant items.
    macro : bool, default=False
        Mean over the classes of the means over their queries, so that rare classes count as much as others.

    Returns
    -------
    score : float
        NaN if no query is left.

    Examples
    --------
    >>> from sklearn_hierret import map_at_k
    >>> map_at_k(["a", "b"], [["a", "b"], ["a", "b"]], k=2, n_relevant=[1, 1])
    0.75
    """
    check_empty(empty)
    scores = average_precision_at_k(
        y_query, y_retrieved, k, n_relevant=n_relevant, denominator=denominator, distances=distances
    )
    return mean_over_queries(scores, empty, y_query if macro else None)


def precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Share of relevant items among the first k results of each query.

    Parameters
    ----------
    y_query, y_retrieved, k
        See `average_precision_at_k`.
    n_relevant : array-like of shape (n_queries,), optional
        Relevant items in the gallery; only tells which queries have none (NaN).
    distances
        See `average_precision_at_k`.

    Returns
    -------
    scores : ndarray of shape (n_queries,)

    Examples
    --------
    >>> from sklearn_hierret import precision_at_k
    >>> precision_at_k(["a"], [["a", "b", "a", "b"]], k=3)
    array([0.66666667])
    """
    binary = Binary(y_query, y_retrieved, k, n_relevant, distances)
    return precision_curve(binary)[:, binary.k - 1]


def recall_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
    kind: str = "any",
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Recall@k as metric learning uses the word, 1 if a relevant item is in the first k; or true recall.

    The former is usually reported at 1, 2, 4 and 8.

    Parameters
    ----------
    y_query, y_retrieved, k
        See `average_precision_at_k`.
    n_relevant : array-like of shape (n_queries,), optional
        Relevant items in the gallery; it tells which queries have none (NaN).
    kind : {"any", "share"}, default="any"
        "share" is true recall: the relevant items among the first k, as a share of all relevant ones. It
        needs `n_relevant`, unless the ranking is that of the whole gallery.
    distances
        See `average_precision_at_k`.

    Returns
    -------
    scores : ndarray of shape (n_queries,)

    Examples
    --------
    >>> from sklearn_hierret import recall_at_k
    >>> recall_at_k(["a", "b"], [["b", "a"], ["a", "a"]], k=2)
    array([1., 0.])
    >>> recall_at_k(["a"], [["b", "a"]], k=2, n_relevant=[4], kind="share")
    array([0.25])
    """
    if kind not in RECALLS:
        raise ValueError(f"kind must be one of {RECALLS}, got {kind!r}.")
    binary = Binary(y_query, y_retrieved, k, n_relevant, distances)
    curve = recall_curve(binary) if kind == "any" else found_share_curve(binary)
    return curve[:, binary.k - 1]


def reciprocal_rank_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Compute one over the rank of the first relevant item, 0 if none of the first k is.

    The mean over queries is the mean reciprocal rank.

    Parameters
    ----------
    y_query, y_retrieved, k
        See `average_precision_at_k`. An average over tied orders is not offered.
    n_relevant : array-like of shape (n_queries,), optional
        Relevant items in the gallery; only tells which queries have none (NaN).

    Returns
    -------
    scores : ndarray of shape (n_queries,)

    Examples
    --------
    >>> from sklearn_hierret import reciprocal_rank_at_k
    >>> reciprocal_rank_at_k(["a", "b"], [["b", "a"], ["a", "a"]])
    array([0.5, 0. ])
    """
    binary = Binary(y_query, y_retrieved, k, n_relevant)
    return reciprocal_rank_curve(binary)[:, binary.k - 1]


def r_precision(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    *,
    n_relevant: ArrayLike | None = None,
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Precision of the first R results, R being the query's relevant items.

    Parameters
    ----------
    y_query, y_retrieved, n_relevant, distances
        See `average_precision_at_k`; `y_retrieved` holds at least max(R) ranks.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        NaN for queries without relevant items.

    Examples
    --------
    >>> from sklearn_hierret import r_precision
    >>> r_precision(["a"], [["a", "b", "a", "b"]], n_relevant=[2])
    array([0.5])
    """
    binary = Binary(y_query, y_retrieved, None, n_relevant, distances)
    return at_r(binary, precision_curve(binary))


def average_precision_at_r(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    *,
    n_relevant: ArrayLike | None = None,
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """AP@R of each query: the mean over the first R ranks of P@i where i is relevant [1]_.

    Parameters
    ----------
    y_query, y_retrieved, n_relevant, distances
        See `average_precision_at_k`; `y_retrieved` holds at least max(R) ranks.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        NaN for queries without relevant items.

    References
    ----------
    .. [1] K. Musgrave, S. Belongie, S. Lim, "A Metric Learning Reality Check", ECCV 2020.

    Examples
    --------
    >>> from sklearn_hierret import average_precision_at_r
    >>> average_precision_at_r(["a"], [["b", "a", "a", "b"]], n_relevant=[2])
    array([0.25])
    """
    binary = Binary(y_query, y_retrieved, None, n_relevant, distances)
    return at_r(binary, average_precision_curve(binary, "relevant"))


def map_at_r(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    *,
    n_relevant: ArrayLike | None = None,
    distances: ArrayLike | None = None,
    empty: str = "skip",
    macro: bool = False,
) -> float:
    """MAP@R: the mean of `average_precision_at_r` over the queries.

    Parameters
    ----------
    y_query, y_retrieved, n_relevant, distances
        See `average_precision_at_k`; `y_retrieved` holds at least max(R) ranks.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries without relevant items.
    macro : bool, default=False
        Mean over the classes of the means over their queries, so that rare classes count as much as others.

    Returns
    -------
    score : float

    Examples
    --------
    >>> from sklearn_hierret import map_at_r
    >>> map_at_r(["a", "b"], [["b", "a", "a"], ["b", "a", "a"]], n_relevant=[2, 1])
    0.625
    """
    check_empty(empty)
    scores = average_precision_at_r(y_query, y_retrieved, n_relevant=n_relevant, distances=distances)
    return mean_over_queries(scores, empty, y_query if macro else None)


def mean_over_queries(
    scores: NDArray[np.float64],
    empty: str = "skip",
    y_query: ArrayLike | None = None,
    sample_weight: NDArray | None = None,
) -> float:
    """Mean of one value per query; NaN marks queries without relevant items.

    Parameters
    ----------
    scores : ndarray of shape (n_queries,)
    empty : {"skip", "zero", "error"}, default="skip"
        Leave such queries out, count them as 0, or raise a ValueError.
    y_query : array-like of shape (n_queries,), optional
        For the mean over these classes of the means over their queries.
    sample_weight : ndarray of shape (n_queries,), optional
        Weights of the queries, within their classes if there are some.

    Returns
    -------
    score : float
    """
    check_empty(empty)
    undefined = np.isnan(scores)
    if empty == "error" and undefined.any():
        raise ValueError(f"{int(undefined.sum())} queries have no relevant item in the gallery.")
    if empty == "zero":
        scores, undefined = np.where(undefined, 0.0, scores), np.zeros(len(scores), dtype=bool)
    if sample_weight is not None:
        undefined = undefined | (sample_weight == 0)
    if undefined.all():
        warnings.warn(
            "No query that counts has a relevant item in the gallery: the mean is NaN.",
            UndefinedMetricWarning,
            2,
        )
        return float("nan")
    scores = scores[~undefined]
    weights = np.ones(len(scores)) if sample_weight is None else sample_weight[~undefined]
    if y_query is None:
        return float(np.average(scores, weights=weights))
    codes = np.unique(np.asarray(y_query)[~undefined], return_inverse=True)[1]
    return float(np.mean(np.bincount(codes, weights * scores) / np.bincount(codes, weights)))


def class_weights(y: NDArray) -> NDArray[np.float64]:
    """Weights of samples, 1 in the mean, that make all classes count alike."""
    _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    return len(y) / (len(counts) * counts[codes])


def check_empty(empty: str) -> None:
    if empty not in ("skip", "zero", "error"):
        raise ValueError(f"empty must be 'skip', 'zero' or 'error', got {empty!r}.")


def at_r(binary: Binary, curve: NDArray[np.float64]) -> NDArray[np.float64]:
    most = int(binary.n_relevant.max())
    if most > curve.shape[1]:
        raise ValueError(
            f"The ranking holds {curve.shape[1]} results, but a query has {most} relevant items."
        )
    last = np.maximum(binary.n_relevant - 1, 0)
    scores = np.take_along_axis(curve, last[:, None], axis=1)[:, 0]
    return np.where(binary.n_relevant > 0, scores, np.nan)
