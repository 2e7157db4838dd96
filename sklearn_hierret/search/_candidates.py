"""Candidates of a batch of queries, and the limits that they set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._sklearn import get_chunk_n_rows

#: Candidates of a batch at most, beyond some for each neighbour.
MOST_CANDIDATES = 1 << 22


class TooManyCandidatesError(Exception):
    """So many rows are tied, or nearly so, that the batch must be smaller."""


class Candidates:
    """Rows of a segment that may still be among the k nearest of each query.

    Attributes
    ----------
    query, row : ndarrays of shape (n_candidates,)
    number : ndarray of shape (n_candidates,)
        Approximate numbers in the order of D.
    limit : ndarray of shape (n_queries,)
        Above it no number can belong to one of the k nearest.
    """

    def __init__(
        self, limit: NDArray[np.float64], k: int, error: float, own_row: NDArray[np.intp] | None
    ) -> None:
        self.k = k
        self.margin = 2 * error
        self.own_row = own_row
        self.limit = limit
        #: More than these are too many, unless they are of one query.
        self.n_most = MOST_CANDIDATES + 8 * k * len(limit)
        self.n_new = 0
        self.query = np.empty(0, dtype=np.uint16)  # sorted by radix
        self.row = np.empty(0, dtype=np.intp)
        self.number = np.empty(0)
        #: Of padded tables: they stay within the working memory.
        self.n_places = min(1 << 20, get_chunk_n_rows(128))
        self._new: list[tuple[NDArray, NDArray, NDArray]] = []

    def add(self, query: NDArray, row: NDArray[np.intp], number: NDArray) -> None:
        """More of them.

        Raises
        ------
        TooManyCandidatesError
        """
        self._new.append((query.astype(self.query.dtype), row, number))
        self.n_new += len(row)
        if self.n_new > self.n_most:
            self.tighten()
            if len(self.row) > self.n_most and len(self.limit) > 1:
                raise TooManyCandidatesError

    def replace(self, query: NDArray, row: NDArray[np.intp], number: NDArray) -> None:
        """By candidates that are within the limits, one query after another."""
        self.query, self.row, self.number = query, row, number

    def tighten(self) -> None:
        """Lower the limits to the k-th numbers so far and drop what lies above."""
        new = [(self.query, self.row, self.number), *self._new]
        query, row, number = (np.concatenate(parts) for parts in zip(*new, strict=True))
        self._new, self.n_new = [], 0
        kept = number <= self.limit[query]
        if self.own_row is not None:
            kept &= row != self.own_row[query]
        query, row, number = query[kept], row[kept], number[kept]
        order = np.argsort(query, kind="stable")
        self.query, self.row, self.number = query[order], row[order], number[order]
        for subset, number in self.tables(self.number, np.inf, least=self.k):
            kth = np.partition(number, self.k - 1, axis=1)[:, self.k - 1]
            self.limit[subset] = np.minimum(self.limit[subset], kth + self.margin)
        kept = self.number <= self.limit[self.query]
        self.query, self.row, self.number = self.query[kept], self.row[kept], self.number[kept]

    def tables(
        self, values: NDArray, filler: float, least: int = 0
    ) -> Iterator[tuple[NDArray[np.intp], NDArray]]:
        """Yield queries of similar counts, and values of their candidates in rows of equal length.

        Parameters
        ----------
        values : ndarray of shape (n_candidates,)
        filler : float
            What rows are filled up with.
        least : int
            Queries with fewer candidates are left out.
        """
        counts = np.bincount(self.query, minlength=len(self.limit))
        ends = np.cumsum(counts)
        order = np.argsort(-counts, kind="stable")
        order = order[counts[order] >= least]
        start = 0
        while start < len(order):
            width = int(counts[order[start]])
            subset = order[start : start + max(1, self.n_places // max(1, width))]
            columns = np.arange(width)
            place = (ends[subset] - counts[subset])[:, None] + columns
            inside = columns < counts[subset][:, None]
            yield subset, np.where(inside, values[np.minimum(place, len(values) - 1)], filler)
            start += len(subset)
