"""A batch of queries, which visit blocks of the gallery together.

The block with the least lower bound comes first and sets a limit; then the blocks that the
limit does not rule out follow, and it falls as they are seen. Where bounds rule nothing out,
that is every block, and the matrix products are as large as those of a plain scan.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.search._candidates import Candidates, batches, kth_greatest
from sklearn_hierret.search._index import BLOCK_ROWS, Segment
from sklearn_hierret.search._leaf_distance import HardLeafDistance, SoftLeafDistance
from sklearn_hierret.search._pairs import cosine_pairs, ranked_pairs

if TYPE_CHECKING:
    from sklearn_hierret.search._exact import Task

#: Scores that are computed at once; more leave the caches for nothing.
BLOCK_BYTES = 1 << 23
#: Above this share of the gallery left to visit, limits are lowered on the way.
LARGE_SHARE = 0.1
#: Queries that are multiplied one by one, and whose blocks are visited in runs.
FEW = 4
#: Pairs are worth computing one by one where they are at most one in so many.
FEW_PAIRS = 64


class Batch:
    """Queries that are searched together."""

    def __init__(self, task: Task, which: NDArray[np.intp]) -> None:
        self.task = task
        self.which = which
        self.queries = task.queries[which]
        self.part = None if task.part is None else task.part.of_batch(which)
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
        everyone = np.arange(len(self.which))
        lower, penalties = [], []
        for segment in task.index.segments:
            bounds = self._cosine_bounds(segment)
            bounds *= dtype.type(task.cosine_weight)
            if self.part is not None:
                penalties.append(self.part.bounds(task.alpha, everyone, segment))
                bounds = bounds + penalties[-1]
            lower.append(bounds)
        if isinstance(self.part, HardLeafDistance):
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
            elif isinstance(self.part, SoftLeafDistance):
                assert segment.leaves is not None
                if self._take_soft(q, scores, segment.leaves, rows, offset, (first, last)):
                    continue
                hierarchical = self.part.scores(
                    q, segment.leaves[rows], self._buffer("hierarchical", n, len(q))
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
        assert isinstance(self.part, SoftLeafDistance)
        hierarchical = self.part.approximate(query[i_query], leaves, local)
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
            if self.part is not None:
                hierarchical = self.part.pairs(some, local, row, task.index)
                distance = hierarchical if np.isinf(task.alpha) else cosine + task.alpha * hierarchical
                # Where D_H decides, the sum would round the cosine away.
                keys = (cosine, hierarchical) if task.is_lexicographic else (distance,)
            ranked = ranked_pairs(keys, serial, local, np.cumsum(local))
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
