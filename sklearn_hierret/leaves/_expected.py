"""Expected hierarchical distances of leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.leaves._leaves import unassigned


def leaf_matrix(leaves: NDArray, n_classes: int) -> csr_array:
    """Return the probabilities of leaves as a sparse array of samples by classes."""
    starts = np.arange(0, leaves.size + 1, leaves.shape[1])
    columns = (leaves["probability"].ravel(), leaves["leaf"].ravel(), starts)
    return csr_array(columns, shape=(len(leaves), n_classes))


def expected_distances(leaves: NDArray, hierarchy: ClassHierarchy | CombinedHierarchy) -> NDArray[np.float64]:
    """Compute the expected D_H of leaves to each class of a tree, (n_samples, n_classes).

    The leaves are positions of the tree's classes.
    """
    left = unassigned(leaves)[:, None]
    if leaves.shape[1] == 1:  # the very heights of the tree, so that ties are ties
        distinct, inverse = np.unique(leaves["leaf"][:, 0], return_inverse=True)
        return hierarchy.distances_from(distinct)[inverse] * leaves["probability"] + left
    proba = np.zeros((len(leaves), hierarchy.n_classes))
    # A class with probability 0 may stand in several places of a row.
    np.add.at(proba, (np.arange(len(leaves))[:, None], leaves["leaf"]), leaves["probability"])
    return hierarchy.expected_distance(proba) + left
