"""Whitening within classes as a value: a mean and a matrix, applied so that no batch changes a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import few_rows, unit_rows
from sklearn_hierret._state import value
from sklearn_hierret.statistics import WithinClasses, oracle_shrinkage

#: Rows and matrix are rounded to multiples of this. Products are then multiples of its square, and sums of
#: them stay below 2^53 of these, so that float64 adds them without rounding, in any order.
GRID = 2.0**-26
#: Rows that are no farther from the mean than this have no direction.
NO_LENGTH = 1e-12
#: Bytes of rows in float64 that are whitened at once.
CHUNK_BYTES = 1 << 22


@value("whitening")
@dataclass(frozen=True)
class Whitening:
    """Map rows of any length to whitened rows of unit length.

    A row is scaled to unit length, centred, scaled to unit length again, multiplied by a matrix and scaled
    to unit length once more. The result depends on the row alone, bit for bit: not on the rows beside it.

    Attributes
    ----------
    mean : ndarray of shape (n_features,), float64
    matrix : ndarray of shape (n_features, n_components), float64
        Multiples of `GRID`, with columns no longer than 1.
    """

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]
    tells_features: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        within: WithinClasses,
        shrinkage: float,
        n_components: int | None = None,
        between_shrinkage: float | str | None = None,
    ) -> Whitening:
        """Whiten by a covariance within classes.

        Parameters
        ----------
        within : WithinClasses
        shrinkage : float in [0, 1]
        n_components, between_shrinkage
            See `WithinClassWhitening`.
        """
        D = within.directions
        scales, rest = within.scales(shrinkage)
        # The matrix is axes * of_axes @ D.T, and `rest` times what is at right angles to D.
        axes, of_axes = D, scales
        if between_shrinkage is not None:
            weights, turned, weight_of_rest = between_weights(within, scales, between_shrinkage)
            rest *= weight_of_rest
            axes, of_axes = D @ (scales[:, None] * (turned * weights) @ turned.T), np.ones(len(scales))
        if n_components is not None:
            matrix = axes * of_axes
            matrix = matrix @ _leading(within, D.T @ matrix, n_components)
        else:
            if D.shape[1] < len(D):
                axes, of_axes = axes * of_axes - rest * D, np.ones(len(scales))
            matrix = (axes * of_axes) @ D.T
            if D.shape[1] < len(D):
                matrix[np.diag_indices_from(matrix)] += rest
        # Somewhat less than 1, for rounding to the grid may lengthen a column.
        matrix *= 0.99 / GRID / np.sqrt(np.einsum("ij,ij->j", matrix, matrix).max())
        np.rint(matrix, out=matrix)
        matrix *= GRID
        return cls(within.mean, np.asfortranarray(matrix))  # rows are multiplied by its columns

    @property
    def n_components(self) -> int:
        """Features of the result."""
        return self.matrix.shape[1]

    def rows(self, X: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
        """Whiten rows.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features), float32 or float64

        Returns
        -------
        whitened : ndarray of shape (n_samples, n_components)
            In the dtype of `X`, of unit length; zero for zero rows and for the mean itself.
        norms : ndarray of shape (n_samples,)
            Lengths of the rows of `X`.
        """
        whitened, norms = np.empty((len(X), self.n_components), dtype=X.dtype), np.empty(len(X))
        for part in few_rows(len(X), X.shape[1], CHUNK_BYTES):
            unit, norms[part] = unit_rows(X[part].astype(np.float64, copy=False))
            unit -= self.mean
            _scale_to_unit(unit, norms[part] > 0)
            unit /= GRID
            np.rint(unit, out=unit)
            product = unit @ self.matrix  # exact
            _scale_to_unit(product)
            whitened[part] = product
        return whitened, norms

    def originals(self, whitened: NDArray, norms: NDArray[np.float64]) -> NDArray:
        """Find the rows that `rows` made these of, to within rounding.

        Parameters
        ----------
        whitened : ndarray of shape (n_samples, n_features)
        norms : ndarray of shape (n_samples,)
        """
        X = np.empty(whitened.shape, dtype=whitened.dtype)
        rest = 1 - float(self.mean @ self.mean)  # what a unit row's direction from the mean adds up to
        for part in few_rows(len(X), X.shape[1], CHUNK_BYTES):
            away = whitened[part].astype(np.float64) @ self._inverse
            _scale_to_unit(away)
            # The row is mean + length * away, and of unit length.
            along = away @ self.mean
            length = np.sqrt(along**2 + max(rest, 0.0)) - along
            X[part] = norms[part, None] * unit_rows(self.mean + length[:, None] * away)[0]
        return X

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)


def between_weights(
    within: WithinClasses, scales: NDArray[np.float64], shrinkage: float | str
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Weigh whitened directions by how much class means differ along them.

    With the identity as the covariance within classes and B as that of the class means, the cross term of
    the likelihood ratio of "same class" against "different classes" is ``x' diag(b / (1 + 2 b)) y`` along
    the eigenvectors of B (two-covariance model: Brümmer & de Villiers 2010; Joint Bayesian: Chen et al.
    2012). Its quadratic terms are left out, for rows are of unit length.

    Parameters
    ----------
    within : WithinClasses
    scales : ndarray of shape (n_directions,)
        That whiten along the directions.
    shrinkage : float in [0, 1] or "auto"
        Weight of the scaled identity in B.

    Returns
    -------
    weights : ndarray of shape (n_directions,)
    axes : ndarray of shape (n_directions, n_directions)
        Eigenvectors in columns, in coordinates along the directions.
    rest : float
        Weight at right angles to all directions.
    """
    present, d = within.present, len(within.directions)
    means = within.deviations[present] @ within.directions * scales
    means -= means.mean(axis=0)
    n_classes = len(means)
    between = means.T @ means / max(1, n_classes - 1)
    # Means of samples differ by chance, too.
    noise = float(np.mean(1 / within.counts[present]))
    between[np.diag_indices_from(between)] -= noise * within.variances * scales**2
    values, axes = np.linalg.eigh(between)
    values = np.maximum(values, 0)
    mean_value = float(values.sum() / d)
    if isinstance(shrinkage, str):
        shrinkage = oracle_shrinkage((values**2).sum(), mean_value, d, max(1, n_classes - 1))
    shrunk = (1 - shrinkage) * values + shrinkage * mean_value
    of_rest = shrinkage * mean_value
    if not shrunk.max(initial=0) > 0:  # class means do not differ
        return np.ones(len(values)), axes, 1.0
    return np.sqrt(shrunk / (1 + 2 * shrunk)), axes, float(np.sqrt(of_rest / (1 + 2 * of_rest)))


def _leading(within: WithinClasses, small: NDArray[np.float64], n_components: int) -> NDArray[np.float64]:
    """Directions of whitened coordinates in which all samples together differ most."""
    n = int(within.counts.sum())
    means = within.deviations @ within.directions
    total = (means * within.counts[:, None]).T @ means / n
    total[np.diag_indices_from(total)] += within.variances * max(1, n - int(within.present.sum())) / n
    _, vectors = np.linalg.eigh(small.T @ total @ small)
    return vectors[:, ::-1][:, :n_components]


def _scale_to_unit(rows: NDArray[np.float64], has_direction: NDArray[np.bool_] | None = None) -> None:
    """Scale rows to unit length in place; those without a direction become zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    kept = lengths > NO_LENGTH
    if has_direction is not None:
        kept &= has_direction
    rows /= np.where(kept, lengths, np.inf)[:, None]
