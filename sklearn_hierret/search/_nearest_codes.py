"""The nearest codes so far, and the ranks of all distances that can occur between codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class NearestCodes:
    """What may still be among the k nearest of each query, by (rank of the distance, serial)."""

    def __init__(
        self, n_queries: int, k: int, n_ranks: int, own: NDArray[np.intp], is_in_order: bool
    ) -> None:
        self.k, self.own, self.is_in_order = k, own, is_in_order
        self.unlimited = n_ranks
        #: Rank and serial of the k-th so far.
        self.limit = np.full(n_queries, n_ranks, dtype=np.int64)
        self.last = np.full(n_queries, np.iinfo(np.intp).max)
        self.query = np.empty(0, dtype=np.intp)
        self.rank = np.empty(0, dtype=np.int64)
        self.serial = np.empty(0, dtype=np.intp)

    def reach(self, ranks: NDArray, serial: int) -> NDArray[np.intp]:
        """Largest Hamming distance of interest to each query, for codes from `serial` on; -1 if none."""
        # Behind the k-th so far, codes as far as it come too late.
        return np.searchsorted(ranks, self.limit + (serial < self.last)) - 1

    def add(self, query: NDArray[np.intp], rank: NDArray, serial: NDArray[np.intp]) -> None:
        """Keep the k nearest of those so far and of new ones."""
        other = serial != self.own[query]
        query = np.concatenate([self.query, query[other]])
        rank = np.concatenate([self.rank, rank[other]])
        serial = np.concatenate([self.serial, serial[other]])
        key = query * np.int64(self.unlimited + 1) + rank
        # At one height, codes come in the order of their serial numbers.
        order = np.argsort(key, kind="stable") if self.is_in_order else np.lexsort((serial, key))
        query = query[order]
        place = np.arange(len(query)) - np.searchsorted(query, query)
        kept = place < self.k
        order, place = order[kept], place[kept]
        self.query, self.rank, self.serial = query[kept], rank[order], serial[order]
        kth = place == self.k - 1
        self.limit[self.query[kth]] = self.rank[kth]
        self.last[self.query[kth]] = self.serial[kth]

    def best(self) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Ranks and serials, (n_queries, k); what is missing has the rank after the last and -1."""
        n_queries = len(self.limit)
        rank = np.full((n_queries, self.k), self.unlimited, dtype=np.int64)
        serial = np.full((n_queries, self.k), -1, dtype=np.intp)
        place = np.arange(len(self.query)) - np.searchsorted(self.query, self.query)
        rank[self.query, place] = self.rank
        serial[self.query, place] = self.serial
        return rank, serial


def kth_smallest(counts: NDArray, k: int, highest: int) -> int:
    """k-th smallest of small integers, none above `highest` considered: comparing is faster than sorting."""
    low, high = 0, highest
    while low < high:
        middle = (low + high) // 2
        if np.count_nonzero(counts <= middle) >= k:
            high = middle
        else:
            low = middle + 1
    return high


def ranks_of_distances(
    n_bits: int, heights: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rank of each distance, (n_heights, n_bits + 1), and the distances by rank."""
    shares = np.arange(n_bits + 1) / n_bits
    if np.isinf(alpha) or (len(heights) > 1 and alpha * np.diff(heights).min() > 1):
        # D_H decides: nothing is added that could round the codes away.
        ranks = np.arange(len(heights) * (n_bits + 1)).reshape(len(heights), -1)
        values = np.broadcast_to(heights[:, None], ranks.shape)
        if not np.isinf(alpha):
            values = shares + alpha * heights[:, None]
        return ranks, values.ravel()
    values, ranks = np.unique(shares + alpha * heights[:, None], return_inverse=True)
    # What differs by rounding alone is equal.
    is_new = np.diff(values, prepend=-1.0) > 8 * np.finfo(float).eps * values
    return (np.cumsum(is_new) - 1)[ranks].reshape(len(heights), -1), values[is_new]
