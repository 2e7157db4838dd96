"""Exact search of ``D = D_C + alpha D_H``: arrays in, arrays out.

Ties are in one total order, (distance, gallery position). Plain matrix products round
differently in batches of different shapes, so they only select candidates, within a
margin that covers their error; the candidates' distances are then computed pair by
pair in float64, in an order that no batch changes.

With hard leaves the gallery is sorted by leaf, and queries of one leaf are searched
together: leaves are visited in the order of their hierarchical distance, and those that
a bound rules out are skipped. Queries for which too much would be left to visit, and all
queries with soft leaves or plain cosine, take whole blocks of the gallery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.search._index import GalleryIndex
from sklearn_hierret.search._leaf_distance import PAIR_BYTES, HardLeafDistance, LeafDistance, row_dots

#: Blocks of distances larger than this leave the caches for nothing.
BLOCK_BYTES = 1 << 26
#: Queries that are compared exactly together.
BUNDLE_ROWS = 512
#: Above this share of the gallery left to visit, whole blocks are faster.
DENSE_SHARE = 0.25

Candidates = tuple[NDArray[np.intp], NDArray[np.intp]]


def search(
    queries: NDArray,
    index: GalleryIndex,
    n_neighbors: int,
    *,
    leaf_distance: LeafDistance | None = None,
    alpha: float = 0.0,
    exclude_self: bool = False,
    n_jobs: int | None = None,
) -> tuple[NDArray, NDArray[np.intp]]:
    """Nearest gallery items by ``D = D_C + alpha D_H`` (venkataramanan2023, eq. 6).

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
        Rows of unit length or zero, of the dtype of the index.
    index : GalleryIndex
        Sorted by the leaves if those are hard, else unsorted.
    n_neighbors : int
    leaf_distance : HardLeafDistance or SoftLeafDistance, optional
        Not needed for `alpha` 0.
    alpha : float, default=0.0
        Weight of D_H; infinity orders by (D_H, D_C, position) and returns D_H.
    exclude_self : bool, default=False
        Query i is the item at gallery position i, and none is its own neighbour.
    n_jobs : int, optional
        Threads.

    Returns
    -------
    distances : ndarray of shape (n_queries, n_neighbors), in the dtype of `queries`
        Ascending.
    positions : ndarray of shape (n_queries, n_neighbors)
        In the gallery; equal distances in ascending order of them.
    """
    if alpha == 0:
        leaf_distance = None
    own_row = index.position if exclude_self else None
    n_threads = effective_n_jobs(n_jobs)
    task = _Task(queries, index, n_neighbors, leaf_distance, alpha, own_row, n_threads)
    everything = np.arange(len(queries))
    left = everything
    if isinstance(leaf_distance, HardLeafDistance) and len(index.leaves) > 1:
        order = np.argsort(leaf_distance.query_leaves, kind="stable")
        cuts = np.flatnonzero(np.diff(leaf_distance.query_leaves[order])) + 1
        groups = [part for group in np.split(order, cuts) for part in _parts(group, task.block_rows)]
        left = np.concatenate(_run(task.search_leaves, _bundles(groups, BUNDLE_ROWS), n_jobs))
    _run(task.search_blocks, _parts(np.sort(left), task.block_rows), n_jobs)
    return task.distances, task.positions


def cosine_pairs(
    queries: NDArray, gallery: NDArray, i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Cosine distances of single pairs of unit rows, in float64, the same in every batch."""
    dots = np.empty(len(i))
    size = max(1, PAIR_BYTES // (8 * queries.shape[1]))
    for start in range(0, len(i), size):
        s = slice(start, start + size)
        dots[s] = row_dots(queries[i[s]].astype(np.float64), gallery[j[s]].astype(np.float64))
    return np.clip(1.0 - dots, 0.0, 2.0)


@dataclass
class _Task:
    """One search: its inputs, its outputs, and the two ways to fill them."""

    queries: NDArray
    index: GalleryIndex
    k: int
    part: LeafDistance | None
    alpha: float
    own_row: NDArray[np.intp] | None
    n_threads: int

    def __post_init__(self) -> None:
        n_queries, itemsize = len(self.queries), self.queries.itemsize
        self.distances = np.empty((n_queries, self.k), dtype=self.queries.dtype)
        self.positions = np.empty((n_queries, self.k), dtype=np.intp)
        self.eps = float(np.finfo(self.queries.dtype).eps)
        self.rounding = self.queries.shape[1] + 8.0  # of a dot product of unit rows, in eps
        # Per query and item: the block, D_H's of soft leaves, a mask.
        row_bytes = len(self.index) * (2 * itemsize + 1)
        fitting = min(
            _chunk_rows(row_bytes * self.n_threads),
            BLOCK_BYTES // (len(self.index) * itemsize),
            -(-n_queries // self.n_threads),
        )
        self.block_rows = max(1, fitting)
        self.is_lexicographic = self.part is not None and self.part.decides(self.alpha)

    # -------------------------------------------------------------- leaf after leaf

    def search_leaves(self, groups: list[NDArray[np.intp]]) -> NDArray[np.intp]:
        """Search for groups of queries, each of one leaf.

        Returns the queries that whole blocks suit better.
        """
        found = [self._search_leaf(which) for which in groups]
        done = [which for which, candidates in zip(groups, found, strict=True) if candidates is not None]
        if done:
            first = np.concatenate([[0], np.cumsum([len(which) for which in done])])
            pairs = [candidates for candidates in found if candidates is not None]
            q = np.concatenate([q + start for (q, _), start in zip(pairs, first, strict=False)])
            self._finish(np.concatenate(done), q, np.concatenate([row for _, row in pairs]))
        left = [which for which, candidates in zip(groups, found, strict=True) if candidates is None]
        return np.concatenate([np.empty(0, dtype=np.intp), *left])

    def _search_leaf(self, which: NDArray[np.intp]) -> Candidates | None:
        """Candidates of queries of one leaf, or None where whole blocks are faster."""
        assert isinstance(self.part, HardLeafDistance)
        index, queries, n = self.index, self.queries[which], len(self.index)
        penalty = self.part.penalties(self.alpha, self.part.query_leaves[which[:1]], index.leaves)[0]
        error = self.eps * (self.rounding + 2 * float(penalty.max()))
        sizes = np.diff(index.starts)
        waiting = np.argsort(penalty, kind="stable")
        best = np.full((len(which), 0), np.inf, dtype=queries.dtype)
        limit = np.full(len(which), np.inf)  # of what can still be among the k nearest
        found, wanted = [], self.k + 1
        while len(waiting) and penalty[waiting[0]] <= limit.max():
            if np.isfinite(limit).all():
                waiting = waiting[penalty[waiting] <= limit.max()]
                bound = self._cosine_bounds(queries, waiting) + penalty[waiting]
                waiting = waiting[(bound <= limit[:, None]).any(axis=0)]
                if sizes[waiting].sum() > DENSE_SHARE * n:
                    return None
            n_taken = int(np.searchsorted(np.cumsum(sizes[waiting]), wanted)) + 1
            leaves, waiting = np.sort(waiting[:n_taken]), waiting[n_taken:]
            wanted = max(4096, 2 * wanted)
            for rows, added in _rows_of(leaves, index.starts, penalty, BLOCK_BYTES // queries[:, :1].nbytes):
                block = queries @ index.unit[rows].T
                np.subtract((1 + added).astype(block.dtype), block, out=block)
                numbers = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
                if self.own_row is not None:
                    block[self.own_row[which][:, None] == numbers] = np.inf
                best = _smallest(np.concatenate([best, _thin_out(block, self.k)], axis=1), self.k)
                if best.shape[1] == self.k:
                    limit = best.max(axis=1) + 2 * error
                q, column = _nonzero(block <= limit.astype(block.dtype)[:, None])
                found.append((q, numbers[column], block[q, column]))
        q, row, approximate = (np.concatenate(parts) for parts in zip(*found, strict=True))
        kept = approximate <= limit[q]
        return q[kept], row[kept]

    def _cosine_bounds(self, queries: NDArray, leaves: NDArray[np.intp]) -> NDArray[np.float64]:
        """Lower bounds of D_C from each query to all rows of some leaves.

        A row is at most `radii` from its leaf's centre, so it is no nearer to the query
        than the angle to the centre less that.
        """
        cosine = (queries @ self.index.centres[leaves].T).astype(np.float64)
        cosine += 4 * self.rounding * self.eps
        angle = np.arccos(np.clip(cosine, -1, 1)) - self.index.radii[leaves]
        bound = 1 - np.cos(np.maximum(angle, 0))
        bound[~queries.any(axis=1)] = 0  # a zero query has no angle
        return bound

    # ----------------------------------------------------------------- whole blocks

    def search_blocks(self, which: NDArray[np.intp]) -> None:
        """Search for any queries by their distances to the whole gallery."""
        block, error = self._block(which)
        if self.own_row is not None:
            block[np.arange(len(which)), self.own_row[which]] = np.inf
        # The k nearest are at most 2 errors above the k-th smallest number in the block.
        limit = _smallest(_thin_out(block, self.k), self.k).max(axis=1) + 2 * error
        self._finish(which, *_nonzero(block <= limit.astype(block.dtype)[:, None]))

    def _block(self, which: NDArray[np.intp]) -> tuple[NDArray, float]:
        """Numbers in the order of D for all rows of the index, and their rounding error.

        For soft leaves they are D / max(1, alpha), so that no alpha overflows.
        """
        queries, dtype = self.queries[which], self.queries.dtype
        block = queries @ self.index.unit.T
        np.subtract(1, block, out=block)
        if self.part is None:
            return block, self.eps * self.rounding
        if isinstance(self.part, HardLeafDistance):
            penalty = self.part.penalties(self.alpha, self.part.query_leaves[which], self.index.leaves)
            for i, (start, stop) in enumerate(zip(self.index.starts, self.index.starts[1:], strict=False)):
                block[:, start:stop] += penalty[:, i : i + 1].astype(dtype)
            return block, self.eps * (self.rounding + 2 * float(penalty.max()))
        scale = max(1.0, self.alpha)
        weight = 1.0 if scale == self.alpha else self.alpha
        block *= dtype.type(1 / scale)  # 0 for huge alphas
        hierarchical = self.part.block(which, dtype)
        hierarchical *= dtype.type(weight)
        block += hierarchical
        return block, self.eps * (self.rounding / scale + (self.part.n_terms + 8) * weight)

    # ----------------------------------------------------------- exact, pair by pair

    def _finish(self, which: NDArray[np.intp], q: NDArray[np.intp], row: NDArray[np.intp]) -> None:
        """Compare candidates exactly and fill in the results of the queries `which`."""
        order = np.argsort(q, kind="stable")
        q, row = q[order], row[order]
        counts = np.bincount(q, minlength=len(which))
        ends = np.cumsum(counts)
        for some in _batches(counts, max(len(self.index), 1 << 20)):
            pairs = slice(ends[some.start] - counts[some.start], ends[some.stop - 1])
            query, item = which[q[pairs]], self.index.order[row[pairs]]
            cosine = cosine_pairs(self.queries, self.index.unit, query, row[pairs])
            keys: tuple[NDArray, ...]
            if self.part is None:
                distance, keys = cosine, (cosine, q[pairs])
            else:
                hierarchical = self.part.pairs(query, row[pairs])
                is_infinite = np.isinf(self.alpha)
                distance = hierarchical if is_infinite else cosine + self.alpha * hierarchical
                # Where D_H decides, the sum would round the cosine away.
                by_parts = (cosine, hierarchical, q[pairs])
                keys = by_parts if self.is_lexicographic else (distance, q[pairs])
            ranked = np.lexsort((item, *keys))
            first = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
            take = ranked[first[:, None] + np.arange(self.k)]
            with np.errstate(over="ignore"):  # alpha near the largest float32 can end in infinity
                self.distances[which[some]] = distance[take]
            self.positions[which[some]] = item[take]


def _run(function: Callable, jobs: list, n_jobs: int | None) -> list:
    if n_jobs is None or len(jobs) < 2:
        return [function(job) for job in jobs]
    return Parallel(n_jobs=n_jobs, prefer="threads")(delayed(function)(job) for job in jobs)


def _parts(which: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    return [which[i : i + size] for i in range(0, len(which), size)]


def _bundles(groups: list[NDArray[np.intp]], size: int) -> list[list[NDArray[np.intp]]]:
    """Consecutive groups with about `size` queries together."""
    bundles: list[list[NDArray[np.intp]]] = []
    total = size
    for group in groups:
        if total >= size:
            bundles.append([])
            total = 0
        bundles[-1].append(group)
        total += len(group)
    return bundles


def _chunk_rows(row_bytes: int) -> int:
    """Rows that scikit-learn's working memory holds."""
    return next(row_chunks(1 << 30, row_bytes)).stop


def _thin_out(block: NDArray, k: int) -> NDArray:
    """A few of each row's numbers, the k smallest of which bound its k-th smallest.

    They are minima of groups of columns that lie far apart, for near items lie together.
    """
    n_rows, n = block.shape
    # Enough groups for the bound to be close, and rows of minima long enough to be fast.
    width = n // max(8 * k, min(1024, n // 16))
    if width < 4:
        return block
    whole = n - n % width
    minima = block[:, :whole].reshape(n_rows, width, -1).min(axis=1)
    return minima if whole == n else np.concatenate([minima, block[:, whole:]], axis=1)


def _smallest(values: NDArray, k: int) -> NDArray:
    return values if values.shape[1] <= k else np.partition(values, k - 1, axis=1)[:, :k]


def _nonzero(mask: NDArray[np.bool_]) -> Candidates:
    return np.divmod(np.flatnonzero(mask), mask.shape[1])  # faster than nonzero of two axes


def _rows_of(
    leaves: NDArray[np.intp], starts: NDArray[np.intp], penalty: NDArray[np.float64], limit: int
) -> Iterator[tuple[slice | NDArray[np.intp], NDArray[np.float64]]]:
    """Rows of some leaves, at most `limit` at a time, and the penalty of each.

    A slice where they lie together, which saves a copy.
    """
    sizes = starts[leaves + 1] - starts[leaves]
    added = np.repeat(penalty[leaves], sizes)
    rows = np.repeat(starts[leaves] - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    rows += np.arange(len(rows))
    for i in range(0, len(rows), max(1, limit)):
        some = rows[i : i + max(1, limit)]
        is_run = some[-1] - some[0] == len(some) - 1
        yield (slice(some[0], some[-1] + 1) if is_run else some), added[i : i + len(some)]


def _batches(counts: NDArray[np.intp], limit: int) -> Iterator[slice]:
    """Consecutive rows with at most `limit` candidates together (one row at least)."""
    start, total = 0, 0
    for i, count in enumerate(counts.tolist()):
        if total and total + count > limit:
            yield slice(start, i)
            start, total = i, 0
        total += count
    yield slice(start, len(counts))
