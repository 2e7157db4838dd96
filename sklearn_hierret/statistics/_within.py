"""The pooled covariance within classes, decomposed so that any shrinkage whitens at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

#: Variances below this are rounding: the rows are of unit length.
ROUNDING = 1e-14


@dataclass(frozen=True)
class WithinClasses:
    """The pooled covariance within classes, and the class means, of unit rows.

    Attributes
    ----------
    counts : ndarray of shape (n_classes,)
        Samples of each class, or their weights.
    mean : ndarray of shape (n_features,)
        Of all samples.
    deviations : ndarray of shape (n_classes, n_features)
        Of the class means from it, zero where there are no samples.
    variances, directions : ndarrays of shape (n_directions,) and (n_features, n_directions)
        Eigenvalues of the covariance, and eigenvectors in columns; where there are fewer samples than
        features, those in which samples differ from the origin.
    mean_variance : float
        Of all features.
    shrinkage : float
        Weight of the scaled identity under normality, in closed form [1]_.
    has_spread : bool
        False where samples do not differ within their classes: every direction counts alike then.

    References
    ----------
    .. [1] Y. Chen, A. Wiesel, Y. C. Eldar, A. O. Hero, "Shrinkage Algorithms for MMSE Covariance
       Estimation", IEEE Transactions on Signal Processing 58, 2010, eq. 23.
    """

    counts: NDArray
    mean: NDArray[np.float64]
    deviations: NDArray[np.float64]
    variances: NDArray[np.float64]
    directions: NDArray[np.float64]
    mean_variance: float
    shrinkage: float
    has_spread: bool = True

    @classmethod
    def of(
        cls,
        counts: NDArray,
        sums: NDArray[np.float64],
        moments: NDArray[np.float64],
        n_features: int | None = None,
        dtype: type = np.float64,
    ) -> WithinClasses:
        """Decompose the covariance of counts, sums and second moments.

        Parameters
        ----------
        counts : ndarray of shape (n_classes,)
        sums : ndarray of shape (n_classes, n_directions)
        moments : ndarray of shape (n_directions, n_directions)
            Of all unit rows, about the origin.
        n_features : int, optional
            Of the space in which these directions are all that have a variance; default: they are all.
        dtype : float32 or float64, default=float64
            Precision of the decomposition; the lower one takes half of the time.
        """
        present = counts > 0
        n, d = counts.sum(), n_features or len(moments)
        means = sums / np.where(present, counts, 1)[:, None]
        mean = sums.sum(axis=0) / n
        deviations = (means - mean) * present[:, None]
        scatter = moments - sums.T @ means
        freedom = float(n - present.sum())
        variances, directions = np.linalg.eigh(scatter.astype(dtype, copy=False))
        variances = np.maximum(variances.astype(np.float64), 0) / max(1, freedom)
        if freedom < 1 or variances.sum() < ROUNDING:
            k = len(moments)
            return cls(counts, mean, deviations, np.ones(k), np.eye(k), 1.0, 1.0, has_spread=False)
        mean_variance = float(variances.sum() / d)
        shrinkage = oracle_shrinkage((variances**2).sum(), mean_variance, d, freedom)
        return cls(counts, mean, deviations, variances, directions, mean_variance, shrinkage)

    @classmethod
    def of_rows(
        cls,
        counts: NDArray,
        sums: NDArray[np.float64],
        basis: NDArray,
        coordinates: NDArray,
        dtype: type = np.float64,
    ) -> WithinClasses:
        """Decompose the covariance of fewer rows than features, in a basis of what they span.

        Parameters
        ----------
        counts : ndarray of shape (n_classes,)
        sums : ndarray of shape (n_classes, n_features)
        basis : ndarray of shape (n_features, n_directions)
            Orthonormal columns.
        coordinates : ndarray of shape (n_rows, n_directions)
            Of the unit rows in it.
        dtype : float32 or float64, default=float64
            See `of`.
        """
        small = cls.of(counts, sums @ basis, coordinates.T @ coordinates, len(basis), dtype)
        return replace(
            small,
            mean=basis @ small.mean,
            deviations=small.deviations @ basis.T,
            directions=basis.astype(small.directions.dtype, copy=False) @ small.directions,
        )

    @property
    def present(self) -> NDArray[np.bool_]:
        """Classes that have samples."""
        return self.counts > 0

    def scales(self, shrinkage: float) -> tuple[NDArray[np.float64], float]:
        """Factors that whiten: of the directions, and of everything at right angles to them.

        Parameters
        ----------
        shrinkage : float in [0, 1]

        Returns
        -------
        scales : ndarray of shape (n_directions,)
        rest : float
        """
        least = ROUNDING / len(self.directions)
        shrunk = (1 - shrinkage) * self.variances + shrinkage * self.mean_variance
        return 1 / np.sqrt(np.maximum(shrunk, least)), float(
            1 / np.sqrt(max(shrinkage * self.mean_variance, least))
        )


def oracle_shrinkage(sum_of_squares: float, mean_variance: float, n_features: int, freedom: float) -> float:
    """Weight of the scaled identity by the oracle approximating formula, at most 1.

    Parameters
    ----------
    sum_of_squares : float
        Of all entries of the covariance.
    mean_variance : float
        A n_features-th of its trace.
    n_features : int
    freedom : float
    """
    of_squares, square_of = sum_of_squares / n_features**2, mean_variance**2
    excess = (freedom + 1) * (of_squares - square_of / n_features)
    return min(1.0, float((of_squares + square_of) / excess)) if excess > 0 else 1.0
