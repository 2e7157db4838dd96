"""A batch of queries, which visit blocks of a segment together.

The blocks with the least lower bounds come first and set limits; then those that the limits do not
rule out follow. Where bounds rule nothing out, that is every block, and the matrix products are as
large as those of a plain scan.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.leaves import float_dtype
from sklearn_hierret.search._candidates import Candidates, TooManyCandidatesError
from sklearn_hierret.search._index import GROUP, Segment, _compiled, leaf_distances
from sklearn_hierret.search._leaf_distance import Weighing, least_distances
from sklearn_hierret.search._rows import CodeRows, FeatureRows

#: Queries that are compared with rows in one product, and scores of it; more leave the caches.
TILE_QUERIES, TILE_SCORES = 256, 1 << 19
#: Rows of a product, if there are so many.
TILE_ROWS = 2048
#: The same of codes.
TILE_CODES = 1 << 15
#: Compiled visits are faster where no more than this share of the blocks is visited, for no more
#: neighbours.
SPARSE, MOST_NEIGHBORS = 0.15, 256
#: For so few queries they visit all blocks that are left.
FEW_QUERIES = 4
#: Above this share of the segment left to visit, a part of it comes first, to lower limits.
LARGE_SHARE = 0.1
#: Where more than one group in so many may have a candidate, leaves are compared by a product.
DENSE = 8
#: Of more classes only those that are there take part in it.
FEW_CLASSES = 512


class Batch:
    """Queries that are searched together.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
    k : int
    weighing : Weighing
    distances : ndarray of shape (n_queries, n_classes) or None
        D_H of the queries to all classes, as it is weighed.
    own_row : ndarray of shape (n_queries,) or None
        A row that is no neighbour of each.
    """

    def __init__(
        self,
        queries: NDArray,
        k: int,
        weighing: Weighing,
        distances: NDArray[np.float64] | None,
        own_row: NDArray[np.intp] | None,
    ) -> None:
        self.queries, self.weighing, self.distances, self.own_row = queries, weighing, distances, own_row
        self.k = k
        #: Rows that hold the k nearest for sure, the query itself being one perhaps.
        self.enough = k + (own_row is not None)
        self.limit = np.full(len(queries), np.inf)

    def candidates(
        self, segment: Segment, first_row: int = 0, allowed: NDArray[np.bool_] | None = None
    ) -> Candidates:
        """Rows of a segment that may be among the nearest; the batch's limits fall.

        Parameters
        ----------
        segment : Segment
        first_row : int
            Its number in the index.
        allowed : ndarray of shape (n_rows,), optional
            Rows of the index to search.
        """
        own = None if self.own_row is None else self.own_row - first_row
        if allowed is not None:
            allowed = allowed[first_row : first_row + len(segment)]
        return _Visits(self, segment, own, allowed).run()


class _Visits:
    """The visits of a batch to a segment."""

    def __init__(
        self,
        batch: Batch,
        segment: Segment,
        own_row: NDArray[np.intp] | None,
        allowed: NDArray[np.bool_] | None,
    ) -> None:
        self.batch, self.segment, self.allowed = batch, segment, allowed
        self.weighing, self.queries = batch.weighing, batch.queries
        rows, blocks = segment.rows, segment.blocks
        self.dtype = float_dtype(rows)
        error = 2 * rows.rounding * self.weighing.weight
        self.floors = np.zeros((len(self.queries), len(blocks)), dtype=self.dtype)
        if batch.distances is not None:
            error += self.weighing.error(batch.distances.shape[1], float(np.finfo(self.dtype).eps))
            least = least_distances(batch.distances, blocks, self.dtype)
            np.multiply(least, self.dtype.type(self.weighing.leaf_weight), out=self.floors)
        sizes = np.diff(blocks.starts)
        if allowed is not None:
            sizes = np.add.reduceat(allowed, blocks.starts[:-1], dtype=np.intp)
            self.floors[:, sizes == 0] = np.inf
        self.sizes = sizes
        self.results = Candidates(batch.limit, batch.k, error, own_row)
        self.buffer = np.empty(0, dtype=rows.score_dtype)
        #: Bits are counted in long runs of codes, and as fast in many codes as in few.
        self.is_codes = isinstance(rows, CodeRows)
        self.is_compiled = _compiled is not None and not self.is_codes and batch.k <= MOST_NEIGHBORS
        #: Which blocks are visited by which queries, in this round.
        self.todo = np.zeros((0, 0), dtype=bool)
        #: First row and end of the blocks that are compared in one go; groups may reach beyond.
        self.run_rows = 0, 0

    def run(self) -> Candidates:
        limit = self.batch.limit
        if self.is_compiled and len(limit) <= FEW_QUERIES:  # it lowers limits on the way
            self.results.replace(*self._visit_compiled(self.floors < np.inf))
            return self.results
        seen = self._first(limit)
        self._visit(seen, is_sample=self.batch.distances is None)
        for stride in (1,) if self.is_codes else (16, 4, 1):
            todo = self._open() & ~seen
            if stride > 1:
                if np.count_nonzero(todo) <= LARGE_SHARE * todo.size:
                    continue
                # Blocks that lie side by side are alike; those far apart lower limits.
                todo[:, np.arange(todo.shape[1]) // 8 % stride != 0] = False
            self._visit(todo, is_sample=stride > 1)
            seen |= todo
        return self.results

    @cached_property
    def floors_by_block(self) -> NDArray:
        return np.ascontiguousarray(self.floors.T)

    def _open(self) -> NDArray[np.bool_]:
        """Blocks that limits do not rule out."""
        most = np.minimum(self.batch.limit, np.finfo(self.dtype).max)[:, None] + self.results.margin / 2
        return self.floors <= most

    def _first(self, limit: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Choose the best blocks of each query that has no limit yet, with enough rows."""
        enough, floors = self.batch.enough, self.floors
        todo = np.zeros(floors.shape, dtype=bool)
        query = np.flatnonzero(np.isinf(limit))
        if self.batch.distances is None:  # any will do: each group of rows has one that counts
            before = np.cumsum(self.sizes) - self.sizes
            n_rows = TILE_CODES if self.is_codes else TILE_ROWS
            subset = before < max(n_rows, 3 * enough)
            todo[np.ix_(query, subset)] = True
            return todo
        if self.sizes.min() >= enough:
            todo[query, floors[query].argmin(axis=1)] = True
            return todo
        order = np.argsort(floors[query], axis=1, kind="stable")
        sizes = self.sizes[order]
        before = np.cumsum(sizes, axis=1) - sizes
        todo[query[:, None], order] = (before < enough) & (sizes > 0)
        return todo

    def _visit(self, todo: NDArray[np.bool_], is_sample: bool = False) -> None:
        """Compare queries with blocks."""
        is_sparse = np.count_nonzero(todo) <= SPARSE * todo.size and not is_sample
        if is_sparse and self.is_compiled:
            self.results.add(*self._visit_compiled(todo))
        else:
            self._visit_by_products(todo)
        self.results.tighten()

    def _visit_compiled(self, todo: NDArray[np.bool_]) -> tuple[NDArray, NDArray, NDArray]:
        batch, segment, results = self.batch, self.segment, self.results
        assert isinstance(segment.rows, FeatureRows)
        leaf, distances = segment.leaf[:0], np.zeros((1, 1), dtype=self.dtype)
        if batch.distances is not None:
            leaf, distances = segment.leaf, batch.distances.astype(self.dtype)
        candidates = _compiled.visit(
            batch.queries,
            segment.rows.unit,
            leaf,
            segment.probability,
            segment.left,
            distances,
            self.floors,
            todo,
            segment.blocks.starts,
            np.empty(0, dtype=bool) if self.allowed is None else self.allowed,
            np.empty(0, dtype=np.intp) if results.own_row is None else results.own_row,
            batch.k,
            batch.limit,
            results.margin,
            self.weighing.weight,
            self.weighing.leaf_weight,
            results.n_most,
        )
        if len(candidates[0]) > results.n_most and len(todo) > 1:
            raise TooManyCandidatesError  # and it stopped
        return candidates

    def _visit_by_products(self, todo: NDArray[np.bool_]) -> None:
        """Compare queries with blocks, those that lie side by side in one go."""
        starts = self.segment.blocks.starts
        block = np.flatnonzero(todo.any(axis=0))
        if not len(block):
            return
        compare, n_rows = self._compare, max(TILE_ROWS, TILE_SCORES // len(todo))
        if self.is_codes:
            compare, n_rows = self._compare_codes, TILE_CODES
        cut = np.flatnonzero((np.diff(block) > 1) | (np.diff(starts[block] // n_rows) > 0)) + 1
        first, last = block[np.append(0, cut)], block[np.append(cut - 1, len(block) - 1)] + 1
        self.todo = todo
        for i, j in zip(first.tolist(), last.tolist(), strict=True):
            query = np.flatnonzero(todo[:, i:j].any(axis=1))
            self.run_rows = int(starts[i]), int(starts[j])
            for start in range(0, len(query), TILE_QUERIES):
                compare(*self.run_rows, query[start : start + TILE_QUERIES])

    def _scores(self, query: NDArray[np.intp], start: int, stop: int) -> NDArray:
        n = (stop - start) * len(query)
        if self.buffer.size < n:  # fresh pages cost more than what is computed into them
            self.buffer = np.empty(n, dtype=self.buffer.dtype)
        buffer = self.buffer[:n].reshape(stop - start, len(query))
        return self.segment.rows.scores(self.queries[query], slice(start, stop), buffer)

    def _compare_codes(self, start: int, stop: int, query: NDArray[np.intp]) -> None:
        """Compare queries with a run of codes: all counts of bits with the largest of interest."""
        rows, blocks, limit = self.segment.rows, self.segment.blocks, self.batch.limit
        counts = self._scores(query, start, stop).T
        if self.batch.distances is None and self.allowed is None and stop - start >= self.batch.enough:
            for i in np.flatnonzero(np.isinf(limit[query])):
                below = np.cumsum(np.bincount(counts[i]))
                most = rows.scale * np.searchsorted(below, self.batch.enough) * self.weighing.weight
                limit[query[i]] = most + self.results.margin
        subset = slice(*np.searchsorted(blocks.starts, [start, stop]))
        most = np.minimum(limit[query], np.finfo(np.float64).max)[:, None]
        with np.errstate(over="ignore"):
            room = (most - self.floors[query, subset]) / (self.weighing.weight * rows.scale)
        above = np.clip(np.floor(room) + 1, 0, np.iinfo(counts.dtype).max).astype(counts.dtype)
        if self.batch.distances is None and self.allowed is None:
            above = above[:, :1]
        else:
            above = np.repeat(above, np.diff(blocks.starts[subset.start : subset.stop + 1]), axis=1)
        column, row = np.divmod(np.flatnonzero(counts < above), stop - start)
        self.results.add(*self._compare_pairs(query[column], row + start, counts[column, row]))

    def _compare(self, start: int, stop: int, query: NDArray[np.intp]) -> None:
        """Compare queries with a run of rows."""
        rows, blocks = self.segment.rows, self.segment.blocks
        groups = slice(start // GROUP, -(-stop // GROUP))
        start, stop = groups.start * GROUP, min(groups.stop * GROUP, len(rows))
        n = stop - start
        scores = self._scores(query, start, stop)
        whole = n // GROUP * GROUP
        best = scores[:whole].reshape(-1, GROUP, len(query)).min(axis=1)
        if whole < n:
            best = np.concatenate([best, scores[whole:].min(axis=0)[None]])
        # Scores that are near enough if D_H is no more than the floor.
        weight, limit = self.weighing.weight, self.batch.limit
        floors: NDArray | None = None
        if self.batch.distances is not None:
            first, last = blocks.of_group[:, groups]
            of_block = self.floors_by_block[first[0] : last[-1] + 1][:, query]
            floors = np.minimum(of_block[first - first[0]], of_block[last - first[0]])
            with np.errstate(over="ignore"):
                floors /= self.dtype.type(weight * rows.scale)
            best = best + floors
        elif self.allowed is None and len(best) >= self.batch.enough and np.isinf(limit[query]).any():
            # Each group has a row that is as near as its best score says.
            kth = np.partition(best, self.batch.enough - 1, axis=0)[self.batch.enough - 1]
            most = weight * (rows.offset + rows.scale * kth.astype(np.float64)) + self.results.margin
            limit[query] = np.minimum(limit[query], most)
        with np.errstate(over="ignore"):
            room = ((limit[query] / weight - rows.offset) / rows.scale).astype(self.dtype)
        group, column = np.nonzero(best <= room)
        if floors is not None and DENSE * len(group) > best.size:
            results = self._compare_leaves(query, start, stop, scores)
        else:
            row = group[:, None] * GROUP + np.arange(GROUP)
            near = scores[np.minimum(row, n - 1), column[:, None]]
            left = room[column] if floors is None else room[column] - floors[group, column]
            chosen = np.flatnonzero((near <= left[:, None]) & (row < n))
            pair = query[column[chosen // GROUP]], row.ravel()[chosen] + start
            results = self._compare_pairs(*pair, near.ravel()[chosen])
        self.results.add(*results)

    def _compare_leaves(
        self, query: NDArray[np.intp], start: int, stop: int, scores: NDArray
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Candidates among all scores, with D_H by a matrix product."""
        segment, weighing, distances = self.segment, self.weighing, self.batch.distances
        assert distances is not None
        rows, number = slice(start, stop), self.dtype.type
        place = segment.leaf[:, rows].ravel()
        if distances.shape[1] > FEW_CLASSES:
            classes, place = np.unique(place, return_inverse=True)
            other = distances[np.ix_(query, classes)].T
        else:
            other = distances[query].T
        proba = np.zeros((stop - start, len(other)), dtype=self.dtype)
        row = np.tile(np.arange(stop - start), len(segment.leaf))
        np.add.at(proba, (row, place), segment.probability[:, rows].ravel())
        numbers = proba @ other.astype(self.dtype)
        numbers += segment.left[rows, None].astype(self.dtype)
        numbers *= number(weighing.leaf_weight)
        numbers += number(weighing.weight * segment.rows.scale) * scores
        numbers += number(weighing.weight * segment.rows.offset)
        most = self.batch.limit[query] + self.results.margin / 2
        row, column = np.nonzero(numbers <= np.minimum(most, np.finfo(self.dtype).max).astype(self.dtype))
        near = numbers[row, column].astype(np.float64)
        kept = self._is_asked(query[column], row + start)
        return query[column[kept]], row[kept] + start, near[kept]

    def _compare_pairs(
        self, query: NDArray[np.intp], row: NDArray[np.intp], scores: NDArray
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Candidates among single pairs, with D_H of each."""
        kept = self._is_asked(query, row)
        query, row, scores = query[kept], row[kept], scores[kept].astype(np.float64)
        rows, weighing = self.segment.rows, self.weighing
        number = weighing.weight * (rows.offset + rows.scale * scores)
        if self.batch.distances is not None:
            number += weighing.leaf_weight * leaf_distances(self.batch.distances, query, self.segment, row)
            kept = number <= self.batch.limit[query]
            query, row, number = query[kept], row[kept], number[kept]
        return query, row, number

    def _is_asked(self, query: NDArray[np.intp], row: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether rows are in the run, in a block that a query visits in this round, and allowed."""
        asked = self.todo[query, self.segment.blocks.of_rows(row)]
        asked &= (row >= self.run_rows[0]) & (row < self.run_rows[1])
        return asked if self.allowed is None else asked & self.allowed[row]
