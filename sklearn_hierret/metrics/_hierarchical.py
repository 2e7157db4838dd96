"""Metrics that know how far wrong a result is, by a hierarchy of the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.metrics._ranking import check_ranking


def hierarchical_precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: ClassHierarchy,
    k: int | None = None,
    *,
    y_gallery: ArrayLike,
    exclude_query: bool = False,
    similarity: str = "lca",
) -> NDArray[np.float64]:
    """Hierarchical precision at k: similarity of the first k results over the best possible.

    Parameters
    ----------
    y_query : array-like of shape (n_queries,)
        Labels of the queries.
    y_retrieved : array-like of shape (n_queries, n_ranked)
        Labels of their neighbours, the nearest first.
    hierarchy : ClassHierarchy
        The truth about the classes; never the one that did the ranking.
    k : int, optional
        Results that count; default: all that are given.
    y_gallery : array-like of shape (n_gallery,)
        Labels of the gallery, from which the best possible ranking is drawn.
    exclude_query : bool, default=False
        The queries are part of that gallery, and none is its own neighbour.
    similarity : {"lca", "wup"}, default="lca"
        See `ClassHierarchy.similarity_matrix`.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In [0, 1] (barz2019, eq. 11).

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, hierarchical_precision_at_k
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> hierarchical_precision_at_k(
    ...     ["dog"], [["cat", "trout"]], tree, k=2, y_gallery=["dog", "cat", "trout"]
    ... )
    array([0.33333333])
    """
    curve = _precision_curve(y_query, y_retrieved, hierarchy, k, y_gallery, exclude_query, similarity)
    return curve[:, -1]


def average_hierarchical_precision_at_k(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: ClassHierarchy,
    k: int | None = None,
    *,
    y_gallery: ArrayLike,
    exclude_query: bool = False,
    similarity: str = "lca",
) -> NDArray[np.float64]:
    """Average hierarchical precision: the mean of HP@1 ... HP@k of each query.

    Parameters
    ----------
    y_query, y_retrieved, hierarchy, k, y_gallery, exclude_query, similarity
        See `hierarchical_precision_at_k`.

    Returns
    -------
    scores : ndarray of shape (n_queries,)
        In [0, 1]; 1 for a perfect ranking (barz2019, section 5.2).

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, average_hierarchical_precision_at_k
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> average_hierarchical_precision_at_k(
    ...     ["dog"], [["cat", "dog"]], tree, k=2, y_gallery=["dog", "cat", "trout"]
    ... )
    array([0.75])
    """
    curve = _precision_curve(y_query, y_retrieved, hierarchy, k, y_gallery, exclude_query, similarity)
    return curve.mean(axis=1)


def _precision_curve(
    y_query: ArrayLike,
    y_retrieved: ArrayLike,
    hierarchy: ClassHierarchy,
    k: int | None,
    y_gallery: ArrayLike,
    exclude_query: bool,
    similarity: str,
) -> NDArray[np.float64]:
    """HP@1 ... HP@k of each query, shape (n_queries, k)."""
    query, retrieved, k = check_ranking(y_query, y_retrieved, k)
    gallery = np.asarray(y_gallery)
    n_ranked = len(gallery) - int(exclude_query)
    if k > n_ranked:
        raise ValueError(f"k={k} is larger than the gallery, which holds {n_ranked} items for a query.")
    similarities = hierarchy.similarity_matrix(similarity)
    codes = hierarchy.index(query)
    counts = np.bincount(hierarchy.index(gallery), minlength=hierarchy.n_classes)
    if exclude_query:
        absent = np.flatnonzero(counts[codes] == 0)
        if len(absent):
            raise ValueError(
                f"Query {absent[0]} is not in y_gallery (no item of class {query.tolist()[absent[0]]!r})."
            )
    gained = np.cumsum(similarities[codes[:, None], hierarchy.index(retrieved[:, :k])], axis=1)
    # The best ranking depends on the query's class only.
    own, position = np.unique(codes, return_inverse=True)
    best = np.empty((len(own), k))
    for row, c in zip(best, own, strict=True):
        available = counts.copy()
        available[c] -= int(exclude_query)
        by_similarity = np.argsort(-similarities[c], kind="stable")
        ends = np.minimum(np.cumsum(available[by_similarity]), k)
        row[:] = np.repeat(similarities[c, by_similarity], np.diff(ends, prepend=0))
    best = np.cumsum(best, axis=1)[position]
    too_good = np.flatnonzero((gained > best * (1 + 1e-9)).any(axis=1))
    if len(too_good):
        raise ValueError(
            f"The results of query {too_good[0]} are better than any ranking of y_gallery: they hold items "
            "that are not in it, or the query itself."
        )
    # A gallery in which nothing resembles the query at all leaves 0 / 0.
    return np.divide(gained, best, out=np.full_like(gained, np.nan), where=best > 0)
