"""Exact search of ``D = D_C + alpha D_H``, of features by cosine or of codes by Hamming distance.

Scores are cheap and may be rounded: they only select candidates, within a margin that covers their
error. The candidates' distances are then computed pair by pair in float64, in an order that no batch
changes. Ties are in one total order, (distance, serial number).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._sklearn import get_chunk_n_rows
from sklearn_hierret._threads import run_batches, threads_of
from sklearn_hierret.search._batch import Batch
from sklearn_hierret.search._candidates import TooManyCandidatesError
from sklearn_hierret.search._index import Index, leaf_distances
from sklearn_hierret.search._leaf_distance import LeafDistance, Weighing

#: Queries of a batch at most.
BATCH_ROWS = 1024
#: Above it, decimals of a distance are beyond its precision.
HUGE = 1e3


def search(
    queries: NDArray,
    index: Index,
    n_neighbors: int,
    *,
    leaf_distance: LeafDistance | None = None,
    alpha: float = 0.0,
    own_row: NDArray[np.intp] | None = None,
    allowed: NDArray[np.bool_] | None = None,
    n_jobs: int | None = None,
    report: Callable[[int, int], None] | None = None,
) -> tuple[NDArray, NDArray[np.intp]]:
    """Nearest gallery items by ``D = D_C + alpha D_H`` (venkataramanan2023, eq. 6).

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
        Rows of unit length or zero, of the dtype of the index; or packed codes.
    index : Index
        With leaves, if there is a `leaf_distance`.
    n_neighbors : int
    leaf_distance : LeafDistance, optional
        Not needed for `alpha` 0.
    alpha : float, default=0.0
        Weight of D_H; infinity orders by (D_H, D_C, serial) and returns D_H.
    own_row : ndarray of shape (n_queries,), optional
        A row that is no neighbour of each query: itself.
    allowed : ndarray of shape (n_rows,), optional
        Rows to search, in the order of the index; default all.
    n_jobs : int, optional
        Threads; default as many as BLAS would use.
    report : callable, optional
        Told after each batch how many queries are done, and of how many.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors), float64
        Ascending, infinity where too few rows are allowed.
    serials : ndarray of shape (n_queries, n_neighbors)
        Serial numbers; equal distances in ascending order of them; -1 where too few
        rows are allowed.
    """
    if not alpha or leaf_distance is None:
        leaf_distance, alpha = None, 0.0
    task = Task(queries, index, n_neighbors, leaf_distance, alpha, own_row, allowed)
    n_threads = threads_of(n_jobs, len(queries))
    lock, n_done = Lock(), 0

    def work(which: NDArray[np.intp]) -> None:
        nonlocal n_done
        task.search(which)
        if report is not None:
            with lock:
                n_done += len(which)
                report(n_done, len(queries))

    run_batches(list(task.split(n_threads)), work, n_threads)
    return task.distances, task.serials


@dataclass
class Task:
    """One search: its inputs, and its outputs, which each batch fills in for its queries."""

    queries: NDArray
    index: Index
    k: int
    part: LeafDistance | None
    alpha: float
    own_row: NDArray[np.intp] | None
    allowed: NDArray[np.bool_] | None

    def __post_init__(self) -> None:
        shape = len(self.queries), self.k
        self.distances = np.full(shape, np.inf)
        self.serials = np.full(shape, -1, dtype=np.intp)
        self.weighing, self.decides = Weighing(1.0, 0.0), False
        if self.part is not None:
            self.weighing, self.decides = self.part.weighing(self.alpha), self.part.decides(self.alpha)

    def split(self, n_threads: int) -> Iterator[NDArray[np.intp]]:
        """Batches of queries; those of one leaf are together."""
        n_queries = len(self.queries)
        row_bytes = 200 * self.k + len(self.index) // 4
        if (
            self.part is not None and self.index.series is not None
        ):  # distances to all classes, on the way and kept
            row_bytes += 32 * len(self.index.series)
        size = get_chunk_n_rows(row_bytes * n_threads, max_n_rows=BATCH_ROWS)
        size = min(size, -(-n_queries // n_threads))
        order = np.arange(n_queries) if self.part is None else self.part.order()
        for start in range(0, n_queries, size):
            yield order[start : start + size]

    def search(self, which: NDArray[np.intp]) -> None:
        """Search for a batch of queries, or for halves of it where it has too many candidates."""
        try:
            self._search(which)
        except TooManyCandidatesError:
            for half in np.array_split(which, 2):
                self.search(half)

    def _search(self, which: NDArray[np.intp]) -> None:
        distances = weighed = None
        if self.part is not None:
            distances = np.ascontiguousarray(self.part.distances_of(self.part.leaves[which]))
            weighed = self.weighing.of_classes(distances)
        own_row = None if self.own_row is None else self.own_row[which]
        batch = Batch(self.queries[which], self.k, self.weighing, weighed, own_row)
        nearest = Nearest(len(which), self.k)
        for segment, first_row in zip(self.index.segments, self.index.offsets.tolist(), strict=False):
            if not len(segment):
                continue
            results = batch.candidates(segment, first_row, self.allowed)
            for subset, row in results.tables(results.row, -1):
                place = np.maximum(row, 0)
                distance, second = segment.rows.distances(batch.queries[subset], place), None
                if distances is not None:
                    hierarchical = leaf_distances(distances, subset[:, None], segment, place)
                    if self.decides:  # the sum may round the rest away
                        distance, second = hierarchical, distance
                    else:
                        distance = distance + self.alpha * hierarchical
                        if segment.rows.decimals is not None and self.alpha < HUGE:
                            distance = distance.round(segment.rows.decimals)
                nearest.add(subset, distance, second, np.where(row < 0, -1, segment.serial[place]))
        if self.decides and nearest.second is not None and np.isfinite(self.alpha):
            nearest.distance = nearest.second + self.alpha * nearest.distance
        with np.errstate(over="ignore"):  # alpha near the largest float32 can end in infinity
            self.distances[which] = nearest.distance
        self.serials[which] = nearest.serial


class Nearest:
    """The nearest rows of a batch of queries so far, in order."""

    def __init__(self, n_queries: int, k: int) -> None:
        self.k = k
        self.distance = np.full((n_queries, k), np.inf)
        self.second: NDArray[np.float64] | None = None
        self.serial = np.full((n_queries, k), -1, dtype=np.intp)

    def add(
        self,
        subset: NDArray[np.intp],
        distance: NDArray[np.float64],
        second: NDArray[np.float64] | None,
        serial: NDArray[np.intp],
    ) -> None:
        """More rows of some queries, (n_some, n_rows); those with serial -1 are none.

        They are ordered by `distance`, then by `second` if there is one, and then by serial number.
        """
        distance = np.where(serial < 0, np.inf, distance)
        if (self.serial[subset, 0] >= 0).any():  # from other segments
            distance = np.hstack([self.distance[subset], distance])
            serial = np.hstack([self.serial[subset], serial])
            if second is not None and self.second is not None:
                second = np.hstack([self.second[subset], second])
        if second is None:
            order = np.argsort(distance, axis=1)
            ahead = np.take_along_axis(distance, order, axis=1)
            tied = np.flatnonzero(np.any((ahead[:, 1:] == ahead[:, :-1]) & (ahead[:, 1:] < np.inf), axis=1))
            if len(tied):
                order[tied] = np.lexsort((serial[tied], distance[tied]), axis=1)
        else:
            order = np.lexsort((serial, second, distance), axis=1)
            if self.second is None:
                self.second = np.zeros(self.distance.shape)
        order = order[:, : self.k]
        self._put(subset, self.distance, distance, order)
        self._put(subset, self.serial, serial, order)
        if second is not None and self.second is not None:
            self._put(subset, self.second, second, order)

    @staticmethod
    def _put(subset: NDArray[np.intp], table: NDArray, values: NDArray, order: NDArray[np.intp]) -> None:
        table[subset, : order.shape[1]] = np.take_along_axis(values, order, axis=1)
