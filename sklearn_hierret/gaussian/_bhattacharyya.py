"""Overlap of Gaussian classes: Bhattacharyya distances and coefficients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform

from sklearn_hierret._arrays import row_chunks


def bhattacharyya_distance(
    means: NDArray[np.float64],
    covariances: NDArray[np.float64],
    whitening: NDArray[np.float64],
    log_determinants: NDArray[np.float64],
    covariance_type: str,
) -> NDArray[np.float64]:
    """Bhattacharyya distances of all pairs of Gaussian classes.

    ``D_B = 1/8 dmu' S^-1 dmu + 1/2 ln(det S / sqrt(det S_i det S_j))`` with S the mean of
    the two covariances [1]_. With a tied covariance it is an eighth of the squared
    Mahalanobis distance of the means.

    Parameters
    ----------
    means : ndarray of shape (n_classes, n_features)
    covariances, whitening, log_determinants : ndarrays
        As `class_covariances` and `precisions_cholesky` return them.
    covariance_type : {"full", "tied", "diag", "spherical"}

    Returns
    -------
    distances : ndarray of shape (n_classes, n_classes)
        Symmetric, the diagonal zero.

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, eq. 1.
    """
    n_classes, d = means.shape
    if covariance_type == "tied":
        return squareform(pdist(means @ whitening, "sqeuclidean")) / 8
    if covariance_type == "spherical":
        covariances = np.repeat(covariances[:, None], d, axis=1)
    distances = np.zeros((n_classes, n_classes))
    for i in range(n_classes - 1):
        for chunk in row_chunks(n_classes - i - 1, 8 * 3 * covariances[0].size):
            j = slice(i + 1 + chunk.start, i + 1 + chunk.stop)
            mean = (covariances[j] + covariances[i]) / 2
            difference = means[j] - means[i]
            if covariance_type == "full":
                lower = np.linalg.cholesky(mean)
                log_det = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
                whitened = np.linalg.solve(lower, difference[:, :, None])[:, :, 0]
            else:
                log_det = np.log(mean).sum(axis=1)
                whitened = difference / np.sqrt(mean)
            distances[i, j] = np.einsum("ij,ij->i", whitened, whitened) / 8
            distances[i, j] += (log_det - (log_determinants[j] + log_determinants[i]) / 2) / 2
    # Rounding can leave the distance of two equal classes a hair below zero.
    np.maximum(distances, 0, out=distances)
    return distances + distances.T
