"""For samples of uncertain class: the deepest node that is sure enough, and how often it is right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_hierret.building import HeldOutLeaves, LeafModel
from sklearn_hierret.hierarchy import ClassHierarchy

#: Names of levels, by relative heights: 0, at most each of these, the root.
BOUNDS = (0.25, 0.5, 0.75)
LEVELS = ("class", "up to 0.25", "up to 0.5", "up to 0.75", "below the root", "root")


class HeldOutSample(NamedTuple):
    """Class probabilities of some training samples, by models that did not see them, and their labels."""

    proba: NDArray[np.float32]
    labels: NDArray

    @classmethod
    def of(cls, held_out: HeldOutLeaves | None, y: NDArray) -> HeldOutSample | None:
        """Of what was held out at fit; None if nothing was."""
        if held_out is None or held_out.proba is None:
            return None
        return cls(held_out.proba, y[held_out.sample])


def sure_nodes(
    leaf_model: LeafModel, proba: NDArray, known: NDArray | None, min_probability: float
) -> NDArray[np.intp]:
    """Deepest node of the hierarchy that holds at least `min_probability` of each sample.

    Parameters
    ----------
    leaf_model : LeafModel
    proba : ndarray of shape (n_samples, n_classes)
        Of the class model's classes.
    known : ndarray of shape (n_samples,) or None
        Probability that the sample's class is one of them; the rest lies on the root.
    min_probability : float in (0.5, 1]
    """
    tree = tree_of(leaf_model)
    of_tree = np.zeros((len(proba), tree.n_classes))
    of_tree[:, tree.index(leaf_model.class_model.classes_)] = proba
    if known is not None:
        of_tree *= known[:, None]
    return tree.back_off(of_tree, min_probability)


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
            "Accuracies are those of held-out samples, and fit held none out: it does with a "
            "DiscriminantClassifier, and where alpha='auto' with any class model that has predict_proba."
        )
    nodes = sure_nodes(leaf_model, sample.proba, None, min_probability)
    levels, n_levels = levels_of(tree, nodes), len(LEVELS)
    counts = np.bincount(levels, minlength=n_levels)
    right = np.bincount(levels, weights=tree.is_below(sample.labels, nodes), minlength=n_levels)
    accuracy = np.divide(right, counts, out=np.full(n_levels, np.nan), where=counts > 0)
    return pd.DataFrame(
        {"n_samples": counts, "share": counts / counts.sum(), "accuracy": accuracy},
        index=pd.Index(LEVELS, name="level"),
    )


def described(
    leaf_model: LeafModel,
    nodes: NDArray[np.intp],
    known: NDArray | None,
    sample: HeldOutSample | None,
    min_probability: float,
) -> tuple[NDArray, NDArray[np.float64]]:
    """Name of each node, and how likely it is right: NaN where accuracies were not measured."""
    tree, accuracy = tree_of(leaf_model), np.full(len(LEVELS), np.nan)
    if sample is not None:
        accuracy = level_accuracy(leaf_model, sample, min_probability)["accuracy"].to_numpy()
    names = np.empty(tree.n_nodes, dtype=object)
    names[:] = tree.node_names
    is_right = accuracy[levels_of(tree, nodes)]
    if known is not None:  # held-out samples were
        is_right = np.where(nodes == tree.root, is_right, known * is_right)
    return names[nodes], is_right
