"""Nearest class without the distances to all classes: bounds first, then the survivors.

What is minimised is ``squared Mahalanobis distance + constant of the class``. For full
covariances the first few whitened coordinates, in the directions in which the data are
widest as the class sees them, bound it from below (any part of a sum of squares does); for
the other types one matrix product gives it to within rounding. Only classes that the bound
leaves are computed exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._state import value
from sklearn_hierret.gaussian._covariance import squared_mahalanobis

#: Leading whitened coordinates of each class; below twice as many dimensions they save nothing.
N_LEADING = 24
TOO_FAR = "Samples are so far from all classes that distances overflow: scale them."
#: Distances that differ by less, relatively, are compared again, sample by sample.
NEAR = 1e-10


@value("nearest class")
@dataclass(frozen=True)
class NearestClass:
    """Finds the class of least squared Mahalanobis distance plus a constant.

    Attributes
    ----------
    means : ndarray of shape (n_classes, n_features)
    whitening : ndarray, see `precisions_cholesky`
    covariance_type : {"full", "tied", "diag", "spherical"}
    leading : ndarray of shape (n_features, n_classes * n_leading), float32, or None
        For "full": whitening towards the leading directions of each class in turn.
    offsets : ndarray of shape (n_classes * n_leading,) or None
        The class means in those directions.
    """

    means: NDArray[np.float64]
    whitening: NDArray[np.float64]
    covariance_type: str
    leading: NDArray[np.float32] | None = None
    offsets: NDArray[np.float32] | None = None

    @classmethod
    def build(
        cls,
        means: NDArray[np.float64],
        whitening: NDArray[np.float64],
        covariance_type: str,
        total_covariance: NDArray[np.float64] | None = None,
    ) -> NearestClass:
        """Choose the leading directions of each class.

        Parameters
        ----------
        total_covariance : ndarray of shape (n_features, n_features), optional
            Of all samples around 0, for "full"; without it all distances are computed.
        """
        n_classes, d = means.shape
        if covariance_type != "full" or total_covariance is None or d < 2 * N_LEADING or n_classes < 4:
            return cls(means, whitening, covariance_type)
        # Subspace iteration: any orthonormal directions bound, wide ones bound well.
        directions = np.random.RandomState(0).standard_normal((n_classes, d, N_LEADING))
        for _ in range(3):
            seen = whitening @ directions
            along_mean = means[:, None, :] @ seen
            spread = total_covariance @ seen + means[:, :, None] * along_mean
            directions = np.linalg.qr(whitening.transpose(0, 2, 1) @ spread)[0]
        leading = np.ascontiguousarray((whitening @ directions).transpose(1, 0, 2))
        offsets = np.einsum("cd,dcm->cm", means, leading).ravel()
        flat = leading.reshape(d, -1)
        with np.errstate(over="ignore"):
            return cls(means, whitening, "full", flat.astype(np.float32), offsets.astype(np.float32))

    def find(self, X: NDArray[np.float64], constants: NDArray[np.float64]) -> NDArray[np.intp]:
        """Class of each sample; equal ones go to the first class.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
            In the space of the means.
        constants : ndarray of shape (n_classes,)
            Added to the squared distances; infinity rules a class out.
        """
        results = np.empty(len(X), dtype=np.intp)
        width = self.means.size if self.covariance_type == "full" else len(self.means)
        for rows in row_chunks(len(X), 4 * min(width, N_LEADING * len(self.means)) + 40 * len(self.means)):
            results[rows] = self._find(X[rows], constants)
        return results

    def _find(self, X: NDArray[np.float64], constants: NDArray[np.float64]) -> NDArray[np.intp]:
        everyone = np.arange(len(X))
        with np.errstate(over="ignore", invalid="ignore"):
            lower, slack = self._leading_bounds(X) if self.leading is not None else self._products(X)
            lower += constants
        if not np.isfinite(lower.min(axis=1)).all():
            # Far outside what bounds can be computed for.
            lower = np.where(np.isfinite(constants), -np.inf, np.inf) + np.zeros((len(X), 1))
            slack = None
        best = lower.argmin(axis=1)
        if slack is not None:  # noqa: SIM108
            limit = (lower + slack).min(axis=1)
        else:
            limit = self._keys(X, everyone, best, constants)
        if not np.isfinite(limit).all():
            raise ValueError(TOO_FAR)
        left = lower <= (limit + NEAR * np.abs(limit))[:, None]
        # A class that is left alone needs no exact value.
        rivals = np.flatnonzero(np.count_nonzero(left, axis=1) > 1)
        if len(rivals):
            best[rivals] = self._nearest_of(X[rivals], left[rivals], constants)
        return best

    def _nearest_of(
        self, X: NDArray[np.float64], left: NDArray[np.bool_], constants: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """Nearest of the classes that are left for each sample."""
        keys = np.full(left.shape, np.inf)
        rows, classes = np.nonzero(left)
        keys[rows, classes] = self._keys(X, rows, classes, constants)
        best = keys.argmin(axis=1)
        least = keys[np.arange(len(X)), best]
        if not np.isfinite(least).all():
            raise ValueError(TOO_FAR)
        # Matrix products of other shapes round differently: where that could decide, the
        # sample is compared on its own, so that no batch changes the result.
        scale = np.abs(least) + np.abs(constants[best]) + 1.0
        is_near = keys <= (least + NEAR * scale)[:, None]
        for i in np.flatnonzero(np.count_nonzero(is_near, axis=1) > 1):
            subset = np.flatnonzero(is_near[i])
            again = [self._squared(X[i : i + 1], c)[0] for c in subset.tolist()]
            best[i] = subset[np.argmin(np.array(again) + constants[subset])]
        return best

    def _leading_bounds(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], None]:
        """Lower bounds of the squared distances."""
        assert self.leading is not None
        assert self.offsets is not None
        n_classes, d = self.means.shape
        z = X.astype(np.float32) @ self.leading
        z -= self.offsets
        z = z.reshape(len(X), n_classes, -1)
        length = np.sqrt(np.einsum("ncm,ncm->nc", z, z), dtype=np.float64)
        # Rounding of a product in single precision, at most.
        eps = (d + 16) * float(np.finfo(np.float32).eps)
        size = np.sqrt(np.square(self.leading).reshape(d, n_classes, -1).sum(axis=(0, 2), dtype=np.float64))
        reach = np.sqrt(np.einsum("nd,nd->n", X, X))[:, None] + np.sqrt(np.square(self.means).sum(axis=1))
        length -= eps * (reach * size + length)
        return np.square(np.maximum(length, 0)), None

    def _products(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Squared distances as ``|z|^2 - 2 z m + |m|^2``, to within rounding: from, and how far."""
        if self.covariance_type == "full":
            return np.full((len(X), len(self.means)), -np.inf), None
        if self.covariance_type == "tied":
            Z, M = X @ self.whitening, self.means @ self.whitening
            ones, weighted = np.einsum("nd,nd->n", Z, Z)[:, None], M
        else:
            Z, M = X, self.means
            weight = np.broadcast_to(np.square(self.whitening.reshape(len(M), -1)), M.shape)
            ones, weighted = np.square(Z) @ weight.T, weight * M
        means = np.einsum("cd,cd->c", weighted, M)
        slack = 8 * (X.shape[1] + 16) * np.finfo(np.float64).eps * (ones + means)
        return ones - 2 * (Z @ weighted.T) + means - slack, 2 * slack

    def _keys(
        self,
        X: NDArray[np.float64],
        rows: NDArray[np.intp],
        classes: NDArray[np.intp],
        constants: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Exact values of some pairs of a sample and a class."""
        keys = np.empty(len(rows))
        order = np.argsort(classes, kind="stable")
        cuts = np.flatnonzero(np.diff(classes[order])) + 1
        for group in np.split(order, cuts) if len(order) else []:
            c = int(classes[group[0]])
            keys[group] = self._squared(X[rows[group]], c) + constants[c]
        return keys

    def _squared(self, X: NDArray[np.float64], c: int) -> NDArray[np.float64]:
        whitening = self.whitening if self.covariance_type == "tied" else self.whitening[c : c + 1]
        return squared_mahalanobis(X, self.means[c : c + 1], whitening, self.covariance_type)[:, 0]
