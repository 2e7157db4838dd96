"""Results as tables, and for samples of uncertain class: the deepest node that is sure enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._searcher import Result, Searcher

#: Names of levels, by relative heights: 0, at most each of these, the root.
BOUNDS = (0.25, 0.5, 0.75)
LEVELS = ("class", "up to 0.25", "up to 0.5", "up to 0.75", "below the root", "root")


def table_of(
    searcher: Searcher, result: Result, offset: int = 0, columns: Mapping[str, NDArray] | None = None
) -> pd.DataFrame:
    """Return a row for each neighbour, see `HierarchicalRetriever.retrieve`; columns are by position."""
    gallery, view, (n_queries, k) = searcher.gallery, result.view, result.indices.shape
    is_there = result.indices.ravel() >= 0
    query, item = np.repeat(np.arange(n_queries), k)[is_there], result.indices.ravel()[is_there]
    rows, dtype, labels = view.rows[result.indices], searcher.distance_dtype, gallery.labels
    visual = view.index.pair_distances(result.queries, rows)
    visual[result.is_copy] = 0
    visual = visual.ravel()[is_there].astype(dtype)
    table = pd.DataFrame(
        {
            "query": query,
            "rank": np.tile(np.arange(1, k + 1) + offset, n_queries)[is_there],
            "id": gallery.ids[item],
            "label": None if labels is None else labels[item],
            "distance": searcher.rounded(result.distances.ravel()[is_there]),
            "hamming_distance" if gallery.metric is None else "visual_distance": visual,
        }
    )
    of_leaves = result.leaf_distance
    if of_leaves is not None:
        hierarchical = np.empty(rows.shape, dtype=dtype)
        for chunk in row_chunks(n_queries, 32 * searcher.leaves.model.tree.n_classes):
            distances = of_leaves.distances_of(of_leaves.leaves[chunk])
            hierarchical[chunk] = view.index.pair_leaf_distances(distances, rows[chunk])
        hierarchical[result.is_copy] = 0
        table["hierarchical_distance"] = hierarchical.ravel()[is_there]
        if result.known is not None:
            table["query_known"] = result.known[query]
        table["query_leaf"] = searcher.leaves.labels_of(of_leaves.leaves)[query]
        table["leaf"] = searcher.leaves.labels_of(view.index.leaves(rows.ravel()[is_there]))
    return table.assign(**{name: values[item] for name, values in (columns or {}).items()})


def check_backing_off(searcher: Searcher, X: Any, name: str) -> None:
    """Raise an error unless queries can back off to nodes; `name` is the parameter that asks for it."""
    model = searcher.leaves.model
    tree_of(model, name)  # or raises
    if X is None:
        raise ValueError(f"{name} needs X: samples of the gallery back off as those of X do.")
    if not model.model.tells_proba:
        raise ValueError(
            f"{name} needs class probabilities, and {type(model.classifier).__name__} has no predict_proba."
        )


def sure_nodes(searcher: Searcher, X: NDArray, min_probability: float) -> NDArray[np.intp]:
    """Find the deepest node of the hierarchy that holds at least `min_probability` of each sample.

    Where novelty is heeded, the probability that the class is unknown lies on the root.
    """
    model, known = searcher.leaves.model, searcher.leaves.known(X)
    tree, nodes = tree_of(model), np.empty(len(X), dtype=np.intp)
    for rows in row_chunks(len(X), 32 * (tree.n_classes + tree.n_nodes), at_most=64):
        proba = model.model.proba(X[rows])[:, : len(model.known_model.classes)]  # new ones lie on the root
        nodes[rows] = nodes_of(model, proba, None if known is None else known[rows], min_probability)
    return nodes


def nodes_of(
    model: LeafModel, proba: NDArray, known: NDArray | None, min_probability: float
) -> NDArray[np.intp]:
    """Find the same for probabilities of the class model's classes, (n_samples, n_classes)."""
    tree = tree_of(model)
    of_tree = np.zeros((len(proba), tree.n_classes))
    of_tree[:, tree.index(model.known_model.classes)] = proba
    if known is not None:
        of_tree *= known[:, None]
    return tree.back_off(of_tree, min_probability)


def tree_of(model: LeafModel, name: str = "min_probability") -> ClassHierarchy:
    """Return the hierarchy, which must have nodes."""
    if not isinstance(model.hierarchy, ClassHierarchy):
        raise TypeError(
            f"{name} needs one tree, and hierarchy_ is a CombinedHierarchy; "
            "CombinedHierarchyBuilder(linkage=...) makes one of several."
        )
    return model.hierarchy


def levels_of(tree: ClassHierarchy, nodes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the position in `LEVELS` of each node."""
    heights = tree.heights / tree.height if tree.height else tree.heights
    levels = 1 + np.searchsorted(BOUNDS, heights)
    levels[: tree.n_classes], levels[-1] = 0, len(LEVELS) - 1
    return levels[nodes]


def level_accuracy(model: LeafModel, min_probability: float) -> pd.DataFrame:
    """Count how many held-out samples back off to each level, and how many of them rightly."""
    tree, sample = tree_of(model), model.sample
    if sample is None:
        raise ValueError(
            "level_accuracy needs held-out samples. Refit with a DiscriminantClassifier, or with "
            "alpha='auto' and a class model that has predict_proba."
        )
    nodes = nodes_of(model, sample.proba, None, min_probability)
    levels, n_levels = levels_of(tree, nodes), len(LEVELS)
    counts = np.bincount(levels, minlength=n_levels)
    right = np.bincount(levels, weights=tree.is_below(sample.labels, nodes), minlength=n_levels)
    accuracy = np.divide(right, counts, out=np.full(n_levels, np.nan), where=counts > 0)
    return pd.DataFrame(
        {"n_samples": counts, "share": counts / counts.sum(), "accuracy": accuracy},
        index=pd.Index(LEVELS, name="level"),
    )


def described(
    model: LeafModel, nodes: NDArray[np.intp], known: NDArray | None, min_probability: float
) -> tuple[NDArray, NDArray[np.float64]]:
    """Return the name of each node, and how likely it is right: NaN where accuracies were not measured."""
    tree, accuracy = tree_of(model), np.full(len(LEVELS), np.nan)
    if model.sample is not None:
        accuracy = level_accuracy(model, min_probability)["accuracy"].to_numpy()
    names = np.empty(tree.n_nodes, dtype=object)
    names[:] = tree.node_names
    is_right = accuracy[levels_of(tree, nodes)]
    if known is not None:  # held-out samples were
        is_right = np.where(nodes == tree.root, is_right, known * is_right)
    return names[nodes], is_right
