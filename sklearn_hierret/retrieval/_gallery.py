"""The indexed samples: unit vectors, labels, ids and what is known of their leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from sklearn_hierret.search import GalleryIndex, HardLeafDistance, LeafDistance, SoftLeafDistance


@dataclass
class Gallery:
    """Samples to search.

    Attributes
    ----------
    index : GalleryIndex
        Unit rows, in an order of its own.
    ids : ndarray of shape (n_gallery,)
    labels : ndarray of shape (n_gallery,) or None
    leaves : dict
        By assignment: "hard" positions of the leaves, or "soft" class probabilities, in
        the order of the gallery. Filled when first needed.
    raw : ndarray of shape (n_gallery, n_features) or None
        The features, until there are leaves.
    by_row : dict
        The leaves of one assignment in the order of the index's rows, once searched.
    """

    index: GalleryIndex
    ids: NDArray
    labels: NDArray | None
    leaves: dict[str, NDArray] = field(default_factory=dict)
    raw: NDArray | None = None
    by_row: dict[str, NDArray] = field(default_factory=dict)

    @classmethod
    def from_features(
        cls,
        X: NDArray,
        y: ArrayLike | None,
        ids: ArrayLike | None,
        leaves: dict[str, NDArray],
        distances: NDArray[np.float64],
    ) -> Gallery:
        """Index validated features; labels and ids are checked here."""
        labels = None if y is None else _one_per_row(y, len(X), "labels")
        numbers = np.arange(len(X)) if ids is None else _one_per_row(ids, len(X), "ids")
        if ids is not None and len(set(numbers.tolist())) < len(numbers):
            raise ValueError("ids must be distinct.")
        index = GalleryIndex.build(X, leaves.get("hard"), distances)
        return cls(index, numbers, labels, leaves, None if leaves else X.copy())

    def leaf_distance(
        self,
        queries: NDArray,
        assignment: str,
        distances: NDArray[np.float64],
        heights: NDArray[np.float64],
    ) -> LeafDistance:
        """D_H between queries and the rows of the index, which is sorted for it if need be."""
        if assignment not in self.by_row:
            items = self.leaves[assignment]
            if assignment == "hard" and len(self.index.leaves) < len(np.unique(items)):
                self.index = self.index.sorted_by(items, distances)
            # Kept for one order of the rows only.
            self.by_row = {assignment: self.index.in_rows(items)}
        rows = self.by_row[assignment]
        if assignment == "hard":
            return HardLeafDistance(queries, rows, distances, heights)
        return SoftLeafDistance(queries, rows, distances)

    @property
    def dtype(self) -> np.dtype:
        return self.index.unit.dtype

    @property
    def unit(self) -> NDArray:
        """Unit rows in the order of the gallery."""
        return self.index.in_gallery(self.index.unit)

    @property
    def features(self) -> NDArray:
        """The features; to within rounding once there are leaves, for they are kept once only."""
        if self.raw is not None:
            return self.raw
        rows = (self.index.unit * self.index.norms[:, None]).astype(self.dtype, copy=False)
        return self.index.in_gallery(rows)

    def __len__(self) -> int:
        return len(self.index)


def _one_per_row(values: ArrayLike, n_rows: int, what: str) -> NDArray:
    array = column_or_1d(values, warn=True) if what == "labels" else np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional, got shape {array.shape}.")
    if len(array) != n_rows:
        raise ValueError(f"{n_rows} samples, but {len(array)} {what}.")
    return array.copy()  # the caller's array may change
