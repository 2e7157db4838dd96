"""The hierarchical part of the distance, for hard and for soft leaves.

Both classes answer the same two questions: a block of distances by fast matrix
operations, and single pairs in float64 whose value does not depend on the batch.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class LeafDistance(Protocol):
    """D_H between queries and gallery items."""

    n_terms: int

    def decides(self, alpha: float) -> bool:
        """Whether no difference of cosine distances can outweigh one of D_H."""

    def block(self, rows: slice, dtype: np.dtype, *, ranked: bool = False) -> NDArray:
        """D_H of some queries to the whole gallery, to within rounding."""

    def pairs(self, queries: NDArray[np.intp], items: NDArray[np.intp]) -> NDArray[np.float64]:
        """D_H of single pairs in float64, the same in every batch."""


class HardLeafDistance:
    """D_H of leaves that are known: a look-up (venkataramanan2023, eq. 5).

    Parameters
    ----------
    query_leaves : ndarray of shape (n_queries,)
    gallery_leaves : ndarray of shape (n_gallery,)
        Rows of `distances`.
    distances : ndarray of shape (n_leaves, n_leaves)
        D_H of the leaves.
    """

    n_terms = 1

    def __init__(self, query_leaves: NDArray, gallery_leaves: NDArray, distances: NDArray) -> None:
        self.query_leaves = query_leaves
        self.gallery_leaves = gallery_leaves
        self.distances = distances
        self._values, ranks = np.unique(distances, return_inverse=True)
        self._ranks = ranks.reshape(distances.shape)

    def decides(self, alpha: float) -> bool:
        # Cosine distances differ by 2 at most.
        return np.isinf(alpha) or bool(alpha * np.diff(self._values).min(initial=np.inf) > 4)

    def block(self, rows: slice, dtype: np.dtype, *, ranked: bool = False) -> NDArray:
        table = self._ranks if ranked else self.distances
        return np.take(table[self.query_leaves[rows]].astype(dtype), self.gallery_leaves, axis=1)

    def pairs(self, queries: NDArray[np.intp], items: NDArray[np.intp]) -> NDArray[np.float64]:
        return self.distances[self.query_leaves[queries], self.gallery_leaves[items]]


class SoftLeafDistance:
    """Expected D_H under the class probabilities of both sides, ``p_q' U p_i``.

    Parameters
    ----------
    query_proba : ndarray of shape (n_queries, n_leaves)
    gallery_proba : ndarray of shape (n_gallery, n_leaves)
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
        return False

    def block(self, rows: slice, dtype: np.dtype, *, ranked: bool = False) -> NDArray:
        return self.expected[rows].astype(dtype) @ self.gallery_proba.T.astype(dtype, copy=False)

    def pairs(self, queries: NDArray[np.intp], items: NDArray[np.intp]) -> NDArray[np.float64]:
        proba = self.gallery_proba[items].astype(np.float64)
        return np.einsum("ij,ij->i", self.expected[queries], proba)
