"""Which classes are connected by their overlaps, without the overlaps of all pairs.

Connected components need only links. Pairs are dropped by lower bounds of the Bhattacharyya
distance, each costlier and tighter than the one before:

1. its mean term alone, with the largest variance that either class has in any direction of
   the space whitened by all classes: one matrix product;
2. the distance of the classes' marginals in the few directions that separate classes best
   (dropping coordinates never increases the distance), a batch of small matrices;
3. the distance itself, for pairs that are not connected through others by then.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from scipy import linalg
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sklearn_hierret._threads import run_batches, slices_of
from sklearn_hierret.gaussian._bhattacharyya import (
    Gaussians,
    bhattacharyya_pairs,
    distances_of_covariances,
)

#: Directions of the second bound.
N_DIRECTIONS = 12
#: Pairs that are looked at together.
MOST_PAIRS = 1 << 21
#: What rounding can add to a bound, relatively.
SLACK = 1e-9


def linked_components(
    gaussians: Gaussians, threshold: float, changed: NDArray[np.bool_] | None = None
) -> NDArray[np.intp]:
    """Find connected components of classes whose Bhattacharyya coefficient reaches a threshold.

    Parameters
    ----------
    gaussians : Gaussians
    threshold : float in (0, 1]
    changed : ndarray of bool of shape (n_classes,), optional
        Only pairs with a changed class can be linked: the others are known not to be.

    Returns
    -------
    labels : ndarray of shape (n_classes,)
        Numbered by their smallest members.
    """
    n = gaussians.n_classes
    labels = np.arange(n)
    most = -np.log(threshold) * (1 + SLACK) + SLACK  # of D_B
    bounds = _MarginalBounds(gaussians) if gaussians.covariance_type == "full" else None
    for near in _near_means(gaussians, most, changed):
        pairs = _unconnected(labels, near)
        if bounds is not None and pairs.shape[1]:
            lower = bounds.of_pairs(*pairs)
            pairs = pairs[:, np.argsort(lower, kind="stable")[: np.count_nonzero(lower <= most)]]
        # The closest first: they connect classes, and connected pairs need no distance.
        while pairs.shape[1]:
            now, later = pairs[:, : 4 * n], pairs[:, 4 * n :]
            is_linked = np.exp(-bhattacharyya_pairs(gaussians, *now)) >= threshold
            labels = _connect(labels, now[:, is_linked])
            pairs = _unconnected(labels, later)
    return labels


def _near_means(g: Gaussians, most: float, changed: NDArray[np.bool_] | None) -> Iterator[NDArray[np.intp]]:
    """Pairs i < j that the mean term does not rule out, few rows at a time."""
    n, d = g.means.shape
    if g.covariance_type == "tied":
        whitened, widest = g.means @ g.whitening, np.ones(n)
    elif g.covariance_type == "full":
        whitening = _common_whitening(g)
        whitened = g.means @ whitening
        widest = _largest_eigenvalues(whitening.T @ g.covariances @ whitening)
    else:
        variances = g.covariances.reshape(n, -1)
        scale = variances.mean(axis=0)
        whitened, widest = g.means / np.sqrt(scale), (variances / scale).max(axis=1)
    squares = np.einsum("ij,ij->i", whitened, whitened)
    step = max(1, MOST_PAIRS // n)
    for start in range(0, n, step):
        rows = slice(start, min(n, start + step))
        # Within rounding of the product, which squares of far means make large.
        squared = squares[rows, None] + squares - 2 * (whitened[rows] @ whitened.T)
        squared -= 1e-13 * d * (squares[rows, None] + squares)
        near = squared <= (4 * most) * (widest[rows, None] + widest)
        if changed is not None:
            near &= changed[rows, None] | changed
        pairs = np.stack(np.nonzero(near))
        pairs[0] += start
        yield pairs[:, pairs[0] < pairs[1]]


def _largest_eigenvalues(stack: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper bounds: the 16th root of the norm of the 16th power, which is at most d^(1/32) too large."""
    scale = np.trace(stack, axis1=1, axis2=2)
    power = stack / scale[:, None, None]
    log_norm = np.zeros(len(stack))
    for doubling in range(4):
        power = power @ power
        norm = np.sqrt(np.einsum("kij,kij->k", power, power))
        power /= norm[:, None, None]
        log_norm += np.log(norm) / 2 ** (doubling + 1)
    return scale * np.exp(log_norm)


def _common_whitening(g: Gaussians) -> NDArray[np.float64]:
    """Whitening of the mean covariance of all classes."""
    lower = linalg.cholesky(g.covariances.mean(axis=0), lower=True, check_finite=False)
    return linalg.solve_triangular(lower, np.eye(len(lower)), lower=True, check_finite=False).T


class _MarginalBounds:
    """Distances of classes in the directions that separate their means best."""

    def __init__(self, g: Gaussians) -> None:
        m = min(N_DIRECTIONS, g.means.shape[1])
        whitening = _common_whitening(g)
        whitened = (g.means - g.means.mean(axis=0)) @ whitening
        directions = whitening @ linalg.svd(whitened.T, full_matrices=True)[0][:, :m]
        self.means = g.means @ directions
        self.covariances = directions.T @ g.covariances @ directions
        self.log_determinants = np.linalg.slogdet(self.covariances)[1]

    def of_pairs(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
        """Lower bounds of the Bhattacharyya distances of pairs."""
        lower = np.empty(len(i))

        def compute(subset: slice) -> None:
            a, b = i[subset], j[subset]
            lower[subset] = distances_of_covariances(
                self.covariances[a],
                self.covariances[b],
                self.means[a] - self.means[b],
                (self.log_determinants[a] + self.log_determinants[b]) / 2,
            )

        run_batches(slices_of(len(i), 1024), compute, cpu_count())
        return lower


def _unconnected(labels: NDArray[np.intp], pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    return pairs[:, labels[pairs[0]] != labels[pairs[1]]]


def _connect(labels: NDArray[np.intp], pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Labels after more links; SciPy numbers components by their first members."""
    if not pairs.shape[1]:
        return labels
    n = int(labels.max()) + 1
    ones = np.ones(pairs.shape[1], dtype=np.int8)
    graph = coo_array((ones, (labels[pairs[0]], labels[pairs[1]])), shape=(n, n)).tocsr()
    return connected_components(graph, directed=False)[1][labels].astype(np.intp)
