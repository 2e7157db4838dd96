"""Candidates of a batch of queries, and the limits that they set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._chunking import get_chunk_n_rows


def thin_out(block: NDArray, k: int) -> NDArray:
    """A few of each column's numbers, the k greatest of which bound its k-th greatest.

    They are maxima of groups of rows that lie far apart, for near items lie together.
    """
    n, n_columns = block.shape
    width = n // (8 * k)  # enough groups for the bound to be close
    if width < 2:
        return block
    whole = n - n % width
    maxima = block[:whole].reshape(width, -1, n_columns).max(axis=0)
    return maxima if whole == n else np.concatenate([maxima, block[whole:]])


def kth_greatest(block: NDArray, k: int) -> NDArray:
    """A number that at least k of each column's reach, close to the k-th greatest."""
    few = thin_out(block, k).T.copy()
    at = few.shape[1] - k
    few.partition(at, axis=1)
    return few[:, at]


class Candidates:
    """What may still be among the k nearest of each query.

    Attributes
    ----------
    query, row : ndarrays of shape (n_candidates,)
    number : ndarray of shape (n_candidates,)
        Approximate numbers in the order of D.
    limit : ndarray of shape (n_queries,)
        Above it no number can belong to one of the k nearest.
    """

    def __init__(self, n_queries: int, k: int, error: float, own_row: NDArray[np.intp] | None) -> None:
        self.k = k
        self.margin = 2 * error
        self.own_row = own_row
        self.limit = np.full(n_queries, np.inf)
        self.query = np.empty(0, dtype=np.uint32 if n_queries > 1 << 16 else np.uint16)  # sorted by radix
        self.row = np.empty(0, dtype=np.intp)
        self.number = np.empty(0)
        #: Of padded tables: they stay within the working memory.
        self.n_places = min(1 << 20, get_chunk_n_rows(128))
        self._new: list[tuple[NDArray, NDArray, NDArray]] = []

    def add(self, query: NDArray, row: NDArray[np.intp], number: NDArray) -> None:
        self._new.append((query.astype(self.query.dtype), row, number))

    def tighten(self) -> None:
        """Lower the limits to the k-th numbers so far and drop what lies above."""
        new = [(self.query, self.row, self.number), *self._new]
        query, row, number = (np.concatenate(parts) for parts in zip(*new, strict=True))
        self._new = []
        kept = number <= self.limit[query]
        if self.own_row is not None:
            kept &= row != self.own_row[query]
        query, row, number = query[kept], row[kept], number[kept]
        order = np.argsort(query, kind="stable")
        query, row, number = query[order], row[order], number[order]
        counts = np.bincount(query, minlength=len(self.limit))
        ends = np.cumsum(counts)
        for some in batches(counts, self.n_places):
            enough = some[counts[some] >= self.k]
            if len(enough):
                table = padded(number, ends, counts, enough, np.inf)
                kth = np.partition(table, self.k - 1, axis=1)[:, self.k - 1]
                self.limit[enough] = np.minimum(self.limit[enough], kth + self.margin)
        kept = number <= self.limit[query]
        self.query, self.row, self.number = query[kept], row[kept], number[kept]


def padded(
    values: NDArray, ends: NDArray[np.intp], counts: NDArray[np.intp], which: NDArray[np.intp], filler: float
) -> NDArray:
    """The values of some queries, which lie one after another, in rows of equal length."""
    width = int(counts[which].max())
    columns = np.arange(width)
    start = ends[which] - counts[which]
    inside = columns < counts[which][:, None]
    return np.where(inside, values[np.minimum(start[:, None] + columns, len(values) - 1)], filler)


def batches(counts: NDArray[np.intp], limit: int) -> Iterator[NDArray[np.intp]]:
    """Queries of similar counts together, about `limit` places when padded."""
    order = np.argsort(-counts, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, limit // max(1, int(counts[order[start]])))
        yield order[start : start + size]
        start += size
