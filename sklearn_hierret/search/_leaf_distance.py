"""The hierarchical part of the distance, for hard and for soft leaves.

Search compares *numbers* in the order of D. Both classes say how a number is made of a
cosine distance (its weight and what is added to it), bound their part of it for whole
blocks, and answer for single pairs in float64, with a value that does not depend on the
batch. Distances to all leaves are computed for the queries of a batch only.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_hierret.building import NO_MASS, unassigned
from sklearn_hierret.search._code_index import CodeIndex
from sklearn_hierret.search._index import GalleryIndex, Segment

#: Gives the D_H of leaves to all leaves, (n_samples, n_leaves).
DistancesOf = Callable[[NDArray], NDArray[np.float64]]
#: Classes that the leaves of a block may have for a dense product.
FEW_CLASSES = 512
#: Leaves of pairs that are compared at once.
LEAF_BYTES = 1 << 22


class HardLeafDistance:
    """D_H of leaves that are known (venkataramanan2023, eq. 5).

    Parameters
    ----------
    query_leaves : ndarray of shape (n_queries,)
    distances_of : callable
        D_H of leaves to all leaves.
    heights : ndarray
        All values that D_H takes, ascending.
    """

    distances: NDArray[np.float64]

    def __init__(
        self, query_leaves: NDArray, distances_of: DistancesOf, heights: NDArray[np.float64]
    ) -> None:
        self.query_leaves = self.nearest_leaves = query_leaves
        self.distances_of = distances_of
        self.heights = heights

    def of_batch(self, which: NDArray[np.intp]) -> HardLeafDistance:
        """For some queries, which are numbered anew."""
        part = copy(self)
        leaves, part.query_leaves = np.unique(self.query_leaves[which], return_inverse=True)
        part.distances = self.distances_of(leaves)
        return part

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
        assert segment.block_leaf is not None
        distances = self.distances[self.query_leaves[queries][:, None], segment.block_leaf]
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

    It is the sum of each probability of the item times the query's expected D_H to that class; what
    the item's probabilities leave is 1 away.

    Parameters
    ----------
    query_leaves : ndarray of shape (n_queries, n_kept)
        Soft leaves: leaf, probability.
    distances_of : callable
        Expected D_H of soft leaves to all leaves.
    """

    expected: NDArray[np.float64]

    def __init__(self, query_leaves: NDArray, distances_of: DistancesOf) -> None:
        self.query_leaves = query_leaves
        self.nearest_leaves = query_leaves["leaf"][:, 0]
        self.distances_of = distances_of
        self.n_terms = query_leaves.shape[1]

    def of_batch(self, which: NDArray[np.intp]) -> SoftLeafDistance:
        """For some queries, which are numbered anew."""
        part = copy(self)
        part.expected = self.distances_of(self.query_leaves[which])
        return part

    def weights(self, alpha: float) -> tuple[float, float]:
        """Of the cosine distance in a number, and of D_H: D / max(1, alpha), so that none overflows."""
        scale = max(1.0, alpha)
        return 1 / scale, 1.0 if scale == alpha else alpha

    def error(self, alpha: float, eps: float) -> float:
        """Rounding of this part of a number, computed at a relative error `eps`."""
        return eps * (self.n_terms + 16) * self.weights(alpha)[1]

    def bounds(self, alpha: float, queries: NDArray[np.intp], segment: Segment) -> NDArray:
        """Lower bounds of this part of the numbers, (n_queries, n_blocks).

        With affinities, 1 less the expected D_H: the greatest sum of affinities times probabilities
        that are at most the block's highest, and 1 in sum, is by duality at most
        ``lambda + max(0, affinity - lambda)' highest`` for any lambda from 0 on: a few of the
        affinities are tried.
        """
        highest = segment.highest
        assert highest is not None
        s = (1 - self.expected[queries]).astype(highest.dtype)
        ranks = [rank for rank in (0, 1, 4, 16) if rank < s.shape[1]]
        tried = np.maximum(-np.partition(-s, ranks, axis=1)[:, ranks], 0)
        most = np.minimum(s @ highest.T, tried[:, :1])
        for at in tried.T[1:]:
            np.minimum(most, at[:, None] + np.maximum(s - at[:, None], 0) @ highest.T, out=most)
        most += 4 * (s.shape[1] + 8) * float(np.finfo(highest.dtype).eps) + NO_MASS
        np.subtract(1, most, out=most)
        most *= self.weights(alpha)[1]
        return most

    def scores(self, queries: NDArray[np.intp], leaves: NDArray, out: NDArray) -> NDArray:
        """D_H of rows with some leaves to some queries, to within rounding, (n_rows, n_queries)."""
        proba, n_kept = leaves["probability"], leaves.shape[1]
        classes, column = np.unique(leaves["leaf"], return_inverse=True)
        column = column.reshape(leaves.shape)
        expected = self.expected[np.ix_(queries, classes)].astype(proba.dtype)
        if len(classes) <= FEW_CLASSES:
            dense = np.zeros((len(leaves), len(classes)), dtype=proba.dtype)
            for j in range(n_kept):
                dense[np.arange(len(leaves)), column[:, j]] += proba[:, j]
            np.matmul(dense, expected.T, out=out)
        else:
            starts = np.arange(0, leaves.size + 1, n_kept)
            sparse = csr_array((proba.ravel(), column.ravel(), starts), shape=(len(leaves), len(classes)))
            out[:] = sparse @ np.ascontiguousarray(expected.T)
        out += unassigned(leaves).astype(proba.dtype)[:, None]
        return out

    def approximate(self, queries: NDArray[np.intp], leaves: NDArray, rows: NDArray[np.intp]) -> NDArray:
        """D_H of single pairs to within rounding."""
        return self._of_pairs(queries, len(rows), lambda some: leaves[rows[some]])

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
        queries = np.repeat(queries, counts)
        return self._of_pairs(queries, len(rows), lambda some: index.take("leaves", rows[some]))

    def _of_pairs(
        self, queries: NDArray[np.intp], n_pairs: int, leaves_of: Callable[[slice], NDArray]
    ) -> NDArray[np.float64]:
        distances = np.empty(n_pairs)
        size = max(1, LEAF_BYTES // (16 * self.n_terms))
        for start in range(0, n_pairs, size):
            some = slice(start, start + size)
            leaves = leaves_of(some)
            total = unassigned(leaves)
            for j in range(leaves.shape[1]):  # one order of addition, whatever the batch
                total += self.expected[queries[some], leaves["leaf"][:, j]] * leaves["probability"][:, j]
            distances[some] = total
        return distances


LeafDistance = HardLeafDistance | SoftLeafDistance
