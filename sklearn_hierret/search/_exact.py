"""Exact search of ``D = D_C + alpha D_H``: arrays in, arrays out.

Ties are in one total order, (distance, serial number). Plain matrix products round
differently in batches of different shapes, so they only select candidates, within a
margin that covers their error; the candidates' distances are then computed pair by
pair in float64, in an order that no batch changes.

A batch of queries visits blocks of the gallery. The block with the least lower bound
comes first and sets a limit; then the blocks that the limit does not rule out follow, and
it falls as they are seen. Where bounds rule nothing out, that is every block, and the
matrix products are as large as those of a plain scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from sklearn.utils._chunking import get_chunk_n_rows
from threadpoolctl import threadpool_limits

from sklearn_hierret.search._candidates import Candidates, batches, kth_greatest, padded
from sklearn_hierret.search._index import BLOCK_ROWS, GalleryIndex, Segment
from sklearn_hierret.search._leaf_distance import HardLeafDistance, LeafDistance, SoftLeafDistance, run_dots

#: Scores that are computed at once; more leave the caches for nothing.
BLOCK_BYTES = 1 << 23
#: Queries of a batch at most.
BATCH_ROWS = 8192
#: Above this share of the gallery left to visit, limits are lowered on the way.
LARGE_SHARE = 0.1
#: Queries that are multiplied one by one, and whose blocks are visited in runs.
FEW = 4
#: Pairs are worth computing one by one where they are at most one in so many.
FEW_PAIRS = 64


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
    task = _Task(queries, index, n_neighbors, leaf_distance, alpha, own_row, allowed)
    n_threads = effective_n_jobs(n_jobs)
    parts = list(task.split(n_threads))
    done, lock = 0, Lock()

    def run(part: NDArray[np.intp]) -> None:
        nonlocal done
        task.search(part)
        with lock:
            done += len(part)
            if report is not None:
                report(done, len(queries))

    if len(parts) > 1 and n_threads > 1:
        # Not joblib's pool: to start it takes longer than many a search.
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(run, parts))
    else:
        for part in parts:
            run(part)
    return task.distances, task.serials


def cosine_pairs(
    queries: NDArray, counts: NDArray[np.intp], rows: NDArray[np.intp], index: GalleryIndex
) -> NDArray[np.float64]:
    """Cosine distances of single pairs of unit rows, in float64, the same in every batch.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
    counts : ndarray of shape (n_queries,)
        Pairs of each query, which lie one after another.
    rows : ndarray of shape (n_pairs,)
        Rows of the index.
    """
    dots = run_dots(queries, counts, lambda some: index.take("unit", rows[some]))
    return np.clip(1.0 - dots, 0.0, 2.0)


@dataclass
class _Task:
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
        rows = min(BATCH_ROWS, -(-n_queries // n_threads), get_chunk_n_rows(row_bytes * n_threads))
        if self.part is not None:
            order = np.argsort(self.part.nearest_leaves, kind="stable")
        for start in range(0, n_queries, rows):
            yield order[start : start + rows]

    def search(self, which: NDArray[np.intp]) -> None:
        """Search for a batch of queries."""
        _Batch(self, which).search()

    def rows(self, first: int, last: int) -> tuple[Segment, slice | NDArray[np.intp], int]:
        """Segment of some blocks, their allowed rows there, and the number of the segment's first row."""
        i = self.segment_of[first]
        start, stop, offset = self.start[first], self.stop[last - 1], int(self.offsets[i])
        if self.is_whole[first]:
            return self.index.segments[i], slice(start - offset, stop - offset), offset
        assert self.allowed is not None
        return self.index.segments[i], np.flatnonzero(self.allowed[start:stop]) + (start - offset), offset


class _Batch:
    """Queries that are searched together."""

    def __init__(self, task: _Task, which: NDArray[np.intp]) -> None:
        self.task = task
        self.which = which
        self.queries = task.queries[which]
        own_row = None if task.own_row is None else task.own_row[which]
        self.found = Candidates(len(which), task.k, task.error, own_row)
        #: Rows that hold the k nearest for sure, the query itself being one perhaps.
        self.enough = task.k + (own_row is not None)
        #: Of hard leaves; and the least D_H of soft ones, for each query and block.
        self.penalties: NDArray[np.float64] | None = None
        self.floors: NDArray | None = None
        self.buffers: dict[str, NDArray] = {}

    def search(self) -> None:
        task, limit = self.task, self.found.limit
        everyone = np.arange(len(self.which))
        lower = self._bounds()
        nearest = lower.argmin(axis=1)
        self._visit(everyone, nearest, lower)
        self._visit_until_enough(np.flatnonzero(np.isinf(limit)), task.sizes[nearest], lower)
        self.found.tighten()
        left = self._left(lower)
        if left > LARGE_SHARE:
            # Once more the best block of each, and then others far apart, lower many limits.
            nearest = lower.argmin(axis=1)
            query = np.flatnonzero(lower[everyone, nearest] <= self._finite_limit())
            self._visit(query, nearest[query], lower)
            self.found.tighten()
            for stride in (16, 4):
                if self._left(lower) > LARGE_SHARE:
                    self._visit_open(lower, stride)
        self._visit_open(lower, 1)
        self._finish()

    def _finite_limit(self) -> NDArray[np.float64]:
        """Limits that no infinite bound is below."""
        return np.minimum(self.found.limit, np.finfo(np.float64).max)

    def _left(self, lower: NDArray) -> float:
        """Share of the gallery that the queries have yet to visit."""
        waiting = np.count_nonzero(lower <= self._finite_limit()[:, None], axis=0)
        return float(waiting @ self.task.sizes) / max(1, len(lower) * int(self.task.sizes.sum()))

    def _visit_open(self, lower: NDArray, stride: int) -> None:
        """Visit what no limit rules out, every block or some far apart."""
        # Neighbouring blocks together: they are visited in one go where that pays.
        some = np.flatnonzero(self.task.start // BLOCK_ROWS % stride == 0)
        which, query = np.nonzero((lower[:, some] <= self._finite_limit()[:, None]).T)
        if len(which):
            self._visit(query, some[which], lower)
            self.found.tighten()

    # --------------------------------------------------------------------- bounds

    def _bounds(self) -> NDArray:
        """Lower bounds of the numbers of each query in each block, infinite where it is empty."""
        task, dtype = self.task, self.queries.dtype
        lower, penalties = [], []
        for segment in task.index.segments:
            bounds = self._cosine_bounds(segment)
            bounds *= dtype.type(task.cosine_weight)
            if task.part is not None:
                penalties.append(task.part.bounds(task.alpha, self.which, segment))
                bounds = bounds + penalties[-1]
            lower.append(bounds)
        if isinstance(task.part, HardLeafDistance):
            self.penalties = _side_by_side(penalties)
        elif penalties:
            self.floors = _side_by_side(penalties)
        bounds = _side_by_side(lower).astype(np.float64, copy=False)
        bounds -= task.error
        bounds[:, task.sizes == 0] = np.inf
        return bounds

    def _cosine_bounds(self, segment: Segment) -> NDArray:
        """Lower bounds of D_C from each query to all rows of each block.

        A row is at most `radii` from its block's centre, so it is no nearer to the query
        than the angle to the centre less that.
        """
        dtype, slack = self.queries.dtype, 4 * self.task.rounding
        cosine = self.queries @ segment.centres.T
        cosine += dtype.type(slack)
        np.clip(cosine, -1, 1, out=cosine)
        # cos(a - r), written out; 1 - cosine^2 as a product does not cancel.
        along, across = np.cos(segment.radii), np.sin(segment.radii)
        sine = np.sqrt((1 - cosine) * (1 + cosine))
        sine *= across.astype(dtype)
        bound = cosine * along.astype(dtype)
        bound += sine
        np.subtract(dtype.type(1 - slack), bound, out=bound)
        bound[cosine >= along.astype(dtype) - dtype.type(slack)] = 0
        bound[~self.queries.any(axis=1)] = 0  # a zero query has no angle
        return np.maximum(bound, 0, out=bound)

    # --------------------------------------------------------------------- visits

    def _visit_until_enough(self, short: NDArray[np.intp], seen: NDArray[np.intp], lower: NDArray) -> None:
        """Visit the best blocks of queries whose first one was smaller than k."""
        task = self.task
        size = max(1, (1 << 22) // len(task.sizes))
        for start in range(0, len(short), size):
            some = short[start : start + size]
            order = np.argsort(lower[some], axis=1, kind="stable")
            sizes = task.sizes[order]
            before = np.cumsum(sizes, axis=1) - sizes + seen[some][:, None]
            wanted = (before < self.enough) & np.isfinite(np.take_along_axis(lower[some], order, axis=1))
            query, column = np.nonzero(wanted)
            self._visit(some[query], order[query, column], lower)

    def _visit(self, query: NDArray[np.intp], block: NDArray[np.intp], lower: NDArray) -> None:
        """Compare queries with blocks, pair by pair; their bounds become infinite."""
        task = self.task
        order = np.argsort(block, kind="stable")
        query, block = query[order], block[order]
        if not len(block):
            return
        start = np.concatenate([[0], np.flatnonzero(np.diff(block)) + 1])
        counts, blocks = np.diff(start, append=len(block)), block[start]
        # Blocks that lie side by side and are needed by the same queries are visited as one:
        # by all of the batch or, where penalties differ, by one.
        everyone = (counts == len(self.which)) & ((self.penalties is None) | (counts <= FEW))
        alike = np.where(everyone, -1, np.where(counts == 1, query[start], -2))
        whole = task.is_whole[blocks]
        joins = (np.diff(blocks) == 1) & (alike[1:] == alike[:-1]) & (alike[1:] > -2) & whole[1:] & whole[:-1]
        joins &= np.diff(task.start[blocks] // BLOCK_ROWS) == 0
        joins &= np.diff(task.segment_of[blocks]) == 0
        first = np.concatenate([[0], np.flatnonzero(~joins) + 1])
        for i, j in pairwise([*first.tolist(), len(blocks)]):
            mine = query[start[i] : start[i] + counts[i]]
            self._visit_blocks(int(blocks[i]), int(blocks[j - 1]) + 1, mine)
        lower[query, block] = np.inf

    def _visit_blocks(self, first: int, last: int, query: NDArray[np.intp]) -> None:
        task, found = self.task, self.found
        segment, rows, offset = task.rows(first, last)
        unit = segment.unit[rows]
        n = len(unit)
        if not n:
            return
        size = max(1, BLOCK_BYTES // (n * unit.itemsize))
        for i in range(0, len(query), size):
            q = query[i : i + size]
            scores = self._buffer("scores", n, len(q))
            products(unit, self.queries[q], scores)
            base: float | NDArray = task.cosine_weight
            if self.penalties is not None and last - first > 1:
                sizes = task.sizes[first:last]
                numbers = np.repeat(1 + self.penalties[q, first:last], sizes, axis=1) - scores.T
                assert isinstance(rows, slice)
                self._take(q, numbers, rows.start + offset)
                continue
            if self.penalties is not None:
                base = 1 + self.penalties[q, first]
            elif isinstance(task.part, SoftLeafDistance):
                assert segment.leaves is not None
                if self._take_soft(q, scores, segment.leaves, rows, offset, (first, last)):
                    continue
                hierarchical = task.part.scores(
                    self.which[q], segment.leaves[rows], self._buffer("hierarchical", n, len(q))
                )
                scores *= scores.dtype.type(task.cosine_weight)
                hierarchical *= scores.dtype.type(task.weight)
                scores -= hierarchical
            limit = found.limit[q]
            if n >= self.enough and np.isinf(limit).any():
                kth = kth_greatest(scores, self.enough)
                limit = np.minimum(limit, base - kth.astype(np.float64) + found.margin)
                found.limit[q] = limit
            least = (base - limit).astype(scores.dtype)
            least = np.nextafter(least, scores.dtype.type(-np.inf))
            place = np.flatnonzero(scores >= least)
            if len(place):
                item, i_query = np.divmod(place, len(q))
                number = -scores.ravel()[place].astype(np.float64)
                number += base[i_query] if isinstance(base, np.ndarray) else base
                local = item + rows.start if isinstance(rows, slice) else rows[item]
                found.add(q[i_query], local + offset, number)

    def _take(self, query: NDArray[np.intp], numbers: NDArray[np.float64], first_row: int) -> None:
        """Candidates among the numbers of a few queries and a run of rows."""
        found = self.found
        limit = found.limit[query]
        if numbers.shape[1] >= self.enough and np.isinf(limit).any():
            kth = np.partition(numbers, self.enough - 1, axis=1)[:, self.enough - 1]
            limit = np.minimum(limit, kth + found.margin)
            found.limit[query] = limit
        i_query, column = np.nonzero(numbers <= limit[:, None])
        found.add(query[i_query], column + first_row, numbers[i_query, column])

    def _take_soft(
        self,
        query: NDArray[np.intp],
        scores: NDArray,
        leaves: NDArray,
        rows: slice | NDArray[np.intp],
        offset: int,
        blocks: tuple[int, int],
    ) -> bool:
        """Candidates with soft leaves pair by pair, if few are left by their cosine distances.

        Those must leave room for the least D_H in the blocks. The product with all
        probabilities costs more than that with the features where classes are many.
        """
        task, limit = self.task, self.found.limit[query]
        if not task.cosine_weight or self.floors is None or not np.isfinite(limit).all():
            return False
        room = limit - self.floors[query, blocks[0] : blocks[1]].min(axis=1)
        # Scores are in [-1, 1]; a huge alpha leaves room for all or for none.
        least = np.clip(1 - room / task.cosine_weight, -2, 2).astype(scores.dtype)
        least = np.nextafter(least, scores.dtype.type(-np.inf))
        place = np.flatnonzero(scores >= least)
        if FEW_PAIRS * len(place) > scores.size:
            return False
        item, i_query = np.divmod(place, len(query))
        local = item + rows.start if isinstance(rows, slice) else rows[item]
        assert isinstance(task.part, SoftLeafDistance)
        hierarchical = task.part.approximate(self.which[query[i_query]], leaves, local)
        cosine = 1 - scores.ravel()[place].astype(np.float64)
        number = task.cosine_weight * cosine + task.weight * hierarchical
        kept = number <= limit[i_query]
        self.found.add(query[i_query[kept]], local[kept] + offset, number[kept])
        return True

    def _buffer(self, name: str, n_rows: int, n_columns: int) -> NDArray:
        """Memory that is used again: fresh pages cost more than what is computed into them."""
        if name not in self.buffers or self.buffers[name].size < n_rows * n_columns:
            self.buffers[name] = np.empty(n_rows * n_columns, dtype=self.queries.dtype)
        return self.buffers[name][: n_rows * n_columns].reshape(n_rows, n_columns)

    # ---------------------------------------------------------- exact, pair by pair

    def _finish(self) -> None:
        """Compare the candidates exactly and fill in the results."""
        task, found = self.task, self.found
        counts = np.bincount(found.query, minlength=len(self.which))
        ends = np.cumsum(counts)
        for some in batches(counts, found.n_places):
            # The pairs of these queries, one query after another.
            local, which = counts[some], self.which[some]
            first = np.cumsum(local) - local
            pairs = np.arange(int(local.sum())) + np.repeat(ends[some] - local - first, local)
            row = found.row[pairs]
            cosine = cosine_pairs(task.queries[which], local, row, task.index)
            serial = task.index.take("serial", row)
            distance, keys = cosine, (cosine,)
            if task.part is not None:
                hierarchical = task.part.pairs(which, local, row, task.index)
                distance = hierarchical if np.isinf(task.alpha) else cosine + task.alpha * hierarchical
                # Where D_H decides, the sum would round the cosine away.
                keys = (cosine, hierarchical) if task.is_lexicographic else (distance,)
            ranked = _ranked(keys, serial, local, np.cumsum(local))
            n = min(task.k, ranked.shape[1])
            take = ranked[:, :n]
            has = np.arange(n) < local[:, None]
            with np.errstate(over="ignore"):  # alpha near the largest float32 can end in infinity
                values = np.where(has, distance[take], np.inf).astype(task.distances.dtype)
            task.distances[which, :n] = values
            task.serials[which, :n] = np.where(has, serial[take], -1)


def products(rows: NDArray, queries: NDArray, out: NDArray) -> None:
    """``rows @ queries.T``, which is faster than its transpose, and a few queries one by one."""
    if len(queries) > FEW:
        np.matmul(rows, queries.T, out=out)
    else:
        for column, query in zip(out.T, queries, strict=True):
            column[:] = rows @ query


def _side_by_side(parts: list[NDArray]) -> NDArray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _ranked(
    keys: tuple[NDArray, ...], serial: NDArray[np.intp], counts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Pairs of each query in the order of the last key, then of those before it, then of serial."""
    if not len(serial):
        return np.zeros((len(counts), 0), dtype=np.intp)
    everyone = np.arange(len(counts))
    start = (ends - counts)[:, None]
    if len(keys) == 1:
        table = padded(keys[0], ends, counts, everyone, np.inf)
        order = np.argsort(table, axis=1)
        table = np.take_along_axis(table, order, axis=1)
        inside = np.arange(1, table.shape[1]) < counts[:, None]
        if not np.any((table[:, 1:] == table[:, :-1]) & inside):
            return np.minimum(start + order, len(serial) - 1)
    order = np.lexsort((serial, *keys, np.repeat(everyone, counts)))
    places = np.minimum(start + np.arange(int(counts.max())), len(serial) - 1)
    return order[places]
