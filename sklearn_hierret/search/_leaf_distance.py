"""The hierarchical part of the distance, for hard and for soft leaves.

Search compares *numbers* in the order of D. Both classes say how a number is made of a
cosine distance (its weight and what is added to it), bound their part of it for whole
blocks, and answer for single pairs in float64, with a value that does not depend on the
batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.search._code_index import CodeIndex
from sklearn_hierret.search._index import GalleryIndex, Segment
from sklearn_hierret.search._pairs import PAIR_BYTES, run_dots


class HardLeafDistance:
    """D_H of leaves that are known: a look-up (venkataramanan2023, eq. 5).

    Parameters
    ----------
    query_leaves : ndarray of shape (n_queries,)
        Rows of `distances`; those of the gallery are the index's.
    distances : ndarray of shape (n_leaves, n_leaves)
        D_H of the leaves.
    heights : ndarray, optional
        The distinct values of `distances`, ascending, where they are known already.
    """

    def __init__(self, query_leaves: NDArray, distances: NDArray, heights: NDArray | None = None) -> None:
        self.query_leaves = self.nearest_leaves = query_leaves
        self.distances = distances
        self.heights = np.unique(distances) if heights is None else heights

    def weights(self, alpha: float) -> tuple[float, float]:
        """Of the cosine distance in a number, and of D_H as an added score."""
        return 1.0, 0.0

    def error(self, alpha: float, eps: float) -> float:
        """Rounding of this part of a number, computed at a relative error `eps`."""
        top = 4.0 * len(self.heights) if self.decides(alpha) else alpha * float(self.heights[-1])
        return 8 * float(np.finfo(np.float64).eps) * top

    def penalties(self, alpha: float, queries: NDArray[np.intp], segment: Segment) -> NDArray[np.float64]:
        """What is added to the cosine distances from some queries to the rows of each block.

        ``alpha D_H``; or, where no difference of cosine distances (2 at most) can outweigh
        one of ``alpha D_H``, four times the rank of D_H, which no alpha overflows.
        """
        assert segment.lowest is not None
        distances = self.distances[self.query_leaves[queries][:, None], segment.lowest]
        if self.decides(alpha):
            return 4.0 * np.searchsorted(self.heights, distances)
        distances *= alpha
        return distances

    def bounds(self, alpha: float, queries: NDArray[np.intp], segment: Segment) -> NDArray[np.float64]:
        """Lower bounds of this part of the numbers, (n_queries, n_blocks)."""
        return self.penalties(alpha, queries, segment)

    def decides(self, alpha: float) -> bool:
        """Whether D_H alone decides: no two cosine distances differ by as much."""
        return bool(np.isinf(alpha) or alpha * np.diff(self.heights).min(initial=np.inf) > 4)

    def pairs(
        self,
        queries: NDArray[np.intp],
        counts: NDArray[np.intp],
        rows: NDArray[np.intp],
        index: GalleryIndex | CodeIndex,
    ) -> NDArray[np.float64]:
        """D_H of single pairs, a run of rows for each query; the same in every batch."""
        return self.distances[np.repeat(self.query_leaves[queries], counts), index.take("leaves", rows)]


class SoftLeafDistance:
    """Expected D_H under the class probabilities of both sides, ``p_q' U p_i``.

    Parameters
    ----------
    expected : ndarray of shape (n_queries, n_leaves), float64
        ``U p_q``: the expected D_H of each query to each leaf.
    """

    def __init__(self, expected: NDArray[np.float64]) -> None:
        self.expected = expected
        self.nearest_leaves = expected.argmin(axis=1)
        self.n_terms = expected.shape[1]

    def weights(self, alpha: float) -> tuple[float, float]:
        """Of the cosine distance in a number, and of D_H: D / max(1, alpha), so that none overflows."""
        scale = max(1.0, alpha)
        return 1 / scale, 1.0 if scale == alpha else alpha

    def error(self, alpha: float, eps: float) -> float:
        """Rounding of this part of a number, computed at a relative error `eps`."""
        return eps * (self.n_terms + 8) * self.weights(alpha)[1]

    def bounds(self, alpha: float, queries: NDArray[np.intp], segment: Segment) -> NDArray:
        """Lower bounds of this part of the numbers, (n_queries, n_blocks).

        The least ``e' p`` of probabilities p between those of a block is, by duality, at
        least ``lambda + (e - lambda)' lowest - max(0, lambda - e)' (highest - lowest)`` for
        any lambda: a few of the entries of e are tried.
        """
        assert segment.lowest is not None
        assert segment.highest is not None
        lowest, span = segment.lowest, segment.highest - segment.lowest
        e = self.expected[queries].astype(lowest.dtype)
        free = 1 - lowest.sum(axis=1)
        floor = e @ lowest.T
        ranks = [rank for rank in (0, 1, 4, 16) if rank < e.shape[1]]
        tried = np.partition(e, ranks, axis=1)[:, ranks]
        best = tried[:, :1] * free + floor
        for at in tried.T[1:]:
            bound = np.maximum(at[:, None] - e, 0) @ span.T
            np.subtract(at[:, None] * free + floor, bound, out=bound)
            np.maximum(best, bound, out=best)
        best -= 4 * (self.n_terms + 8) * float(np.finfo(lowest.dtype).eps)
        best *= self.weights(alpha)[1]
        return best

    def scores(self, queries: NDArray[np.intp], leaves: NDArray, out: NDArray) -> NDArray:
        """D_H of rows with some probabilities to some queries, to within rounding."""
        return np.matmul(leaves, self.expected[queries].astype(leaves.dtype).T, out=out)

    def approximate(self, queries: NDArray[np.intp], leaves: NDArray, rows: NDArray[np.intp]) -> NDArray:
        """D_H of single pairs to within rounding."""
        distances = np.empty(len(rows), dtype=leaves.dtype)
        size = max(1, PAIR_BYTES // (leaves.itemsize * self.n_terms))
        for start in range(0, len(rows), size):
            s = slice(start, start + size)
            expected = self.expected[queries[s]].astype(leaves.dtype, copy=False)
            distances[s] = np.einsum("ij,ij->i", expected, leaves[rows[s]])
        return distances

    def decides(self, alpha: float) -> bool:
        """Whether D_H alone decides."""
        return bool(np.isinf(alpha))

    def pairs(
        self,
        queries: NDArray[np.intp],
        counts: NDArray[np.intp],
        rows: NDArray[np.intp],
        index: GalleryIndex | CodeIndex,
    ) -> NDArray[np.float64]:
        """D_H of single pairs, a run of rows for each query; the same in every batch."""
        return run_dots(self.expected[queries], counts, lambda some: index.take("leaves", rows[some]))


LeafDistance = HardLeafDistance | SoftLeafDistance
