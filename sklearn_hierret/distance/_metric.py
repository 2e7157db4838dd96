"""The visual distance of retrievers: cosine of features, of whitened ones, or of what a transformer returns.

This is the one place that maps features to the rows that are searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret._state import value


class VisualMetric(Protocol):
    """Map features to rows of unit length whose cosine distance is the visual distance."""

    #: Whether rows and lengths tell the features that they were made of.
    tells_features: ClassVar[bool]

    def rows(self, X: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
        """Return rows of unit length or zero, in the dtype of X, and the lengths of the rows of X."""
        ...

    def originals(self, rows: NDArray, norms: NDArray[np.float64]) -> NDArray:
        """Return the features, to within rounding, where rows tell them."""
        ...


@value("cosine metric")
@dataclass(frozen=True)
class CosineMetric:
    """Compare features by their cosine distance."""

    tells_features: ClassVar[bool] = True

    def rows(self, X: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
        """Scale rows to unit length."""
        return unit_rows(X)

    def originals(self, rows: NDArray, norms: NDArray[np.float64]) -> NDArray:
        """Scale rows to their lengths."""
        return (rows * norms[:, None]).astype(rows.dtype, copy=False)


@value("metric of a transformer")
@dataclass(frozen=True)
class TransformedMetric:
    """Compare what a fitted transformer makes of features by cosine distance.

    Attributes
    ----------
    transformer : fitted transformer
    """

    transformer: Any
    tells_features: ClassVar[bool] = False

    def rows(self, X: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
        """Transform rows and scale them to unit length.

        Raises
        ------
        ValueError
            If the transformer returns another number of rows, or values that are not finite.
        TypeError
            If it returns a sparse matrix, or no array of numbers of two dimensions.
        """
        name = type(self.transformer).__name__
        norms = unit_rows(X)[1]
        Z = self.transformer.transform(X.copy())  # it may write into what it is given
        if issparse(Z):
            raise TypeError(f"metric: {name} returns a sparse matrix, and rows to search are dense.")
        Z = np.asarray(Z)
        if Z.ndim != 2 or Z.dtype.kind not in "fiub":
            raise TypeError(f"metric: {name} returns {Z.ndim} dimensions of {Z.dtype}, not rows of numbers.")
        if not Z.shape[1]:
            raise ValueError(f"metric: {name} returns no features.")
        if len(Z) != len(X):
            raise ValueError(f"metric: {name} returns {len(Z)} rows for {len(X)} samples.")
        Z = np.ascontiguousarray(Z, dtype=X.dtype)
        if not np.isfinite(Z).all():
            raise ValueError(f"metric: {name} returns NaN or infinity.")
        return unit_rows(Z)[0], norms

    def originals(self, rows: NDArray, norms: NDArray[np.float64]) -> NDArray:
        """Raise: rows do not tell what they were made of."""
        raise NotImplementedError
