"""Distances of all pairs of classes, and trees by linkage of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.hierarchy import ClassHierarchy


def distances_of_vectors(
    vectors: NDArray, metric: str, classes: NDArray, what: str = "mean"
) -> NDArray[np.float64]:
    """Compute distances of all pairs of classes, in the order of `scipy.spatial.distance.pdist`.

    A vector is `what` of its class, for messages.

    Raises
    ------
    ValueError
        If all are 0, or one has no cosine.
    """
    without = np.flatnonzero(~vectors.any(axis=1))
    if metric != "cosine":
        distances = pdist(vectors, metric)
    elif len(without):
        if len(without) < len(vectors):
            raise ValueError(
                f"The {what} of class {classes.tolist()[without[0]]!r} is zero: it has no cosine."
            )
        distances = np.zeros(1)
    else:
        # A product of matrices, row by row: much faster than pdist where there are many classes.
        unit, n = unit_rows(vectors.astype(np.float64, copy=False))[0], len(vectors)
        distances = np.empty(n * (n - 1) // 2)
        start = 0
        for i in range(n - 1):
            np.subtract(1, unit[i + 1 :] @ unit[i], out=distances[start : start + n - 1 - i])
            start += n - 1 - i
        np.maximum(distances, 0, out=distances)
    # Cosines of parallel vectors differ from 1 by rounding.
    if not distances.max() > (1e-12 if metric == "cosine" else 0):
        raise ValueError(f"All class {what}s are equal: no tree to build.")
    return distances


def distances_of_hierarchy(hierarchy: ClassHierarchy) -> NDArray[np.float64]:
    """Return D_H of all pairs of classes, in the same order."""
    return squareform(hierarchy.distance_matrix(), checks=False)


def linked(
    distances: NDArray[np.float64], classes: NDArray, method: str, heights: str
) -> tuple[NDArray[np.float64], ClassHierarchy]:
    """Link classes by their distances; return SciPy's linkage matrix, and the tree that it describes.

    The height of a node is its merge distance, or the rank of that among the distinct ones.
    """
    Z = linkage(distances, method=method)
    if heights == "rank":
        order = np.argsort(Z[:, 2], kind="stable")
        rises = np.diff(Z[order, 2], prepend=0.0) > 1e-9 * Z[:, 2].max()  # more than rounding does
        Z[order, 2] = np.cumsum(rises)
        Z[:, 2] += 1 - Z[:, 2].min()  # the lowest node may be at distance 0
    return Z, ClassHierarchy.from_linkage(Z, classes)


def of_classes(distances: NDArray[np.float64], all_classes: NDArray, classes: NDArray) -> NDArray[np.float64]:
    """Take the distances of all pairs of some of the classes, both sorted."""
    if len(all_classes) == len(classes):
        return distances
    place = np.searchsorted(all_classes, classes)
    return squareform(squareform(distances, checks=False)[np.ix_(place, place)], checks=False)
