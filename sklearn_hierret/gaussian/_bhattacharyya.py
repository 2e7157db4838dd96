"""Overlap of Gaussian classes: Bhattacharyya distances of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from sklearn_hierret._threads import run_batches, slices_of

#: Covariances of a batch: a few megabytes stay in the caches.
BATCH_BYTES = 1 << 22


@dataclass(frozen=True)
class Gaussians:
    """Gaussian classes.

    Attributes
    ----------
    means : ndarray of shape (n_classes, n_features)
    covariances, whitening, log_determinants : ndarrays
        As `class_covariances` and `precisions_cholesky` return them.
    covariance_type : {"full", "tied", "diag", "spherical"}
    """

    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    whitening: NDArray[np.float64]
    log_determinants: NDArray[np.float64]
    covariance_type: str

    @property
    def n_classes(self) -> int:
        return len(self.means)


def bhattacharyya_pairs(
    gaussians: Gaussians, i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Bhattacharyya distances of pairs of classes.

    ``D_B = 1/8 dmu' S^-1 dmu + 1/2 ln(det S / sqrt(det S_i det S_j))`` with S the mean of
    the two covariances [1]_. With a tied covariance it is an eighth of the squared
    Mahalanobis distance of the means. Batches are computed in threads.

    Parameters
    ----------
    gaussians : Gaussians
    i, j : ndarrays of shape (n_pairs,)

    Returns
    -------
    distances : ndarray of shape (n_pairs,)

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, eq. 1.
    """
    g = gaussians
    distances = np.empty(len(i))
    if g.covariance_type == "tied":
        whitened = g.means @ g.whitening
        item_bytes = 8 * whitened.shape[1]

        def compute(subset: slice) -> None:
            difference = whitened[i[subset]] - whitened[j[subset]]
            distances[subset] = np.einsum("ij,ij->i", difference, difference) / 8
    else:
        item_bytes = 8 * (g.means.shape[1] if g.covariance_type == "spherical" else g.covariances[0].size)

        def compute(subset: slice) -> None:
            distances[subset] = _of_pairs(g, i[subset], j[subset])

    run_batches(slices_of(len(i), max(1, BATCH_BYTES // item_bytes)), compute, cpu_count())
    # Rounding can leave the distance of two equal classes a hair below zero.
    return np.maximum(distances, 0, out=distances)


def bhattacharyya_distance(gaussians: Gaussians) -> NDArray[np.float64]:
    """Bhattacharyya distances of all pairs of classes, (n_classes, n_classes).

    Symmetric, the diagonal zero; see `bhattacharyya_pairs`.
    """
    n = gaussians.n_classes
    distances = np.zeros((n, n))
    step = max(1, (1 << 20) // max(1, n))  # pairs of some rows at a time
    for start in range(0, n - 1, step):
        rows = np.arange(start, min(start + step, n - 1))
        i = np.repeat(rows, n - 1 - rows)
        j = np.concatenate([np.arange(row + 1, n) for row in rows])
        distances[i, j] = bhattacharyya_pairs(gaussians, i, j)
    distances += distances.T
    return distances


def _of_pairs(g: Gaussians, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
    difference = g.means[i] - g.means[j]
    log_determinants = (g.log_determinants[i] + g.log_determinants[j]) / 2
    if g.covariance_type == "full":
        return distances_of_covariances(g.covariances[i], g.covariances[j], difference, log_determinants)
    mean = (g.covariances[i] + g.covariances[j]) / 2
    if g.covariance_type == "spherical":
        mean = np.repeat(mean[:, None], difference.shape[1], axis=1)
    term = np.einsum("ij,ij->i", difference, difference / mean) / 8
    return term + (np.log(mean).sum(axis=1) - log_determinants) / 2


def distances_of_covariances(
    one: NDArray[np.float64],
    two: NDArray[np.float64],
    difference: NDArray[np.float64],
    log_determinants: NDArray[np.float64],
) -> NDArray[np.float64]:
    """D_B from stacks of covariances.

    With dmu as one more row and column, the Cholesky factor of the mean covariance holds
    its whitened dmu in its last row: no solving, and one call for the whole stack.
    """
    n, d = difference.shape
    stack = np.empty((n, d + 1, d + 1))
    np.add(one, two, out=stack[:, :d, :d])
    stack[:, :d, :d] *= 0.5
    stack[:, d, :d] = difference
    stack[:, :d, d] = difference
    stack[:, d, d] = np.finfo(np.float64).max  # any number that leaves it positive definite
    lower = np.linalg.cholesky(stack)
    whitened = lower[:, d, :d]
    log_det = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)[:, :d]).sum(axis=1)
    return np.einsum("ij,ij->i", whitened, whitened) / 8 + (log_det - log_determinants) / 2
