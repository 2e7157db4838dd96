"""Covariances of classes from their statistics, and what is computed with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sklearn_hierret.gaussian._statistics import ClassStatistics, ScatterKind

#: The scatter that each type of covariance is made of.
SCATTER_KIND: dict[str, ScatterKind] = {
    "full": "full",
    "tied": "pooled",
    "diag": "diag",
    "spherical": "diag",
}


def class_covariances(
    statistics: ClassStatistics,
    covariance_type: str,
    shrinkage: float | str | None,
    names: Sequence | None = None,
) -> NDArray[np.float64]:
    """Covariances of the classes, shrunk towards the tied one.

    ``(1 - s) Sigma_c + s Sigma_tied``, where Sigma_c divides by n_c - 1 and the tied
    (pooled within-class) covariance by n - n_classes. A class of one sample has no
    covariance of its own and takes the tied one when `shrinkage` is not None.

    Parameters
    ----------
    statistics : ClassStatistics
        Of the kind that `SCATTER_KIND` names for `covariance_type`.
    covariance_type : {"full", "tied", "diag", "spherical"}
    shrinkage : None, "auto" or float in [0, 1]
        Weight s of the tied covariance; "auto" is d / (n_c + d).
    names : sequence of length n_classes, optional
        Names of the classes for error messages.

    Returns
    -------
    covariances : ndarray
        Shape (n_classes, d, d) for "full", (d, d) for "tied", (n_classes, d) for
        "diag" and (n_classes,) for "spherical".

    Raises
    ------
    ValueError
        If no sample is left to estimate a covariance from; class and count are named.
    """
    n, k = statistics.n_samples, statistics.n_classes
    tied = statistics.within_scatter / (n - k) if n > k else None
    if covariance_type == "tied":
        if tied is None:
            raise ValueError(
                f"{n} samples of {k} classes: every class has one sample, so there is no "
                "covariance within classes; more samples are needed."
            )
        return tied
    counts = statistics.counts
    if shrinkage is None:
        if counts.min() < 2:
            smallest = int(np.argmin(counts))
            raise ValueError(_too_small(smallest, int(counts[smallest]), statistics.n_features, names))
        covariances = statistics.scatter / _column(counts - 1, statistics.scatter.ndim)
    else:
        if tied is None:
            raise ValueError(
                f"{n} samples of {k} classes: every class has one sample, so there is no "
                "covariance to shrink towards; more samples are needed."
            )
        d = statistics.n_features
        weight = d / (counts + d) if shrinkage == "auto" else np.full(k, float(shrinkage))
        weight = np.where(counts < 2, 1.0, weight)
        own = _column((1 - weight) / np.maximum(counts - 1, 1), statistics.scatter.ndim)
        covariances = own * statistics.scatter
        covariances += _column(weight, statistics.scatter.ndim) * tied
    return covariances.mean(axis=1) if covariance_type == "spherical" else covariances


def precisions_cholesky(
    covariances: NDArray[np.float64],
    covariance_type: str,
    counts: NDArray | None = None,
    names: Sequence | None = None,
    n_features: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whitening matrices and log-determinants of covariances.

    Parameters
    ----------
    covariances : ndarray, see `class_covariances`
    covariance_type : {"full", "tied", "diag", "spherical"}
    counts, names : sequences of length n_classes, optional
        For error messages.
    n_features : int, optional
        Dimensions; only needed for "spherical".

    Returns
    -------
    whitening : ndarray
        Upper triangular U with ``U @ U.T`` the inverse covariance, of the shape of
        `covariances`; for "diag" and "spherical" inverse standard deviations.
    log_determinants : ndarray of shape (n_classes,), or (1,) for "tied"

    Raises
    ------
    ValueError
        If a covariance is singular: class and count are named.
    """
    if covariance_type in ("diag", "spherical"):
        flat = covariances.reshape(len(covariances), -1)
        bad = np.flatnonzero(~(flat > 0).all(axis=1))
        if len(bad):
            raise ValueError(_singular(int(bad[0]), counts, names, flat.shape[1]))
        logs = np.log(flat).sum(axis=1)
        if covariance_type == "spherical":
            logs = logs * (n_features or 1)
        return 1.0 / np.sqrt(covariances), logs
    stack = covariances[None] if covariance_type == "tied" else covariances
    whitening = np.empty_like(stack)
    log_determinants = np.empty(len(stack))
    identity = np.eye(stack.shape[1])
    for c, covariance in enumerate(stack):
        lower = _cholesky(covariance)
        if lower is None:
            who = None if covariance_type == "tied" else c
            raise ValueError(_singular(who, counts, names, stack.shape[1]))
        whitening[c] = linalg.solve_triangular(lower, identity, lower=True, check_finite=False).T
        log_determinants[c] = 2 * np.log(np.diag(lower)).sum()
    return (whitening[0] if covariance_type == "tied" else whitening), log_determinants


def squared_mahalanobis(
    X: NDArray[np.float64], means: NDArray[np.float64], whitening: NDArray[np.float64], covariance_type: str
) -> NDArray[np.float64]:
    """Squared Mahalanobis distances of samples to classes (venkataramanan2023, eq. 4).

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    means : ndarray of shape (n_classes, n_features)
    whitening : ndarray, see `precisions_cholesky`
    covariance_type : {"full", "tied", "diag", "spherical"}

    Returns
    -------
    squared : ndarray of shape (n_samples, n_classes)
    """
    if covariance_type == "tied":
        X, means = X @ whitening, means @ whitening
    squared = np.empty((len(X), len(means)))
    for c, mean in enumerate(means):
        deviation = X - mean
        if covariance_type == "full":
            deviation = deviation @ whitening[c]
        elif covariance_type != "tied":
            deviation *= whitening[c]
        np.einsum("ij,ij->i", deviation, deviation, out=squared[:, c])
    return squared


def _cholesky(covariance: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Lower Cholesky factor, or None if the covariance is numerically singular."""
    variances = np.diag(covariance)
    if not np.all(variances > 0):
        return None
    try:
        lower = linalg.cholesky(covariance, lower=True, check_finite=False)
    except linalg.LinAlgError:
        return None
    # Squared pivot / variance = what a feature has beyond those before it: free of scale.
    unexplained = np.diag(lower) ** 2 / variances
    return lower if unexplained.min() > len(variances) * np.finfo(np.float64).eps else None


def _column(values: NDArray, ndim: int) -> NDArray:
    return values.reshape(-1, *[1] * (ndim - 1))


def _class_text(c: int, names: Sequence | None) -> str:
    return f"Class {c if names is None else names[c]!r}"


def _too_small(c: int, count: int, d: int, names: Sequence | None) -> str:
    return (
        f"{_class_text(c, names)} has {count} sample{'s' * (count != 1)}, too few for a covariance in "
        f"{d} dimensions; pass shrinkage='auto' or covariance_type='tied'."
    )


def _singular(c: int | None, counts: NDArray | None, names: Sequence | None, d: int) -> str:
    if c is None:
        return (
            f"The within-class covariance in {d} dimensions is singular: some features are constant or "
            "linearly dependent within the classes; pass n_components=0.99 or remove such features."
        )
    count = "" if counts is None else f" with {int(counts[c])} samples"
    return (
        f"{_class_text(c, names)}{count} has a singular covariance in {d} dimensions. If classes are small, "
        "pass shrinkage='auto' or covariance_type='tied'; if features are constant or linearly dependent, "
        "n_components=0.99; if there are few samples in all, a smaller n_components."
    )
