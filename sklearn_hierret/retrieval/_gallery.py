"""The indexed samples: unit vectors, labels, ids and what is known of their leaves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from sklearn_hierret.search import unit_rows


@dataclass
class Gallery:
    """Samples to search.

    Attributes
    ----------
    unit : ndarray of shape (n_gallery, n_features)
        Features divided by their norms; zero vectors stay zero.
    norms : ndarray of shape (n_gallery,)
    ids : ndarray of shape (n_gallery,)
    labels : ndarray of shape (n_gallery,) or None
    leaves : dict
        By assignment: "hard" positions of the leaves, or "soft" class probabilities.
        Filled when first needed.
    """

    unit: NDArray
    norms: NDArray[np.float64]
    ids: NDArray
    labels: NDArray | None
    leaves: dict[str, NDArray] = field(default_factory=dict)

    @classmethod
    def from_features(cls, X: NDArray, y: ArrayLike | None, ids: ArrayLike | None) -> Gallery:
        """Index validated features; labels and ids are checked here."""
        labels = None if y is None else _one_per_row(y, len(X), "labels")
        numbers = np.arange(len(X)) if ids is None else _one_per_row(ids, len(X), "ids")
        if ids is not None and len(set(numbers.tolist())) < len(numbers):
            raise ValueError("ids must be distinct.")
        return cls(*unit_rows(X), numbers, labels)

    @property
    def features(self) -> NDArray:
        """The features again, to within rounding: the gallery keeps them once only."""
        return (self.unit * self.norms[:, None]).astype(self.unit.dtype, copy=False)

    def __len__(self) -> int:
        return len(self.unit)


def _one_per_row(values: ArrayLike, n_rows: int, what: str) -> NDArray:
    array = column_or_1d(values, warn=True)
    if len(array) != n_rows:
        raise ValueError(f"{n_rows} samples, but {len(array)} {what}.")
    return array
