"""The discriminant space: unit rows, whitened within classes, in the directions of the class means."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import unit_rows

#: Directions whose variance between classes is a smaller share of the largest one are noise.
NEGLIGIBLE = 1e-10
#: Variances below this are rounding: the rows are of unit length.
ROUNDING = 1e-14


@dataclass(frozen=True)
class DiscriminantSpace:
    """A projection of unit rows to another unit sphere.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    components : ndarray of shape (n_components, n_features)
    """

    mean: NDArray
    components: NDArray

    def transform(self, X: NDArray) -> NDArray:
        """Unit vectors of rows of any length; zero rows stay zero."""
        return self.transform_unit(unit_rows(X)[0])

    def transform_unit(self, unit: NDArray) -> NDArray:
        """The same, of rows that are of unit length or zero."""
        projected = unit @ self.components.T
        projected -= self.components @ self.mean
        projected[~unit.any(axis=1)] = 0
        return unit_rows(projected)[0]


@dataclass(frozen=True)
class WithinClasses:
    """The pooled covariance within classes, which whitens after it was shrunk by any amount.

    Attributes
    ----------
    present : ndarray of shape (n_classes,)
        Classes that have samples.
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

    References
    ----------
    .. [1] Y. Chen, A. Wiesel, Y. C. Eldar, A. O. Hero, "Shrinkage Algorithms for MMSE Covariance
       Estimation", IEEE Transactions on Signal Processing 58, 2010, eq. 23.
    """

    present: NDArray[np.bool_]
    mean: NDArray[np.float64]
    deviations: NDArray[np.float64]
    variances: NDArray[np.float64]
    directions: NDArray[np.float64]
    mean_variance: float
    shrinkage: float

    @classmethod
    def of(
        cls,
        counts: NDArray[np.int64],
        sums: NDArray[np.float64],
        moments: NDArray[np.float64],
        n_features: int | None = None,
    ) -> WithinClasses:
        """From counts and sums of the classes and the second moments of all unit rows.

        Parameters
        ----------
        counts : ndarray of shape (n_classes,)
        sums : ndarray of shape (n_classes, n_directions)
        moments : ndarray of shape (n_directions, n_directions)
        n_features : int, optional
            Of the space in which these directions are all that have a variance; default: they are all.
        """
        present = counts > 0
        n, d = int(counts.sum()), n_features or len(moments)
        means = sums / np.maximum(1, counts)[:, None]
        mean = sums.sum(axis=0) / n
        scatter = moments - sums.T @ means
        freedom = n - int(present.sum())
        variances, directions = np.linalg.eigh(scatter)
        variances = np.maximum(variances, 0) / max(1, freedom)
        if freedom < 1 or variances.sum() < ROUNDING:
            # Nothing is known about the spread of a class: every direction counts alike.
            k = len(moments)
            return cls(present, mean, (means - mean) * present[:, None], np.ones(k), np.eye(k), 1.0, 1.0)
        mean_variance = float(variances.sum() / d)
        of_squares, square_of = (variances**2).sum() / d**2, mean_variance**2
        excess = (freedom + 1) * (of_squares - square_of / d)
        shrinkage = min(1.0, (of_squares + square_of) / excess) if excess > 0 else 1.0
        deviations = (means - mean) * present[:, None]
        return cls(present, mean, deviations, variances, directions, mean_variance, shrinkage)

    @classmethod
    def of_rows(
        cls, counts: NDArray[np.int64], sums: NDArray[np.float64], basis: NDArray, coordinates: NDArray
    ) -> WithinClasses:
        """The same from fewer rows than features, in a basis of what they span.

        Parameters
        ----------
        counts : ndarray of shape (n_classes,)
        sums : ndarray of shape (n_classes, n_features)
        basis : ndarray of shape (n_features, n_directions)
            Orthonormal columns.
        coordinates : ndarray of shape (n_rows, n_directions)
            Of the unit rows in it.
        """
        small = cls.of(counts, sums @ basis, coordinates.T @ coordinates, len(basis))
        return replace(
            small,
            mean=basis @ small.mean,
            deviations=small.deviations @ basis.T,
            directions=basis @ small.directions,
        )

    def space(
        self, shrinkage: float, n_components: int | None, dtype: np.dtype
    ) -> tuple[DiscriminantSpace, NDArray]:
        """The discriminant space, and the directions of the class means in it.

        Parameters
        ----------
        shrinkage : float in [0, 1]
        n_components : int or None
            Directions to keep at most, those in which class means differ most.
        dtype : dtype

        Returns
        -------
        space : DiscriminantSpace
        class_directions : ndarray of shape (n_classes, n_components)
            Of unit length, or zero.
        """
        shrunk = (1 - shrinkage) * self.variances + shrinkage * self.mean_variance
        whitening = self.directions / np.sqrt(np.maximum(shrunk, ROUNDING / len(self.directions)))
        between = self.deviations[self.present] @ whitening
        # The smaller of the two Gram matrices has the same eigenvalues.
        by_class = len(between) <= between.shape[1]
        gram = between @ between.T if by_class else between.T @ between
        values, vectors = np.linalg.eigh(gram)
        most = min(len(between) - 1, between.shape[1], n_components or len(values))
        kept = np.arange(len(values))[::-1][: max(1, most)]
        kept = kept[values[kept] > NEGLIGIBLE * max(values[-1], ROUNDING)]
        axes = vectors[:, kept]
        if by_class:
            axes = between.T @ (axes / np.sqrt(values[kept]))
        if not len(kept):  # the class means are all equal
            axes = np.zeros((between.shape[1], 1))
        components = (whitening @ axes).T
        directions = unit_rows(self.deviations @ components.T)[0]
        return DiscriminantSpace(self.mean.astype(dtype), components.astype(dtype)), directions.astype(dtype)
