"""Exact search of ``D = D_C + alpha D_H``: arrays in, arrays out.

Ties are in one total order, (distance, serial number). Plain matrix products round
differently in batches of different shapes, so they only select candidates, within a
margin that covers their error; the candidates' distances are then computed pair by
pair in float64, in an order that no batch changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils._chunking import get_chunk_n_rows

from sklearn_hierret.search._batch import Batch
from sklearn_hierret.search._index import BLOCK_ROWS, GalleryIndex, Segment
from sklearn_hierret.search._leaf_distance import LeafDistance
from sklearn_hierret.search._threads import run_batches

#: Queries of a batch at most.
BATCH_ROWS = 8192


def search(
    queries: NDArray,
    index: GalleryIndex,
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
        Rows of unit length or zero, of the dtype of the index.
    index : GalleryIndex
        With the leaves that `leaf_distance` is about.
    n_neighbors : int
    leaf_distance : HardLeafDistance or SoftLeafDistance, optional
        Not needed for `alpha` 0.
    alpha : float, default=0.0
        Weight of D_H; infinity orders by (D_H, D_C, serial) and returns D_H.
    own_row : ndarray of shape (n_queries,), optional
        A row that is no neighbour of each query: itself.
    allowed : ndarray of shape (n_rows,), optional
        Rows to search, in the order of the index; default all.
    n_jobs : int, optional
        Threads.
    report : callable, optional
        Told after each batch how many queries are done, and of how many.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors), in the dtype of `queries`
        Ascending, infinity where too few rows are allowed.
    serials : ndarray of shape (n_queries, n_neighbors)
        Serial numbers; equal distances in ascending order of them; -1 where too few
        rows are allowed.
    """
    if alpha == 0:
        leaf_distance = None
    task = Task(queries, index, n_neighbors, leaf_distance, alpha, own_row, allowed)
    n_threads = effective_n_jobs(n_jobs)
    run_batches(task.split(n_threads), task.search, n_threads, report)
    return task.distances, task.serials


@dataclass
class Task:
    """One search: its inputs, what follows from them, and its outputs."""

    queries: NDArray
    index: GalleryIndex
    k: int
    part: LeafDistance | None
    alpha: float
    own_row: NDArray[np.intp] | None
    allowed: NDArray[np.bool_] | None

    def __post_init__(self) -> None:
        n_queries, d = self.queries.shape
        self.distances = np.full((n_queries, self.k), np.inf, dtype=self.queries.dtype)
        self.serials = np.full((n_queries, self.k), -1, dtype=np.intp)
        eps = float(np.finfo(self.queries.dtype).eps)
        self.cosine_weight, self.weight = (1.0, 0.0) if self.part is None else self.part.weights(self.alpha)
        self.rounding = (d + 8) * eps  # of a dot product of unit rows
        self.error = self.rounding * self.cosine_weight
        if self.part is not None:
            self.error += self.part.error(self.alpha, eps)
        self.is_lexicographic = self.part is not None and self.part.decides(self.alpha)
        # Blocks of all segments in turn.
        segments = self.index.segments
        self.offsets = self.index.offsets
        self.segment_of = np.repeat(np.arange(len(segments)), [len(s.starts) - 1 for s in segments])
        self.start = np.concatenate([s.starts[:-1] + o for s, o in zip(segments, self.offsets, strict=False)])
        self.stop = np.concatenate([s.starts[1:] + o for s, o in zip(segments, self.offsets, strict=False)])
        self.sizes = self.stop - self.start
        if self.allowed is not None:
            self.sizes = np.add.reduceat(self.allowed, self.start, dtype=np.intp)
        self.is_whole = self.sizes == self.stop - self.start  # every row allowed

    def split(self, n_threads: int) -> Iterator[NDArray[np.intp]]:
        """Batches of queries; those of one leaf are together."""
        n_queries, itemsize = len(self.queries), self.queries.itemsize
        order = np.arange(n_queries)
        row_bytes = len(self.sizes) * (8 + 4 * itemsize) + 2 * min(BLOCK_ROWS, len(self.index)) * itemsize
        row_bytes += 100 * self.k  # candidates
        if self.part is not None:  # its distances to all leaves, on the way and kept
            row_bytes += 32 * (0 if self.index.series is None else len(self.index.series))
        rows = min(
            BATCH_ROWS,
            -(-n_queries // n_threads),
            get_chunk_n_rows(row_bytes * n_threads, max_n_rows=n_queries),
        )
        if self.part is not None:
            order = np.argsort(self.part.nearest_leaves, kind="stable")
        for start in range(0, n_queries, rows):
            yield order[start : start + rows]

    def search(self, which: NDArray[np.intp]) -> None:
        """Search for a batch of queries."""
        Batch(self, which).search()

    def rows(self, first: int, last: int) -> tuple[Segment, slice | NDArray[np.intp], int]:
        """Segment of some blocks, their allowed rows there, and the number of the segment's first row."""
        i = self.segment_of[first]
        start, stop, offset = self.start[first], self.stop[last - 1], int(self.offsets[i])
        if self.is_whole[first]:
            return self.index.segments[i], slice(start - offset, stop - offset), offset
        assert self.allowed is not None
        return self.index.segments[i], np.flatnonzero(self.allowed[start:stop]) + (start - offset), offset
