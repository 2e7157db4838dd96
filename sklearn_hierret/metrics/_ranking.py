"""Metrics of ranked lists of labels with binary relevance.

Every function takes the queries' labels and the labels of their ranked neighbours, and
returns one value per query; the ``map_...`` functions return the mean.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_hierret._arrays import check_positive_integer, check_same_kind

DENOMINATORS = ("min", "relevant", "k", "hits")


def average_precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
    denominator: str = "min",
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

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        NaN for queries without relevant items.

    Examples
    --------
    >>> from sklearn_hierret import average_precision_at_k
    >>> average_precision_at_k(["a"], [["a", "b", "a", "b"]], k=4, n_relevant=[3])
    array([0.55555556])
    """
    if denominator not in DENOMINATORS:
        raise ValueError(f"denominator must be 'min', 'relevant', 'k' or 'hits', got {denominator!r}.")
    relevant, n_relevant, k = _relevance(y_query, y_retrieved, k, n_relevant)
    hits = np.cumsum(relevant, axis=1)
    total = (hits / np.arange(1, k + 1) * relevant).sum(axis=1)
    divisor = {
        "min": np.minimum(n_relevant, k),
        "relevant": n_relevant,
        "k": np.full(len(relevant), k),
        "hits": np.maximum(hits[:, -1], 1),
    }[denominator]
    return _per_query(total, divisor, n_relevant)


def map_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
    denominator: str = "min",
    empty: str = "skip",
) -> float:
    """Mean average precision at k.

    Parameters
    ----------
    y_query, y_retrieved, k, n_relevant, denominator
        See `average_precision_at_k`.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries without relevant items.

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
    scores = average_precision_at_k(y_query, y_retrieved, k, n_relevant=n_relevant, denominator=denominator)
    return mean_over_queries(scores, empty)


def precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Share of relevant items among the first k results of each query.

    Parameters
    ----------
    y_query, y_retrieved, k
        See `average_precision_at_k`.
    n_relevant : array-like of shape (n_queries,), optional
        Relevant items in the gallery; only tells which queries have none (NaN).

    Returns
    -------
    scores : ndarray of shape (n_queries,)

    Examples
    --------
    >>> from sklearn_hierret import precision_at_k
    >>> precision_at_k(["a"], [["a", "b", "a", "b"]], k=3)
    array([0.66666667])
    """
    has_count = n_relevant is not None
    relevant, n_relevant, k = _relevance(y_query, y_retrieved, k, n_relevant)
    return _per_query(relevant.sum(axis=1), k, n_relevant if has_count else None)


def recall_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    k: int | None = None,
    *,
    n_relevant: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Recall@k as metric learning uses the word: 1 if a relevant item is in the first k.

    Usually reported at 1, 2, 4 and 8.

    Parameters
    ----------
    y_query, y_retrieved, k
        See `average_precision_at_k`.
    n_relevant : array-like of shape (n_queries,), optional
        Relevant items in the gallery; only tells which queries have none (NaN).

    Returns
    -------
    scores : ndarray of shape (n_queries,)

    Examples
    --------
    >>> from sklearn_hierret import recall_at_k
    >>> recall_at_k(["a", "b"], [["b", "a"], ["a", "a"]], k=2)
    array([1., 0.])
    """
    has_count = n_relevant is not None
    relevant, n_relevant, _ = _relevance(y_query, y_retrieved, k, n_relevant)
    return _per_query(relevant.max(axis=1), 1, n_relevant if has_count else None)


def r_precision(
    y_query: ArrayLike, y_retrieved: ArrayLike, *, n_relevant: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Precision of the first R results, R being the query's relevant items.

    Parameters
    ----------
    y_query, y_retrieved, n_relevant
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
    relevant, n_relevant, _ = _first_r(y_query, y_retrieved, n_relevant)
    return _per_query(relevant.sum(axis=1), n_relevant, n_relevant)


def average_precision_at_r(
    y_query: ArrayLike, y_retrieved: ArrayLike, *, n_relevant: ArrayLike | None = None
) -> NDArray[np.float64]:
    """AP@R of each query: the mean over the first R ranks of P@i where i is relevant [1]_.

    Parameters
    ----------
    y_query, y_retrieved, n_relevant
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
    relevant, n_relevant, k = _first_r(y_query, y_retrieved, n_relevant)
    precision = np.cumsum(relevant, axis=1) / np.arange(1, k + 1)
    return _per_query((precision * relevant).sum(axis=1), n_relevant, n_relevant)


def map_at_r(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    *,
    n_relevant: ArrayLike | None = None,
    empty: str = "skip",
) -> float:
    """MAP@R: the mean of `average_precision_at_r` over the queries.

    Parameters
    ----------
    y_query, y_retrieved, n_relevant
        See `average_precision_at_k`; `y_retrieved` holds at least max(R) ranks.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries without relevant items.

    Returns
    -------
    score : float

    Examples
    --------
    >>> from sklearn_hierret import map_at_r
    >>> map_at_r(["a", "b"], [["b", "a", "a"], ["b", "a", "a"]], n_relevant=[2, 1])
    0.625
    """
    return mean_over_queries(average_precision_at_r(y_query, y_retrieved, n_relevant=n_relevant), empty)


def mean_over_queries(scores: NDArray[np.float64], empty: str = "skip") -> float:
    """Mean of one value per query; NaN marks queries without relevant items.

    Parameters
    ----------
    scores : ndarray of shape (n_queries,)
    empty : {"skip", "zero", "error"}, default="skip"
        Leave such queries out, count them as 0, or raise a ValueError.

    Returns
    -------
    score : float
    """
    check_empty(empty)
    undefined = np.isnan(scores)
    if empty == "error" and undefined.any():
        raise ValueError(f"{int(undefined.sum())} queries have no relevant item in the gallery.")
    if empty == "zero":
        return float(np.where(undefined, 0.0, scores).mean())
    if undefined.all():
        warnings.warn(
            "No query has a relevant item in the gallery: the mean is NaN.", UndefinedMetricWarning, 2
        )
        return float("nan")
    return float(scores[~undefined].mean())


def check_empty(empty: str) -> None:
    if empty not in ("skip", "zero", "error"):
        raise ValueError(f"empty must be 'skip', 'zero' or 'error', got {empty!r}.")


def check_ranking(y_query: ArrayLike, y_retrieved: ArrayLike, k: int | None) -> tuple[NDArray, NDArray, int]:
    """Labels as arrays of matching shapes, the ranking cut at k."""
    query, retrieved = np.asarray(y_query), np.asarray(y_retrieved)
    if query.ndim != 1 or retrieved.ndim != 2 or len(query) != len(retrieved):
        raise ValueError(
            "y_query must have shape (n_queries,) and y_retrieved (n_queries, n_ranked), "
            f"got {query.shape} and {retrieved.shape}."
        )
    if not retrieved.size:
        raise ValueError("There is no query or no retrieved label.")
    check_same_kind(query, retrieved, "y_query", "y_retrieved")
    if k is None:
        k = retrieved.shape[1]
    check_positive_integer(k, "k")
    if k > retrieved.shape[1]:
        raise ValueError(f"k={k} is larger than the ranking, which holds {retrieved.shape[1]} results.")
    return query, retrieved, int(k)


def _relevance(
    y_query: ArrayLike, y_retrieved: ArrayLike, k: int | None, n_relevant: ArrayLike | None
) -> tuple[NDArray[np.bool_], NDArray, int]:
    query, retrieved, k = check_ranking(y_query, y_retrieved, k)
    relevant = np.asarray(retrieved == query[:, None], dtype=bool)
    found = relevant.sum(axis=1)
    if n_relevant is None:
        return relevant[:, :k], found, k
    counts = np.asarray(n_relevant)
    if counts.shape != query.shape:
        raise ValueError(f"n_relevant must have shape {query.shape}, got {counts.shape}.")
    short = np.flatnonzero(counts < found)
    if len(short):
        i = short[0]
        raise ValueError(f"Query {i} has n_relevant={counts[i]}, but {found[i]} relevant results.")
    return relevant[:, :k], counts, k


def _first_r(
    y_query: ArrayLike, y_retrieved: ArrayLike, n_relevant: ArrayLike | None
) -> tuple[NDArray[np.bool_], NDArray, int]:
    relevant, counts, k = _relevance(y_query, y_retrieved, None, n_relevant)
    if counts.max() > k:
        raise ValueError(f"The ranking holds {k} results, but a query has {counts.max()} relevant items.")
    return relevant & (np.arange(k) < counts[:, None]), counts, k


def _per_query(total: NDArray, divisor: NDArray | int, n_relevant: NDArray | None) -> NDArray[np.float64]:
    """total / divisor, NaN where nothing is relevant."""
    scores = np.full(len(total), np.nan)
    some = np.ones(len(total), dtype=bool) if n_relevant is None else n_relevant > 0
    np.divide(total, divisor, out=scores, where=some)
    return scores
