"""The discriminant space: unit rows, whitened within classes, in the directions of the class means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.statistics import ROUNDING, WithinClasses

#: Directions whose variance between classes is a smaller share of the largest one are noise.
NEGLIGIBLE = 1e-10


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


def discriminant_space(
    within: WithinClasses, shrinkage: float, n_components: int | None, dtype: np.dtype
) -> tuple[DiscriminantSpace, NDArray]:
    """Make the discriminant space, and the directions of the class means in it.

    Parameters
    ----------
    within : WithinClasses
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
    whitening = within.directions * within.scales(shrinkage)[0]
    between = within.deviations[within.present] @ whitening
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
    directions = unit_rows(within.deviations @ components.T)[0]
    return DiscriminantSpace(within.mean.astype(dtype), components.astype(dtype)), directions.astype(dtype)
