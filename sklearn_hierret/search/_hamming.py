"""Exact search of ``Hamming / n_bits + alpha D_H``: codes in, arrays out.

Distances are small integers for each height of the hierarchy, so all that can occur are known
beforehand: they are sorted once, and search compares their ranks. Ties are in one total order,
(distance, serial number).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils._chunking import get_chunk_n_rows

from sklearn_hierret.building import by_class, unassigned
from sklearn_hierret.search._code_index import CodeIndex, as_words, count_dtype, hamming
from sklearn_hierret.search._leaf_distance import HardLeafDistance, LeafDistance, SoftLeafDistance
from sklearn_hierret.search._nearest_codes import NearestCodes, kth_smallest, ranks_of_distances
from sklearn_hierret.search._threads import run_batches

#: Queries that are searched together, and codes that they are compared with in one go.
BATCH_ROWS, BLOCK_ROWS = 32, 1 << 15
#: Where more than one in so many rows are wanted, all are sorted.
DENSE = 32
#: How many times as many codes FAISS is asked for as are wanted.
DEEPER = 4


def search_codes(
    queries: NDArray[np.uint8],
    index: CodeIndex,
    n_neighbors: int,
    *,
    leaf_distance: LeafDistance | None = None,
    alpha: float = 0.0,
    own_serial: NDArray[np.intp] | None = None,
    allowed: NDArray[np.bool_] | None = None,
    n_jobs: int | None = None,
    report: Callable[[int, int], None] | None = None,
    backend: str = "numpy",
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Nearest codes of a gallery.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_bytes)
    index : CodeIndex
        With the leaves that `leaf_distance` is about.
    n_neighbors : int
    leaf_distance : HardLeafDistance or SoftLeafDistance, optional
        Not needed for `alpha` 0.
    alpha : float, default=0.0
        Weight of D_H; infinity orders by (D_H, Hamming distance, serial) and returns D_H.
    own_serial : ndarray of shape (n_queries,), optional
        Serial number that is no neighbour of each query: its own.
    allowed : ndarray of shape (n_rows,), optional
        Rows to search; default all.
    n_jobs : int, optional
        Threads; FAISS has its own.
    report : callable, optional
        Told after each batch how many queries are done, and of how many.
    backend : {"numpy", "faiss"}, default="numpy"
        Who searches where there are no leaves; the results are the same.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors), float64
        Ascending, infinity where too few rows are allowed.
    serials : ndarray of shape (n_queries, n_neighbors)
        Serial numbers; equal distances in ascending order of them; -1 where too few rows are allowed.
    """
    if alpha == 0:
        leaf_distance = None
    if allowed is not None:
        index = index.subset(np.flatnonzero(allowed))
    task = CodeSearch(queries, index, n_neighbors, leaf_distance, alpha, own_serial)
    n_rows = BATCH_ROWS
    if not len(index):
        work: Callable[[NDArray[np.intp]], None] = task.nothing
    elif isinstance(leaf_distance, SoftLeafDistance):
        work = partial(task.by_probabilities, leaf_distance)
        n_rows = get_chunk_n_rows(40 * len(index), max_n_rows=BATCH_ROWS)
    elif DENSE * n_neighbors > len(index):
        work = task.by_sorting
    elif backend == "faiss" and leaf_distance is None:
        work, n_rows, n_jobs = task.by_faiss, get_chunk_n_rows(100 * DEEPER * n_neighbors), 1
    else:
        work = task.by_limits
    run_batches(task.batches(n_rows), work, effective_n_jobs(n_jobs), report)
    return task.distances, task.serials


class CodeSearch:
    """One search: its inputs, the distances that can occur, and its outputs."""

    def __init__(
        self,
        queries: NDArray[np.uint8],
        index: CodeIndex,
        k: int,
        part: LeafDistance | None,
        alpha: float,
        own_serial: NDArray[np.intp] | None,
    ) -> None:
        self.codes, self.queries, self.index = queries, as_words(queries), index
        self.part, self.alpha = part, alpha
        self.k = k
        self.own = np.full(len(queries), -1) if own_serial is None else own_serial
        self.distances = np.full((len(queries), k), np.inf)
        self.serials = np.full((len(queries), k), -1, dtype=np.intp)
        heights = part.heights if isinstance(part, HardLeafDistance) else np.zeros(1)
        #: Rank of the distance at each height and Hamming distance, and the distances.
        self.ranks, self.values = ranks_of_distances(index.n_bits, heights, alpha)
        self.leaf_order: NDArray | None = None
        if isinstance(part, HardLeafDistance):
            self.leaf_order = np.argsort(part.query_leaves, kind="stable")
            self.heights = heights
        elif isinstance(part, SoftLeafDistance) and index.leaves is not None:
            n_leaves = part.distances_of(part.query_leaves[:1]).shape[1]
            self.theirs, self.left = by_class(index.leaves, n_leaves), unassigned(index.leaves)

    def batches(self, n_rows: int) -> Iterator[NDArray[np.intp]]:
        """Queries that are searched together; where there are leaves, those of one."""
        if self.leaf_order is None:
            groups = [np.arange(len(self.codes))]
        else:
            assert isinstance(self.part, HardLeafDistance)
            new_leaf = np.flatnonzero(np.diff(self.part.query_leaves[self.leaf_order])) + 1
            groups = np.split(self.leaf_order, new_leaf)
        for group in groups:
            for start in range(0, len(group), n_rows):
                yield group[start : start + n_rows]

    def nothing(self, which: NDArray[np.intp]) -> None:
        """Find nothing: there is no row."""

    # ------------------------------------------------- few neighbours of many codes

    def by_limits(self, which: NDArray[np.intp]) -> None:
        """Look for codes that are nearer than the k-th found so far, height by height."""
        found = NearestCodes(len(which), self.k, len(self.values), self.own[which], self.part is None)
        for height, rows in self._heights(int(which[0])):
            ranks = self.ranks[height]
            if not np.any(found.limit >= ranks[0]):
                break
            chosen = self.index if rows is None else self.index.subset(rows)
            for start in range(0, len(chosen), BLOCK_ROWS):
                block = slice(start, start + BLOCK_ROWS)
                self._look(found, which, chosen.words[:, block], chosen.serial[block], ranks)
        rank, serial = found.best()
        self.distances[which, : rank.shape[1]] = np.append(self.values, np.inf)[rank]
        self.serials[which, : rank.shape[1]] = serial

    def _look(
        self,
        found: NearestCodes,
        which: NDArray[np.intp],
        words: NDArray,
        serial: NDArray[np.intp],
        ranks: NDArray,
    ) -> None:
        """Compare queries with a block of codes at one height."""
        reach = found.reach(ranks, int(serial[0]))
        query = np.flatnonzero(reach >= 0)
        if not len(query):
            return
        counts = np.empty((len(query), len(serial)), dtype=count_dtype(self.index.n_bits))
        hamming(self.queries[:, which[query]], words, counts)
        reach = reach[query]
        if self.k < len(serial):
            for i in np.flatnonzero(found.limit[query] == found.unlimited):
                reach[i] = kth_smallest(counts[i], self.k + 1, int(reach[i]))  # one may be the query
        place = np.flatnonzero(counts <= reach[:, None].astype(counts.dtype))
        if len(place):
            i, column = np.divmod(place, len(serial))
            found.add(query[i], ranks[counts.ravel()[place]], serial[column])

    def _heights(self, query: int) -> Iterator[tuple[int, NDArray[np.intp] | None]]:
        """Heights, ascending, and the rows of which the LCA with a query's leaf is at each."""
        if not isinstance(self.part, HardLeafDistance):
            yield 0, None
            return
        assert self.index.leaves is not None
        of_leaf = self._heights_of_leaf(query)
        of_row = of_leaf[self.index.leaves]
        for height in np.unique(of_leaf):
            rows = np.flatnonzero(of_row == height)
            if len(rows):
                yield int(height), rows

    def _heights_of_leaf(self, query: int) -> NDArray[np.int32]:
        """Which height each leaf's LCA with the leaf of a query has."""
        assert isinstance(self.part, HardLeafDistance)
        distances = self.part.distances_of(self.part.query_leaves[query : query + 1])[0]
        return np.searchsorted(self.heights, distances).astype(np.int32)

    # ------------------------------------------------------------- whole rankings

    def by_sorting(self, which: NDArray[np.intp]) -> None:
        """Sort all rows."""
        index, heights = self.index, None
        if isinstance(self.part, HardLeafDistance):
            assert index.leaves is not None
            heights = self._heights_of_leaf(int(which[0]))[index.leaves] * self.ranks.shape[1]
        flat = self.ranks.ravel().astype(np.min_scalar_type(len(self.values)))
        counts = np.empty((1, len(index)), dtype=count_dtype(index.n_bits))
        for query in which:
            hamming(self.queries[:, query : query + 1], index.words, counts)
            rank = flat[counts[0]] if heights is None else flat[heights + counts[0]]
            order = np.argsort(rank, kind="stable")  # by radix, where there are few ranks
            order = order[index.serial[order] != self.own[query]][: self.k]
            self.distances[query, : len(order)] = self.values[rank[order]]
            self.serials[query, : len(order)] = index.serial[order]

    # ---------------------------------------------------------------- soft leaves

    def by_probabilities(self, part: SoftLeafDistance, which: NDArray[np.intp]) -> None:
        """Compare with all rows, roughly; and exactly with those that may be among the nearest."""
        index, n_bits = self.index, self.index.n_bits
        assert index.leaves is not None
        counts = np.empty((len(which), len(index)), dtype=count_dtype(n_bits))
        hamming(self.queries[:, which], index.words, counts)
        code_weight, weight = part.weights(self.alpha)
        part = part.of_batch(which)
        dtype: np.dtype = index.leaves.dtype["probability"]
        eps = float(np.finfo(dtype).eps)
        numbers = counts.astype(dtype)
        numbers *= dtype.type(code_weight / n_bits)
        hierarchical = (self.theirs @ part.expected.T.astype(dtype)).T + self.left.astype(dtype)
        numbers += dtype.type(weight) * hierarchical
        numbers[index.serial == self.own[which][:, None]] = np.inf
        k = min(self.k, len(index))
        error = part.error(self.alpha, eps) + 4 * eps * code_weight
        limit = np.partition(numbers, k - 1, axis=1)[:, k - 1].astype(np.float64) + 2 * error
        query, row = np.nonzero((numbers <= limit[:, None]) & np.isfinite(numbers))
        of_query = np.bincount(query, minlength=len(which))
        hierarchical = part.pairs(np.arange(len(which)), of_query, row, index)
        share = counts[query, row] / n_bits
        if np.isinf(self.alpha):
            distance, keys = hierarchical, (share, hierarchical)
        else:
            distance = share + self.alpha * hierarchical
            keys = (distance,)
        order = np.lexsort((index.serial[row], *keys, query))
        first = np.cumsum(of_query) - of_query
        rank = np.arange(len(order)) - first[query[order]]
        kept = order[rank < self.k]
        rank = rank[rank < self.k]
        self.distances[which[query[kept]], rank] = distance[kept]
        self.serials[which[query[kept]], rank] = index.serial[row[kept]]

    # ---------------------------------------------------------------------- FAISS

    def by_faiss(self, which: NDArray[np.intp]) -> None:
        """Ask FAISS for more than wanted, so that no code as far as the k-th is missing, and sort them.

        Where more codes than that are tied, it is better to compare anew.
        """
        index, depth = self.index, min(DEEPER * (self.k + 1), len(self.index))
        counts, rows = index.faiss.search(self.codes[which], depth)
        # Of the codes at the last distance some may be missing; the query itself may be one.
        is_whole = counts[:, -1] > counts[:, self.k]
        done, tied = which[is_whole], which[~is_whole]
        serial = index.serial[rows[is_whole]]
        counts = np.where(serial == self.own[done][:, None], index.n_bits + 1, counts[is_whole])
        order = np.lexsort((serial, counts), axis=1)[:, : self.k]
        self.distances[done] = self.values[np.take_along_axis(counts, order, axis=1)]
        self.serials[done] = np.take_along_axis(serial, order, axis=1)
        for start in range(0, len(tied), BATCH_ROWS):
            self.by_limits(tied[start : start + BATCH_ROWS])
