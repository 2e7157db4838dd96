"""The deepest nodes that are right with some frequency: split conformal prediction on a tree."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._tables import tree_of

#: (rows, children, masses) -> whether to go on down to these children.
Judge = Callable[[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]], NDArray[np.bool_]]


def covering_nodes(model: LeafModel, X: NDArray, coverage: float) -> NDArray[np.intp]:
    """Find the deepest nodes that hold the classes of samples with some frequency.

    From the root, a sample goes down to the heaviest child while that holds more than a level of its class
    probabilities. The level is the least for which held-out samples of the fit were right with the frequency
    (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005, chapter 4), so that it holds
    for samples that are drawn as those were.

    Parameters
    ----------
    model : LeafModel
    X : ndarray of shape (n_samples, n_features)
    coverage : float in (0, 1)

    Returns
    -------
    nodes : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        For another coverage, and where fit held nothing out.
    """
    if not isinstance(coverage, Real) or isinstance(coverage, bool) or not 0 < coverage < 1:
        raise ValueError(f"coverage must be a number between 0 and 1, got {coverage!r}.")
    tree, level = tree_of(model), level_of(model, coverage)
    nodes = np.full(len(X), tree.root, dtype=np.intp)
    for rows in row_chunks(len(X), 32 * (tree.n_classes + tree.n_nodes), at_most=64):
        proba = model.model.proba(X[rows])[:, : len(model.known_model.classes)]
        of_rows = nodes[rows]

        def go_on(some: NDArray, children: NDArray, masses: NDArray, of_rows: NDArray = of_rows) -> NDArray:
            is_sure = masses > level
            of_rows[some[is_sure]] = children[is_sure]
            return is_sure

        _descend(tree, _node_masses(model, proba), go_on)
    return nodes


def level_of(model: LeafModel, coverage: float) -> float:
    """Return the mass above which held-out samples may go down; 1 where there are too few of them."""
    sample = model.sample
    if sample is None:
        raise ValueError(
            "coverage needs held-out samples. Refit with a DiscriminantClassifier, or with alpha='auto' and "
            "a class model that has predict_proba."
        )
    kept = model.__dict__  # a value that never changes; pickles leave this out
    if "levels_of_coverage" not in kept:
        kept["levels_of_coverage"] = np.sort(wrong_masses(model, sample.proba, sample.labels))
    levels = kept["levels_of_coverage"]
    rank = int(np.ceil((len(levels) + 1) * coverage))
    return float(levels[rank - 1]) if rank <= len(levels) else 1.0


def wrong_masses(model: LeafModel, proba: NDArray, labels: NDArray) -> NDArray[np.float64]:
    """Return how much the first wrong node on each sample's way down holds; 0 if there is none."""
    tree, wrong = tree_of(model), np.zeros(len(proba))
    for rows in row_chunks(len(proba), 32 * (tree.n_classes + tree.n_nodes), at_most=64):
        of_rows, of_labels = wrong[rows], labels[rows]

        def go_on(
            some: NDArray,
            children: NDArray,
            masses: NDArray,
            of_rows: NDArray = of_rows,
            of_labels: NDArray = of_labels,
        ) -> NDArray:
            is_right = tree.is_below(of_labels[some], children)
            of_rows[some[~is_right]] = masses[~is_right]
            return is_right

        _descend(tree, _node_masses(model, proba[rows]), go_on)
    return wrong


def _node_masses(model: LeafModel, proba: NDArray) -> NDArray[np.float64]:
    """Return what each node holds of the probabilities of the class model's classes."""
    tree = tree_of(model)
    of_tree = np.zeros((len(proba), tree.n_classes))
    of_tree[:, tree.index(model.known_model.classes)] = proba
    return tree.node_probabilities(of_tree)


def _descend(tree: ClassHierarchy, masses: NDArray[np.float64], go_on: Judge) -> None:
    """Take samples from the root to their heaviest child, its heaviest child, and so on."""
    rows, nodes = np.arange(len(masses)), np.full(len(masses), tree.root, dtype=np.intp)
    children: Any = _children(tree)
    while len(rows):
        heaviest = np.empty(len(rows), dtype=np.intp)
        for node in np.unique(nodes):
            here = np.flatnonzero(nodes == node)
            of_node = children[node]
            heaviest[here] = of_node[masses[np.ix_(rows[here], of_node)].argmax(axis=1)]
        goes = go_on(rows, heaviest, masses[rows, heaviest]) & (heaviest >= tree.n_classes)
        rows, nodes = rows[goes], heaviest[goes]


def _children(tree: ClassHierarchy) -> list[NDArray[np.intp]]:
    """Return the children of each node."""
    order = np.argsort(tree.parents[: tree.root], kind="stable")
    ends = np.searchsorted(tree.parents[: tree.root][order], np.arange(1, tree.n_nodes + 1))
    return np.split(order, ends[:-1])
