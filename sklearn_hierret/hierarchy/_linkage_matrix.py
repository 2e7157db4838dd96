"""SciPy linkage matrices, read and written as trees."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import fcluster

from sklearn_hierret.hierarchy._nodes import Nodes, as_label_array, number_nodes


def levels_from_linkage(
    Z: ArrayLike, max_height: float | None = None, root_height: float | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Clusters of the leaves at each distinct merge height.

    Parameters
    ----------
    Z : array-like of shape (n_leaves - 1, 4)
    max_height : float, optional
        Merges above it are undone and joined at the root.
    root_height : float, optional
        Height of a root made that way; default: the last merge of `Z`.

    Returns
    -------
    levels : ndarray of shape (n_levels, n_leaves)
    heights : ndarray of shape (n_levels,)
    """
    Z, limit = _checked(Z, max_height)
    n_leaves = len(Z) + 1
    levels, heights = [np.arange(n_leaves)], [0.0]
    for height in np.unique(Z[Z[:, 2] <= limit, 2]).tolist():
        levels.append(_numbered(fcluster(Z, height, "distance")))
        heights.append(height)
    if np.any(levels[-1]):
        levels.append(np.zeros(n_leaves, dtype=np.intp))
        heights.append(float(Z[-1, 2] if root_height is None else root_height))
    return np.stack(levels).astype(np.intp), np.array(heights)


def _numbered(clusters: NDArray) -> NDArray[np.intp]:
    """Clusters numbered from 0 in the order of their smallest leaves."""
    _, smallest, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(smallest))[inverse]


def _checked(Z: ArrayLike, max_height: float | None) -> tuple[NDArray[np.float64], float]:
    """Return a linkage matrix that describes a tree, and the height up to which its merges count."""
    Z = np.asarray(Z, dtype=np.float64)
    if Z.ndim != 2 or Z.shape[1] != 4 or len(Z) < 1:
        raise ValueError(f"A linkage matrix has shape (n_classes - 1, 4), got {Z.shape}.")
    if np.any(np.diff(Z[:, 2]) < 0) or Z[0, 2] < 0:
        raise ValueError("The linkage has inversions (heights that fall): use another method.")
    # SciPy's is_valid_linkage looks at nothing of this where there is one merge, and lets fractions pass.
    n_leaves = len(Z) + 1
    merged = np.sort(Z[:, :2].ravel())
    if not np.array_equal(merged, np.arange(2 * n_leaves - 2)) or np.any(
        Z[:, :2].max(axis=1) >= n_leaves + np.arange(len(Z))
    ):
        raise ValueError("The linkage must merge every cluster once, after it was made.")
    if max_height is not None and np.isnan(max_height):
        raise ValueError("max_height must be a number, got NaN.")
    return Z, np.inf if max_height is None else max_height


def nodes_from_linkage(Z: ArrayLike, classes: ArrayLike | None, max_height: float | None) -> Nodes:
    """Nodes from the merges themselves; see `ClassHierarchy.from_linkage`.

    Merges at one height, one on top of the other, are one node.
    """
    Z, limit = _checked(Z, max_height)
    n_leaves = len(Z) + 1
    labels = np.arange(n_leaves) if classes is None else as_label_array(classes)  # type: ignore[arg-type]
    if len(labels) != n_leaves:
        raise ValueError(f"The linkage has {n_leaves} leaves, but {len(labels)} classes.")
    heights = np.unique(Z[:, 2])
    level_of = np.searchsorted(heights, Z[:, 2]) + 1
    # Of each cluster its level, its smallest leaf, and the children that its node would have.
    level = [0] * n_leaves
    smallest = list(range(n_leaves))
    children: list[list[Hashable]] = [[leaf] for leaf in range(n_leaves)]
    parent: dict[Hashable, Hashable] = {}
    node_height: dict[Hashable, float] = dict.fromkeys(range(n_leaves), 0.0)

    def node_of(cluster: int) -> Hashable:
        if not level[cluster]:
            return cluster
        node = ("cluster", level[cluster], smallest[cluster])
        node_height[node] = float(heights[level[cluster] - 1])
        parent.update(dict.fromkeys(children[cluster], node))
        return node

    open_clusters = set(range(n_leaves))
    for i, (left, right) in enumerate(Z[:, :2].astype(int).tolist()):
        if Z[i, 2] > limit:
            break
        open_clusters -= {left, right}
        open_clusters.add(n_leaves + i)
        own, longest = int(level_of[i]), max((left, right), key=lambda c: len(children[c]))
        kept = children[longest] if level[longest] == own else [node_of(longest)]
        other = left + right - longest
        kept += children[other] if level[other] == own else [node_of(other)]
        level.append(own)
        smallest.append(min(smallest[left], smallest[right]))
        children.append(kept)
    tops = [node_of(cluster) for cluster in sorted(open_clusters)]
    if len(tops) > 1:
        root = ("cluster", len(heights) + 1, 0)
        node_height[root] = float(heights[-1])
        parent.update(dict.fromkeys(tops, root))
    names = {
        node: f"level {node[1]}, cluster of {labels[node[2]]}"
        for node in node_height
        if isinstance(node, tuple)
    }
    return number_nodes(parent, list(range(n_leaves)), labels, node_height, names)


def linkage_from_merges(order: NDArray[np.intp], jumps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linkage matrix from the leaves in depth-first order and the heights between them.

    Parameters
    ----------
    order : ndarray of shape (n_leaves,)
    jumps : ndarray of shape (n_leaves - 1,)
        LCA height of the leaves at positions p and p + 1.
    """
    n_leaves = len(order)
    Z = np.empty((n_leaves - 1, 4))
    # Runs of merged positions, known by their two ends.
    cluster = {p: (int(order[p]), 1) for p in range(n_leaves)}
    start_of, end_of = list(range(n_leaves)), list(range(n_leaves))
    for i, p in enumerate(np.argsort(jumps, kind="stable").tolist()):
        start, end = start_of[p], end_of[p + 1]
        (left, n_left), (right, n_right) = cluster[start], cluster[p + 1]
        Z[i] = min(left, right), max(left, right), jumps[p], n_left + n_right
        cluster[start] = (n_leaves + i, n_left + n_right)
        end_of[start], start_of[end] = end, start
    return Z
