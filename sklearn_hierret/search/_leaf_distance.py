"""The hierarchical part of the distance, for hard and for soft leaves.

Both classes answer for single pairs in float64, with a value that does not depend on the
batch; for whole blocks hard leaves give a penalty for each pair of leaves, soft ones a
matrix product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Rows in float64 that are multiplied pair by pair: they stay in the caches.
PAIR_BYTES = 1 << 19
#: Columns that einsum adds up in one go; its order of addition depends on the batch beyond.
_ONE_GO = 4096


def row_dots(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dot products of rows, each the same bit for bit in every batch."""
    dots = np.zeros(len(left))
    for start in range(0, left.shape[1], _ONE_GO):
        some = slice(start, start + _ONE_GO)
        dots += np.einsum("ij,ij->i", left[:, some], right[:, some])
    return dots


class HardLeafDistance:
    """D_H of leaves that are known: a look-up (venkataramanan2023, eq. 5).

    Parameters
    ----------
    query_leaves : ndarray of shape (n_queries,)
    gallery_leaves : ndarray of shape (n_gallery,)
        Rows of `distances`, in the order of the index's rows.
    distances : ndarray of shape (n_leaves, n_leaves)
        D_H of the leaves.
    heights : ndarray, optional
        The distinct values of `distances`, ascending, where they are known already.
    """

    def __init__(
        self,
        query_leaves: NDArray,
        gallery_leaves: NDArray,
        distances: NDArray,
        heights: NDArray | None = None,
    ) -> None:
        self.query_leaves = query_leaves
        self.gallery_leaves = gallery_leaves
        self.distances = distances
        self.heights = np.unique(distances) if heights is None else heights

    def penalties(self, alpha: float, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray:
        """What pairs of leaves add to the cosine distance, for the order of D.

        ``alpha D_H``; or, where no difference of cosine distances (2 at most) can outweigh
        one of ``alpha D_H``, four times the rank of D_H, which no alpha overflows.
        """
        distances = self.distances[np.ix_(rows, columns)]
        return 4.0 * np.searchsorted(self.heights, distances) if self.decides(alpha) else alpha * distances

    def decides(self, alpha: float) -> bool:
        """Whether D_H alone decides: no two cosine distances differ by as much."""
        return bool(np.isinf(alpha) or alpha * np.diff(self.heights).min(initial=np.inf) > 4)

    def pairs(self, queries: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """D_H of single pairs in float64, the same in every batch."""
        return self.distances[self.query_leaves[queries], self.gallery_leaves[rows]]


class SoftLeafDistance:
    """Expected D_H under the class probabilities of both sides, ``p_q' U p_i``.

    Parameters
    ----------
    query_proba : ndarray of shape (n_queries, n_leaves)
    gallery_proba : ndarray of shape (n_gallery, n_leaves)
        In the order of the index's rows.
    distances : ndarray of shape (n_leaves, n_leaves)
        D_H of the leaves, U above.
    """

    def __init__(self, query_proba: NDArray, gallery_proba: NDArray, distances: NDArray) -> None:
        self.n_terms = distances.shape[0]
        self.gallery_proba = gallery_proba
        # One row at a time: a matrix product's last bits depend on the batch.
        expected = np.empty(query_proba.shape, dtype=np.float64)
        for row, proba in zip(expected, query_proba, strict=True):
            np.dot(distances, proba.astype(np.float64), out=row)
        self.expected = expected

    def decides(self, alpha: float) -> bool:
        """Whether D_H alone decides."""
        return bool(np.isinf(alpha))

    def block(self, queries: NDArray[np.intp], dtype: np.dtype) -> NDArray:
        """D_H of some queries to all rows of the index, to within rounding."""
        return self.expected[queries].astype(dtype) @ self.gallery_proba.T.astype(dtype, copy=False)

    def pairs(self, queries: NDArray[np.intp], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """D_H of single pairs in float64, the same in every batch."""
        distances = np.empty(len(queries))
        size = max(1, PAIR_BYTES // (8 * self.n_terms))
        for start in range(0, len(queries), size):
            s = slice(start, start + size)
            proba = self.gallery_proba[rows[s]].astype(np.float64)
            distances[s] = row_dots(self.expected[queries[s]], proba)
        return distances


LeafDistance = HardLeafDistance | SoftLeafDistance
