"""For samples that no class is sure of: the deepest node that is, and how often it is right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.building import HeldOutLeaves, LeafModel, by_class
from sklearn_hierret.hierarchy import ClassHierarchy

#: Held-out samples that accuracies are measured on, at most.
MOST_SAMPLES = 8192
#: Names of levels, by relative heights: 0, at most each of these, the root.
BOUNDS = (0.25, 0.5, 0.75)
LEVELS = ("class", "up to 0.25", "up to 0.5", "up to 0.75", "below the root", "root")


class HeldOutSample(NamedTuple):
    """Soft leaves of some training samples, by class models that did not see them, and their labels."""

    leaves: NDArray
    labels: NDArray

    @classmethod
    def of(cls, held_out: HeldOutLeaves | None, y: NDArray) -> HeldOutSample | None:
        """Some of what was held out at fit; None if no soft leaves were."""
        leaves = None if held_out is None else held_out.of_kind("soft")
        if leaves is None:
            return None
        some = np.unique(np.linspace(0, len(y) - 1, min(len(y), MOST_SAMPLES)).astype(np.intp))
        return cls(leaves[some], y[some])


def sure_nodes(
    leaf_model: LeafModel, leaves: NDArray, known: NDArray | None, min_probability: float
) -> NDArray[np.intp]:
    """Deepest node of the hierarchy that holds so much of each sample's probability.

    Parameters
    ----------
    leaf_model : LeafModel
    leaves : ndarray of shape (n_samples, n_kept)
    known : ndarray of shape (n_samples,) or None
        Probability that the sample's class is one of the hierarchy's; the rest lies on the root.
    min_probability : float in (0.5, 1]
    """
    tree = tree_of(leaf_model)
    place = tree.index(leaf_model.tree.classes)
    nodes = np.empty(len(leaves), dtype=np.intp)
    for rows in row_chunks(len(leaves), 16 * (tree.n_classes + tree.n_nodes)):
        proba = np.empty((rows.stop - rows.start, tree.n_classes))
        proba[:, place] = by_class(leaves[rows], tree.n_classes).toarray()
        if known is not None:
            proba *= known[rows, None]
        nodes[rows] = tree.back_off(proba, min_probability)
    return nodes


def tree_of(leaf_model: LeafModel) -> ClassHierarchy:
    """The hierarchy, which has nodes."""
    if not isinstance(leaf_model.hierarchy, ClassHierarchy):
        raise TypeError(
            "min_probability needs one tree, and hierarchy_ is a CombinedHierarchy; "
            "CombinedHierarchyBuilder(linkage=...) makes one of several."
        )
    return leaf_model.hierarchy


def levels_of(tree: ClassHierarchy, nodes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Position in `LEVELS` of each node."""
    heights = tree.heights / tree.height if tree.height else tree.heights
    levels = 1 + np.searchsorted(BOUNDS, heights)
    levels[: tree.n_classes], levels[-1] = 0, len(LEVELS) - 1
    return levels[nodes]


def level_accuracy(
    leaf_model: LeafModel, sample: HeldOutSample | None, min_probability: float
) -> pd.DataFrame:
    """How many held-out samples back off to each level, and how many of them rightly."""
    tree = tree_of(leaf_model)
    if sample is None:
        raise ValueError(
            "Accuracies are those of held-out samples, and fit held none out: it does with "
            "DiscriminantClassifier, and with any class model where alpha='auto' and assignment='soft'."
        )
    nodes = sure_nodes(leaf_model, sample.leaves, None, min_probability)
    levels, n_levels = levels_of(tree, nodes), len(LEVELS)
    counts = np.bincount(levels, minlength=n_levels)
    right = np.bincount(levels, weights=tree.is_below(sample.labels, nodes), minlength=n_levels)
    accuracy = np.divide(right, counts, out=np.full(n_levels, np.nan), where=counts > 0)
    return pd.DataFrame(
        {"n_samples": counts, "share": counts / counts.sum(), "accuracy": accuracy},
        index=pd.Index(LEVELS, name="level"),
    )


def described(
    leaf_model: LeafModel, nodes: NDArray[np.intp], sample: HeldOutSample | None, min_probability: float
) -> tuple[NDArray, NDArray[np.float64]]:
    """Name of each node, and the accuracy at its level; NaN where it was not measured."""
    tree, accuracy = tree_of(leaf_model), np.full(len(LEVELS), np.nan)
    if sample is not None:
        accuracy = level_accuracy(leaf_model, sample, min_probability)["accuracy"].to_numpy()
    names = np.empty(tree.n_nodes, dtype=object)
    names[:] = tree.node_names
    return names[nodes], accuracy[levels_of(tree, nodes)]
