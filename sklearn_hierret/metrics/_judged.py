"""Ranked labels with their relevances: what every metric is computed from."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer, check_same_kind


class TieGroups:
    """Runs of results at equal distances, and averages over their orders.

    Parameters
    ----------
    distances : array-like of shape (n_queries, n_ranked)
        Ascending in every row.
    """

    def __init__(self, distances: ArrayLike, shape: tuple[int, int]) -> None:
        distances = np.asarray(distances)
        if distances.shape != shape:
            raise ValueError(f"distances must have the shape of y_retrieved, {shape}, got {distances.shape}.")
        if np.any(distances[:, 1:] < distances[:, :-1]) or np.isnan(distances).any():
            raise ValueError("distances must ascend in every row, without NaN.")
        is_first = np.ones(shape, dtype=bool)
        np.not_equal(distances[:, 1:], distances[:, :-1], out=is_first[:, 1:])
        self._starts = np.flatnonzero(is_first)
        self._sizes = np.diff(self._starts, append=is_first.size)
        self._shape = shape
        #: Size of each result's group, and the number of results before it in the group.
        self.size = np.repeat(self._sizes, self._sizes).reshape(shape)
        first = np.repeat(self._starts, self._sizes)
        self.before = (np.arange(is_first.size) - first).reshape(shape)

    def sum(self, values: NDArray) -> NDArray:
        """Sum over each result's group."""
        sums = np.add.reduceat(values.ravel(), self._starts, dtype=np.float64)
        return np.repeat(sums, self._sizes).reshape(self._shape)

    def mean(self, values: NDArray) -> NDArray:
        """Mean over each result's group: the expected value at its rank."""
        return self.sum(values) / self.size


class Ranked:
    """Labels in ranked order, checked.

    Parameters
    ----------
    y_query : array-like of shape (n_queries,)
    y_retrieved : array-like of shape (n_queries, n_ranked)
    k : int or None
        Default: all that are given.
    distances : array-like of shape (n_queries, n_ranked), optional
    """

    def __init__(self, y_query: ArrayLike, y_retrieved: ArrayLike, k: int | None, distances: Any) -> None:
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
        self.k = int(k)
        self.query = query
        self.ties = None if distances is None else TieGroups(distances, retrieved.shape)
        # Without ties, nothing behind k matters.
        self.retrieved = retrieved if distances is not None else retrieved[:, : self.k]
        self._all_retrieved = retrieved

    @property
    def ranks(self) -> NDArray[np.intp]:
        return np.arange(1, self.retrieved.shape[1] + 1)


class Binary(Ranked):
    """A ranking in which a result is relevant if it has the query's label.

    Parameters
    ----------
    y_query, y_retrieved, k
        See `Ranked`.
    n_relevant : array-like of shape (n_queries,) or None
        Relevant items in the gallery; default: those that are found.
    distances
        See `Ranked`.
    """

    def __init__(
        self,
        y_query: ArrayLike,
        y_retrieved: ArrayLike,
        k: int | None = None,
        n_relevant: ArrayLike | None = None,
        distances: ArrayLike | None = None,
    ) -> None:
        super().__init__(y_query, y_retrieved, k, distances)
        everything = np.asarray(self._all_retrieved == self.query[:, None], dtype=bool)
        self.relevant = everything[:, : self.retrieved.shape[1]]
        results = everything.sum(axis=1)
        self.has_count = n_relevant is not None
        self.n_relevant = results if n_relevant is None else np.asarray(n_relevant)
        if self.n_relevant.shape != self.query.shape:
            raise ValueError(f"n_relevant must have shape {self.query.shape}, got {self.n_relevant.shape}.")
        short = np.flatnonzero(~(self.n_relevant >= results))  # and NaN
        if len(short):
            i = short[0]
            raise ValueError(
                f"Query {i} has n_relevant={self.n_relevant[i]}, but {results[i]} relevant results."
            )


class Graded(Ranked):
    """A ranking whose results are more or less relevant, and the best possible ones.

    Parameters
    ----------
    y_query, y_retrieved, k
        See `Ranked`.
    hierarchy : ClassHierarchy, ClassGraph or CombinedHierarchy
        The truth.
    similarities : ndarray of shape (n_classes, n_classes)
        Relevance of items of each class to queries of each class.
    y_gallery : array-like of shape (n_gallery,)
    exclude_query : bool
    distances
        See `Ranked`.
    """

    def __init__(
        self,
        y_query: ArrayLike,
        y_retrieved: ArrayLike,
        k: int | None,
        hierarchy: Any,
        similarities: NDArray[np.float64],
        y_gallery: ArrayLike,
        exclude_query: bool = False,
        distances: ArrayLike | None = None,
    ) -> None:
        super().__init__(y_query, y_retrieved, k, distances)
        gallery = np.asarray(y_gallery)
        if gallery.ndim != 1:
            raise ValueError(f"y_gallery must be one-dimensional, got shape {gallery.shape}.")
        n_ranked = len(gallery) - int(exclude_query)
        if self.k > n_ranked:
            raise ValueError(
                f"k={self.k} is larger than the gallery, which holds {n_ranked} items for a query."
            )
        codes = hierarchy.index(self.query)
        counts = np.bincount(hierarchy.index(gallery), minlength=len(similarities))
        if exclude_query:
            absent = np.flatnonzero(counts[codes] == 0)
            if len(absent):
                label = self.query.tolist()[absent[0]]
                raise ValueError(f"Query {absent[0]} is not in y_gallery (no item of class {label!r}).")
        #: Classes of queries, and which of them each query has.
        self.own, self.position = np.unique(codes, return_inverse=True)
        self.retrieved_codes = hierarchy.index(self.retrieved)
        self.table = similarities[self.own]
        available = np.repeat(counts[None], len(self.own), axis=0)
        available[np.arange(len(self.own)), self.own] -= int(exclude_query)
        #: Codes of the best ranking's first results, and the relevance of all the gallery.
        self._best_codes = np.empty((len(self.own), min(n_ranked, self.retrieved.shape[1])), dtype=np.intp)
        for row, similarity, n_items in zip(self._best_codes, self.table, available, strict=True):
            order = np.argsort(-similarity, kind="stable")
            ends = np.minimum(np.cumsum(n_items[order]), len(row))
            row[:] = np.repeat(order, np.diff(ends, prepend=0))
        self.total = (available * self.table).sum(axis=1)[self.position]
        self._check_possible()

    def of_results(self, table: NDArray) -> NDArray:
        """Entries of a table like `self.table`, for each result: (n_queries, n_ranked)."""
        return table[self.position[:, None], self.retrieved_codes]

    def of_best(self, table: NDArray) -> NDArray:
        """Entries of it for the best ranking of each class of queries: (n_own, k)."""
        return np.take_along_axis(table, self._best_codes[:, : self.k], axis=1)

    @cached_property
    def relevance(self) -> NDArray[np.float64]:
        """Relevance of each result."""
        return self.of_results(self.table)

    @cached_property
    def gained(self) -> NDArray[np.float64]:
        """Relevance expected at each rank, (n_queries, k)."""
        gained = self.relevance if self.ties is None else self.ties.mean(self.relevance)
        return gained[:, : self.k]

    @cached_property
    def levels(self) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Distinct relevances of each class of queries, ascending, and the rank of each entry.

        Returns
        -------
        values : ndarray of shape (n_own, n_levels)
            The last one is repeated where a class has fewer.
        ranks : ndarray of shape (n_own, n_classes)
            ``values[i, ranks[i, c]] == table[i, c]``.
        """
        distinct = [np.unique(row, return_inverse=True) for row in self.table]
        n_levels = max(len(values) for values, _ in distinct)
        values = np.stack([np.pad(v, (0, n_levels - len(v)), mode="edge") for v, _ in distinct])
        return values, np.stack([ranks for _, ranks in distinct])

    def _check_possible(self) -> None:
        gained = np.cumsum(self.relevance[:, : self.k], axis=1)
        best = np.cumsum(self.of_best(self.table), axis=1)[self.position]
        too_good = np.flatnonzero((gained > best * (1 + 1e-9) + 1e-300).any(axis=1))
        if len(too_good):
            raise ValueError(
                f"The results of query {too_good[0]} are better than any ranking of y_gallery: they hold "
                "items that are not in it, or the query itself."
            )
