"""Metrics that know how far wrong a result is, by a hierarchy of the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy import ClassGraph, ClassHierarchy, CombinedHierarchy
from sklearn_hierret.metrics._curves import (
    average_hierarchical_precision_curve,
    average_set_intersection_curve,
    hierarchical_average_precision_curve,
    hierarchical_precision_curve,
    mistake_severity_curve,
    ndcg_curve,
)
from sklearn_hierret.metrics._judged import Graded, Ranked

GAINS: dict[str, Callable[[NDArray], NDArray]] = {
    "linear": lambda relevance: relevance,
    "exp2": lambda relevance: np.exp2(relevance) - 1.0,
}


def hierarchical_precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: Any,
    k: int | None = None,
    *,
    y_gallery: ArrayLike,
    exclude_query: bool = False,
    similarity: str = "lca",
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Hierarchical precision at k: similarity of the first k results over the best possible.

    Parameters
    ----------
    y_query : array-like of shape (n_queries,)
        Labels of the queries.
    y_retrieved : array-like of shape (n_queries, n_ranked)
        Labels of their neighbours, the nearest first.
    hierarchy : ClassHierarchy, ClassGraph or CombinedHierarchy
        The truth about the classes; never the one that did the ranking.
    k : int, optional
        Results that count; default: all that are given.
    y_gallery : array-like of shape (n_gallery,)
        Labels of the gallery, from which the best possible ranking is drawn.
    exclude_query : bool, default=False
        The queries are part of that gallery, and none is its own neighbour.
    similarity : {"lca", "wup", "levels"}, default="lca"
        Relevance of one class to another, see `ClassHierarchy.similarity_matrix`.
    distances : array-like of shape (n_queries, n_ranked), optional
        Distances of the results, for the expected value over the orders of those at equal
        distances, see `average_precision_at_k`.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In [0, 1] (barz2019, eq. 11); NaN where nothing in the gallery is relevant.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, hierarchical_precision_at_k
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> hierarchical_precision_at_k(
    ...     ["dog"], [["cat", "trout"]], tree, k=2, y_gallery=["dog", "cat", "trout"]
    ... )
    array([0.33333333])
    """
    table = relevances(hierarchy, similarity)
    graded = Graded(y_query, y_retrieved, k, hierarchy, table, y_gallery, exclude_query, distances)
    return hierarchical_precision_curve(graded)[:, -1]


def average_hierarchical_precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: Any,
    k: int | None = None,
    *,
    y_gallery: ArrayLike,
    exclude_query: bool = False,
    similarity: str = "lca",
    integration: str = "mean",
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Average hierarchical precision: the area under HP@1 ... HP@k of each query.

    Parameters
    ----------
    y_query, y_retrieved, hierarchy, k, y_gallery, exclude_query, similarity
        See `hierarchical_precision_at_k`.
    integration : {"mean", "trapezoid"}, default="mean"
        "mean": the mean of the k values; 1 for a perfect ranking. "trapezoid": the area below the
        lines between them, 1 / k apart, as the published code of barz2019 computes it; (k - 1) / k for
        a perfect ranking.
    distances
        See `hierarchical_precision_at_k`.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In [0, 1] (barz2019, section 5.2); NaN where nothing in the gallery is relevant.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, average_hierarchical_precision_at_k
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> average_hierarchical_precision_at_k(
    ...     ["dog"], [["cat", "dog"]], tree, k=2, y_gallery=["dog", "cat", "trout"]
    ... )
    array([0.75])
    """
    table = relevances(hierarchy, similarity)
    graded = Graded(y_query, y_retrieved, k, hierarchy, table, y_gallery, exclude_query, distances)
    return average_hierarchical_precision_curve(graded, integration)[:, -1]


def ndcg_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: Any,
    k: int | None = None,
    *,
    y_gallery: ArrayLike,
    exclude_query: bool = False,
    similarity: str = "lca",
    gain: str | Callable[[NDArray], NDArray] = "linear",
    discount: str | Callable[[NDArray], NDArray] = "log2(rank+1)",
    average: bool = False,
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain at k, with gains from a hierarchy.

    Parameters
    ----------
    y_query, y_retrieved, hierarchy, k, y_gallery, exclude_query, similarity
        See `hierarchical_precision_at_k`. ``similarity="levels"`` is the number of shared
        levels, the relevance of the hashing papers.
    gain : {"linear", "exp2"} or callable, default="linear"
        "linear": the relevance; "exp2": ``2 ** relevance - 1``; or a function from an array of
        relevances to gains of at least 0.
    discount : {"log2(rank+1)", "log2(rank)"} or callable, default="log2(rank+1)"
        What the gain at a rank is divided by. "log2(rank)" is that of [1]_ with base 2, used by
        the hashing papers: rank 1 is not discounted. Or a function from an array of ranks.
    average : bool, default=False
        The mean of nDCG@1 ... nDCG@k instead of nDCG@k.
    distances
        See `hierarchical_precision_at_k`. ``similarity="levels"`` is the number of shared
        levels, the relevance of the hashing papers.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In [0, 1]; the ideal ranking is that of the whole gallery. NaN where nothing in the
        gallery is relevant.

    References
    ----------
    .. [1] K. Jarvelin, J. Kekalainen, "Cumulated Gain-Based Evaluation of IR Techniques",
       ACM TOIS 20(4), 2002.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, ndcg_at_k
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> ndcg_at_k(["dog"], [["cat", "dog"]], tree, y_gallery=["dog", "cat", "trout"]).round(3)
    array([0.86])
    """
    table = gains_of(relevances(hierarchy, similarity), gain)
    graded = Graded(y_query, y_retrieved, k, hierarchy, table, y_gallery, exclude_query, distances)
    return ndcg_curve(graded, discount, average)[:, -1]


def hierarchical_average_precision(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: Any,
    k: int | None = None,
    *,
    y_gallery: ArrayLike,
    exclude_query: bool = False,
    similarity: str = "lca",
    denominator: str = "relevant",
    distances: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """H-AP, average precision for graded relevance [1]_.

    ``H-rank(i) = sum over j <= i of min(rel_j, rel_i)``, and H-AP is the sum over the relevant
    ranks of ``H-rank(i) / i``, divided by the sum of all relevances. For relevances that are 0
    or 1 it is AP.

    Parameters
    ----------
    y_query, y_retrieved, hierarchy, k, y_gallery, exclude_query, similarity
        See `hierarchical_precision_at_k`.
    denominator : {"relevant", "min"}, default="relevant"
        "relevant": the sum over the whole gallery, so that only whole rankings reach 1; "min":
        the sum over the first k of the best ranking, as "min" of `average_precision_at_k`.
    distances
        See `hierarchical_precision_at_k`.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In [0, 1]; NaN where nothing in the gallery is relevant.

    References
    ----------
    .. [1] E. Ramzi, N. Audebert, N. Thome, C. Rambour, X. Bitot, "Hierarchical Average
       Precision Training for Pertinent Image Retrieval", ECCV 2022, eqs. 2-3.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, hierarchical_average_precision
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> gallery = ["dog", "cat", "trout"]
    >>> hierarchical_average_precision(["dog"], [["cat", "dog", "trout"]], tree, y_gallery=gallery)
    array([0.83333333])
    """
    table = relevances(hierarchy, similarity)
    graded = Graded(y_query, y_retrieved, k, hierarchy, table, y_gallery, exclude_query, distances)
    return hierarchical_average_precision_curve(graded, denominator)[:, -1]


def average_set_intersection_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: Any,
    k: int | None = None,
    *,
    y_gallery: ArrayLike,
    exclude_query: bool = False,
    similarity: str = "lca",
) -> NDArray[np.float64]:
    """ASI at k: how much the first n results share with the best n, averaged over n = 1 ... k.

    The sets are multisets of relevances, so items of equal relevance are interchangeable [1]_.

    Parameters
    ----------
    y_query, y_retrieved, hierarchy, k, y_gallery, exclude_query, similarity
        See `hierarchical_precision_at_k`. An average over tied orders has no short form and
        is not offered.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In [0, 1]; NaN where nothing in the gallery is relevant.

    References
    ----------
    .. [1] R. Fagin, R. Kumar, D. Sivakumar, "Comparing Top k Lists", SIAM J. Discrete Math.
       17(1), 2003.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, average_set_intersection_at_k
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> gallery = ["dog", "cat", "trout"]
    >>> average_set_intersection_at_k(["dog"], [["cat", "dog"]], tree, y_gallery=gallery)
    array([0.5])
    """
    table = relevances(hierarchy, similarity)
    graded = Graded(y_query, y_retrieved, k, hierarchy, table, y_gallery, exclude_query)
    return average_set_intersection_curve(graded)[:, -1]


def mistake_severity_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: Any,
    k: int | None = None,
    *,
    normalize: bool = False,
) -> NDArray[np.float64]:
    """Mean height of the LCA of the query's class and those of the wrong results in the first k.

    Lower is better. It says nothing about how many results are wrong [1]_.

    Parameters
    ----------
    y_query, y_retrieved, hierarchy, k
        See `hierarchical_precision_at_k`.
    normalize : bool, default=False
        Divide by the height of the root: the mean D_H, in [0, 1].

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In the units of ``hierarchy.heights`` (edges, unless they were given); NaN for queries
        without wrong results.

    References
    ----------
    .. [1] L. Bertinetto, R. Mueller, K. Tertikas, S. Samangooei, N. Lord, "Making Better
       Mistakes: Leveraging Class Hierarchies with Deep Networks", CVPR 2020, section 4.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, mistake_severity_at_k
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> mistake_severity_at_k(["dog", "dog"], [["cat", "trout"], ["dog", "cat"]], tree, k=2)
    array([1.5, 1. ])
    """
    ranked = Ranked(y_query, y_retrieved, k, None)
    return mistake_severities(ranked, hierarchy, normalize)[:, -1]


def relevances(hierarchy: Any, similarity: str) -> NDArray[np.float64]:
    """Similarity matrix of the truth about the classes."""
    check_truth(hierarchy)
    return hierarchy.similarity_matrix(similarity)


def check_truth(hierarchy: Any) -> None:
    """Raise a TypeError unless it can tell what is similar."""
    if not isinstance(hierarchy, (ClassHierarchy, ClassGraph, CombinedHierarchy)):
        raise TypeError(
            f"hierarchy must be a ClassHierarchy (or ClassGraph, CombinedHierarchy), "
            f"got {type(hierarchy).__name__}."
        )


def gains_of(
    relevances: NDArray[np.float64], gain: str | Callable[[NDArray], NDArray]
) -> NDArray[np.float64]:
    """Gains of an array of relevances; see `ndcg_at_k`."""
    if not callable(gain) and gain not in GAINS:
        raise ValueError(f"gain must be one of {tuple(GAINS)} or a callable, got {gain!r}.")
    gains = np.asarray((gain if callable(gain) else GAINS[gain])(relevances), dtype=np.float64)
    if gains.shape != relevances.shape or not np.all(np.isfinite(gains)) or np.any(gains < 0):
        raise ValueError("gain must give a finite number of at least 0 for each relevance.")
    return gains


def mistake_severities(ranked: Ranked, hierarchy: Any, normalize: bool = False) -> NDArray[np.float64]:
    """`mistake_severity_at_k` at 1 ... k, (n_queries, k)."""
    table = relevances(hierarchy, "lca")
    own, position = np.unique(hierarchy.index(ranked.query), return_inverse=True)
    codes = hierarchy.index(ranked.retrieved[:, : ranked.k])
    heights = 1.0 - table[own]
    if not normalize:
        heights *= hierarchy.height
    return mistake_severity_curve(heights[position[:, None], codes], codes != own[position][:, None])
