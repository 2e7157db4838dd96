"""The gallery as search wants it: unit rows, contiguous by leaf, with a bound per leaf."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks


def unit_rows(X: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
    """Rows divided by their norms, and the norms; zero rows stay zero.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64

    Returns
    -------
    unit : ndarray of shape (n_samples, n_features), in the dtype of `X`
    norms : ndarray of shape (n_samples,)
    """
    unit = np.empty(X.shape, dtype=X.dtype)
    norms = np.empty(len(X))
    for rows in row_chunks(len(X), 16 * X.shape[1]):
        # Scaled by the largest entry first, so that squares neither overflow nor vanish.
        values = X[rows].astype(np.float64)
        scale = np.abs(values).max(axis=1)
        values /= np.where(scale > 0, scale, 1.0)[:, None]
        length = np.sqrt(np.einsum("ij,ij->i", values, values))
        values /= np.where(length > 0, length, 1.0)[:, None]
        unit[rows] = values
        norms[rows] = length * scale
    return unit, norms


@dataclass(frozen=True)
class GalleryIndex:
    """Unit rows sorted by leaf.

    Attributes
    ----------
    unit : ndarray of shape (n_gallery, n_features)
        Rows of unit length or zero, sorted by leaf.
    norms : ndarray of shape (n_gallery,)
        Norms that the rows had.
    order : ndarray of shape (n_gallery,)
        Position in the gallery of each row.
    leaves : ndarray of shape (n_present,)
        The leaves that occur, in the order of the rows.
    starts : ndarray of shape (n_present + 1,)
        Rows of leaf i are starts[i]:starts[i + 1].
    centres : ndarray of shape (n_present, n_features)
        Unit mean direction of each leaf (zero if there is none).
    radii : ndarray of shape (n_present,)
        Largest angle of a row to its leaf's centre; pi where that says nothing.
    """

    unit: NDArray
    norms: NDArray[np.float64]
    order: NDArray[np.intp]
    leaves: NDArray[np.intp]
    starts: NDArray[np.intp]
    centres: NDArray
    radii: NDArray[np.float64]

    @classmethod
    def build(
        cls,
        X: NDArray,
        leaves: NDArray[np.intp] | None = None,
        distances: NDArray[np.float64] | None = None,
    ) -> GalleryIndex:
        """Normalise and sort features, once, in chunks.

        Parameters
        ----------
        X : ndarray of shape (n_gallery, n_features), float32 or float64
        leaves : ndarray of shape (n_gallery,), optional
            Leaf of each sample, a row of `distances`; default: one leaf for all.
        distances : ndarray of shape (n_leaves, n_leaves), optional
            D_H of the leaves; close ones are put side by side.
        """
        n, d = X.shape
        order, present, starts = _sort_by_leaf(n, leaves, distances)
        unit, norms = np.empty((n, d), dtype=X.dtype), np.empty(n)
        for rows in row_chunks(n, 24 * d):
            unit[rows], norms[rows] = unit_rows(X[order[rows]])
        return cls(unit, norms, order, present, starts, *_directions(unit, starts))

    def sorted_by(self, leaves: NDArray[np.intp], distances: NDArray[np.float64]) -> GalleryIndex:
        """The same gallery, bit for bit, its rows sorted by other leaves; see `build`."""
        rows, present, starts = _sort_by_leaf(len(self), leaves[self.order], distances)
        unit = self.unit[rows]
        directions = _directions(unit, starts)
        return GalleryIndex(unit, self.norms[rows], self.order[rows], present, starts, *directions)

    def in_rows(self, values: NDArray) -> NDArray:
        """Values of the gallery's positions in the order of the rows."""
        return values if self._is_in_order else values[self.order]

    def in_gallery(self, values: NDArray) -> NDArray:
        """Values of the rows in the order of the gallery's positions."""
        return values if self._is_in_order else values[self.position]

    @property
    def _is_in_order(self) -> bool:
        return np.array_equal(self.order, np.arange(len(self.order)))

    @property
    def position(self) -> NDArray[np.intp]:
        """Row of each gallery position, the inverse of `order`."""
        position = np.empty(len(self.order), dtype=np.intp)
        position[self.order] = np.arange(len(self.order))
        return position

    def __len__(self) -> int:
        return len(self.unit)


def _sort_by_leaf(
    n: int, leaves: NDArray[np.intp] | None, distances: NDArray[np.float64] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Order of the samples, the leaves that occur in it, and where each starts."""
    if leaves is None or distances is None:
        return np.arange(n), np.zeros(1, dtype=np.intp), np.array([0, n])
    series = leaf_seriation(distances)
    rank = np.empty(len(series), dtype=np.intp)
    rank[series] = np.arange(len(series))
    by_rank = rank[leaves]
    order = np.argsort(by_rank, kind="stable")
    present, first = np.unique(by_rank[order], return_index=True)
    return order, series[present], np.append(first, n)


def leaf_seriation(distances: NDArray[np.float64]) -> NDArray[np.intp]:
    """An order of leaves in which every cluster of an ultrametric is contiguous."""
    # At each height, a leaf's cluster is named by its smallest member; highest first.
    heights = np.unique(distances)
    some = heights[np.unique(np.linspace(0, len(heights) - 1, 32).astype(int))]
    return np.lexsort([np.argmax(distances <= height, axis=1) for height in some])


def _directions(unit: NDArray, starts: NDArray[np.intp]) -> tuple[NDArray, NDArray[np.float64]]:
    n_leaves, d = len(starts) - 1, unit.shape[1]
    sums = np.add.reduceat(unit, starts[:-1], axis=0, dtype=np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", sums, sums))
    centres = (sums / np.where(length > 0, length, 1)[:, None]).astype(unit.dtype)
    radii = np.full(n_leaves, np.pi)
    slack = 4 * (d + 8) * float(np.finfo(unit.dtype).eps)
    for i in range(n_leaves):
        rows = unit[starts[i] : starts[i + 1]]
        # A zero row has no direction and is 1 away from everything: no bound holds.
        if length[i] > 0 and np.any(rows, axis=1).all():
            radii[i] = np.arccos(np.clip(float((rows @ centres[i]).min()) - slack, -1, 1))
    return centres, radii
