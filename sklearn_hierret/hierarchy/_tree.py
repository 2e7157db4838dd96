"""Arithmetic on a tree given as a parent array, leaves first and the root last.

Parents have larger numbers than their children, so a pass in order of the numbers goes
bottom up and a reversed one top down; nothing here recurses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: So few samples are computed with one by one.
FEW_SAMPLES = 8


def check_parents(parents: NDArray[np.intp], n_leaves: int) -> None:
    """Raise a ValueError unless `parents` is a tree over `n_leaves` leaves."""
    n_nodes = len(parents)
    if parents.ndim != 1 or n_leaves < 1 or n_nodes < n_leaves + 1:
        raise ValueError(f"A hierarchy has a root above its classes: {n_leaves} classes, {n_nodes} nodes.")
    if parents[-1] != -1:
        raise ValueError(f"The last node is the root and has parent -1, got {parents[-1]}.")
    above = parents[:-1]
    wrong = np.flatnonzero((above <= np.arange(n_nodes - 1)) | (above < n_leaves) | (above >= n_nodes))
    if len(wrong):
        raise ValueError(
            f"Node {wrong[0]} has parent {above[wrong[0]]}: a parent is an inner node with a "
            f"larger number than its children ({n_leaves}..{n_nodes - 1})."
        )
    childless = np.setdiff1d(np.arange(n_leaves, n_nodes), above)
    if len(childless):
        raise ValueError(f"Inner node {childless[0]} has no child; only classes are leaves.")


def check_heights(heights: NDArray[np.float64], parents: NDArray[np.intp], n_leaves: int) -> None:
    """Raise a ValueError unless leaves are at 0 and heights never decrease upwards."""
    if heights.shape != parents.shape:
        raise ValueError(f"{len(parents)} nodes, but heights of shape {heights.shape}.")
    if not np.all(np.isfinite(heights)):
        raise ValueError("Heights must be finite.")
    if np.any(heights[:n_leaves] != 0):
        raise ValueError("Leaves have height 0.")
    falling = np.flatnonzero(heights[:-1] > heights[parents[:-1]])
    if len(falling):
        raise ValueError(f"Heights decrease from node {falling[0]} to its parent {parents[falling[0]]}.")


def longest_paths(parents: NDArray[np.intp]) -> NDArray[np.float64]:
    """Length of the longest path from each node down to a leaf, in edges."""
    heights = [0] * len(parents)
    for node, above in enumerate(parents[:-1].tolist()):
        heights[above] = max(heights[above], heights[node] + 1)
    return np.array(heights, dtype=np.float64)


def depths(parents: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count the nodes on the way from the root, the root having depth 1."""
    above = parents.tolist()
    depth = [1] * len(above)
    for node in range(len(above) - 2, -1, -1):
        depth[node] = depth[above[node]] + 1
    return np.array(depth, dtype=np.intp)


def ancestors_by_depth(parents: NDArray[np.intp], n_leaves: int) -> NDArray[np.intp]:
    """Ancestor of each leaf at each depth, deepest first, shape (n_depths, n_leaves).

    The last row is the root. A leaf less deep is its own ancestor.
    """
    depth = depths(parents)
    node = np.arange(n_leaves)
    rows = [node]
    for d in range(int(depth[:n_leaves].max()) - 1, 0, -1):
        node = np.where(depth[node] > d, parents[node], node)
        rows.append(node)
    return np.stack(rows)


def leaf_intervals(
    parents: NDArray[np.intp], n_leaves: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Depth-first order of the leaves, in which every node covers an interval.

    Returns
    -------
    order : ndarray of shape (n_leaves,)
        Leaf at each position.
    starts, sizes : ndarrays of shape (n_nodes,)
        Interval of positions that each node covers.
    neighbour_lca : ndarray of shape (n_leaves - 1,)
        LCA of the leaves at positions p and p + 1. The LCA of the leaves at p < q is the
        greatest of neighbour_lca[p:q], since ancestors have the larger numbers.
    """
    above = parents.tolist()
    n_nodes = len(above)
    sizes = [1] * n_leaves + [0] * (n_nodes - n_leaves)
    for node in range(n_nodes - 1):
        sizes[above[node]] += sizes[node]
    # Children are laid out by their smallest leaf, so that the order is that of the
    # classes where the tree leaves it open.
    smallest = [*range(n_leaves), *[n_leaves] * (n_nodes - n_leaves)]
    for node in range(n_nodes - 1):
        smallest[above[node]] = min(smallest[above[node]], smallest[node])
    children: list[list[int]] = [[] for _ in range(n_nodes)]
    for node in sorted(range(n_nodes - 1), key=smallest.__getitem__):
        children[above[node]].append(node)
    starts = [0] * n_nodes
    neighbour_lca = np.empty(n_leaves - 1, dtype=np.intp)
    for node in range(n_nodes - 1, n_leaves - 1, -1):
        position = starts[node]
        for child in children[node]:
            if position > starts[node]:
                neighbour_lca[position - 1] = node
            starts[child] = position
            position += sizes[child]
    order = np.empty(n_leaves, dtype=np.intp)
    order[starts[:n_leaves]] = np.arange(n_leaves)
    return order, np.array(starts, dtype=np.intp), np.array(sizes, dtype=np.intp), neighbour_lca


def range_maximum_table(values: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Row j holds the maximum of every run of 2**j values (sparse table)."""
    table = [values]
    width = 1
    while 2 * width <= len(values):
        table.append(np.maximum(table[-1][:-width], table[-1][width:]))
        width *= 2
    return table


def range_maximum(
    table: list[NDArray[np.intp]], start: NDArray[np.intp], stop: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Maximum of values[start:stop] for arrays of non-empty ranges."""
    result = np.empty(len(start), dtype=np.intp)
    row = np.frexp(stop - start)[1] - 1  # floor(log2(length)), exact
    for j in np.unique(row):
        members = row == j
        result[members] = np.maximum(table[j][start[members]], table[j][stop[members] - (1 << j)])
    return result


def expected_heights(
    parents: NDArray[np.intp], heights: NDArray[np.float64], masses: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean height of the LCA of each leaf and a random one.

    Parameters
    ----------
    parents, heights : ndarrays of shape (n_nodes,)
    masses : ndarray of shape (n_leaves, n_samples)
        Probabilities of the leaves.

    Returns
    -------
    expected : ndarray of shape (n_leaves, n_samples)
    """
    n_leaves = len(masses)
    if masses.shape[1] < FEW_SAMPLES:
        columns = [_expected_heights_of_one(parents, heights, column) for column in masses.T]
        return np.array(columns).reshape(-1, n_leaves).T
    mass = np.zeros((len(parents), masses.shape[1]))
    mass[:n_leaves] = masses
    for node, above in enumerate(parents[:-1].tolist()):
        mass[above] += mass[node]
    # What lies below a node but not below its child has its LCA at the node.
    expected = mass
    expected[-1] *= heights[-1]
    for node in range(len(parents) - 2, -1, -1):
        above = parents[node]
        expected[node] *= heights[node] - heights[above]
        expected[node] += expected[above]
    return expected[:n_leaves]


def _expected_heights_of_one(
    parents: NDArray[np.intp], heights: NDArray[np.float64], masses: NDArray[np.float64]
) -> list[float]:
    """Compute the same sums in the same order, number by number: arrays of few samples take longer."""
    above, height = parents.tolist(), heights.tolist()
    expected = masses.tolist() + [0.0] * (len(above) - len(masses))
    for node in range(len(above) - 1):
        expected[above[node]] += expected[node]
    expected[-1] *= height[-1]
    for node in range(len(above) - 2, -1, -1):
        expected[node] = expected[node] * (height[node] - height[above[node]]) + expected[above[node]]
    return expected[: len(masses)]


def number_by_smallest_member(clusters: NDArray) -> NDArray[np.intp]:
    """Renumber clusters 0, 1, ... in the order of their first members."""
    _, first, inverse = np.unique(clusters, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
