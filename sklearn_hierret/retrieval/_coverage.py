"""The deepest nodes that are right with some frequency: split conformal prediction on a tree."""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._tables import tree_of


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
    nodes = np.empty(len(X), dtype=np.intp)
    for rows in row_chunks(len(X), 32 * (tree.n_classes + tree.n_nodes), at_most=64):
        proba = model.model.proba(X[rows])[:, : len(model.known_model.classes)]
        path, masses = _heaviest_path(model, proba)
        depth = (masses > level).sum(axis=1)  # masses fall from the root on
        nodes[rows] = path[np.arange(len(path)), depth - 1]
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
    tree, wrong = tree_of(model), np.empty(len(proba))
    for rows in row_chunks(len(proba), 32 * (tree.n_classes + tree.n_nodes), at_most=64):
        path, masses = _heaviest_path(model, proba[rows])
        is_wrong = ~tree.is_below(labels[rows, None], path)
        first = is_wrong.argmax(axis=1)
        wrong[rows] = np.where(is_wrong.any(axis=1), masses[np.arange(len(path)), first], 0)
    return wrong


def _heaviest_path(model: LeafModel, proba: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Follow the heaviest child from the root down to a class.

    Returns
    -------
    nodes : ndarray of shape (n_samples, depth)
        The root first; a class is repeated.
    masses : ndarray of shape (n_samples, depth)
        What they hold of the probabilities; infinity for the root, 0 for what is repeated.
    """
    tree, n = tree_of(model), len(proba)
    of_tree = np.zeros((n, tree.n_classes))
    of_tree[:, tree.index(model.known_model.classes)] = proba
    held, children = tree.node_probabilities(of_tree), _children(tree)
    nodes, masses = [np.full(n, tree.root, dtype=np.intp)], [np.full(n, np.inf)]
    while np.any(is_inner := nodes[-1] >= tree.n_classes):
        heaviest, mass = nodes[-1].copy(), np.zeros(n)
        for node in np.unique(nodes[-1][is_inner]):
            here = np.flatnonzero(nodes[-1] == node)
            heaviest[here] = children[node][held[np.ix_(here, children[node])].argmax(axis=1)]
            mass[here] = held[here, heaviest[here]]
        nodes.append(heaviest)
        masses.append(mass)
    return np.stack(nodes, axis=1), np.stack(masses, axis=1)


def _children(tree: ClassHierarchy) -> list[NDArray[np.intp]]:
    """Return the children of each node."""
    order = np.argsort(tree.parents[: tree.root], kind="stable")
    ends = np.searchsorted(tree.parents[: tree.root][order], np.arange(1, tree.n_nodes + 1))
    return np.split(order, ends[:-1])
