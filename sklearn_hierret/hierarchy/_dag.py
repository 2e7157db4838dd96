"""From a directed acyclic graph of concepts to a tree (barz2019, section 3.1)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from sklearn_hierret.hierarchy._nodes import shorten


def tree_of_root_paths(
    parents_of: Mapping[Hashable, Sequence[Hashable]],
    classes: Sequence[Hashable],
    *,
    join_roots: bool = False,
) -> dict[Hashable, Hashable]:
    """Parent of each node of a tree that holds all classes.

    Classes with a single path to the root come first; then each other class, in the
    order that adds least, gets the path that adds the fewest nodes to the tree [1]_.

    Parameters
    ----------
    parents_of : mapping from node to its parents
    classes : sequence of nodes
    join_roots : bool, default=False
        Allow several roots; they stay apart in the result.

    Returns
    -------
    parent_of : dict from node to its parent in the tree

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Hierarchy-based Image Embeddings for Semantic Image
       Retrieval", WACV 2019, section 3.1, after J. Redmon, A. Farhadi, "YOLO9000", 2017.
    """
    order = topological_order(parents_of, classes)
    if not join_roots:
        roots = [node for node in order if not parents_of.get(node)]
        if len(roots) > 1:
            raise ValueError(f"{len(roots)} roots above the classes: {shorten(roots)}.")
    n_paths: dict[Hashable, int] = {}
    for node in order:
        above = parents_of.get(node, ())
        # More than one is all that matters; real counts grow without bound.
        n_paths[node] = min(2, sum(n_paths[p] for p in above)) if above else 1
    tree: dict[Hashable, Hashable] = {}
    in_tree: set[Hashable] = set()
    for node in classes:
        if n_paths[node] == 1:
            _add_path(node, parents_of, {}, tree, in_tree)
    left = [node for node in classes if node not in in_tree]
    while left:
        cost, best = _cheapest(order, parents_of, in_tree)
        least = min(cost[node] for node in left)
        if least == 0:
            left = [node for node in left if node not in in_tree]
            continue
        # Adding one path can make others cheaper, never dearer: take one of the cheapest.
        node = next(node for node in left if cost[node] == least)
        _add_path(node, parents_of, best, tree, in_tree)
        left = [other for other in left if other not in in_tree]
    return tree


def topological_order(
    parents_of: Mapping[Hashable, Sequence[Hashable]], classes: Sequence[Hashable]
) -> list[Hashable]:
    """Ancestors of the classes, parents first. Raises ValueError in a cycle."""
    reached: dict[Hashable, Sequence[Hashable]] = {}
    left = list(reversed(classes))
    while left:
        node = left.pop()
        if node not in reached:
            reached[node] = parents_of.get(node, ())
            left.extend(reached[node])
    try:
        return list(TopologicalSorter(reached).static_order())
    except CycleError as error:
        raise ValueError(f"The graph has a cycle through node {error.args[1][0]!r}.") from None


def _cheapest(
    order: Sequence[Hashable],
    parents_of: Mapping[Hashable, Sequence[Hashable]],
    in_tree: set[Hashable],
) -> tuple[dict[Hashable, int], dict[Hashable, Hashable]]:
    """Nodes that the best path of each node adds to the tree, and its first step."""
    cost: dict[Hashable, int] = {}
    best: dict[Hashable, Hashable] = {}
    for node in order:
        above = parents_of.get(node, ())
        if node in in_tree:
            cost[node] = 0
        elif not above:
            cost[node] = 1
        else:
            best[node] = min(above, key=cost.__getitem__)
            cost[node] = cost[best[node]] + 1
    return cost, best


def _add_path(
    node: Hashable,
    parents_of: Mapping[Hashable, Sequence[Hashable]],
    best: Mapping[Hashable, Hashable],
    tree: dict[Hashable, Hashable],
    in_tree: set[Hashable],
) -> None:
    while node not in in_tree:
        in_tree.add(node)
        above = parents_of.get(node, ())
        if not above:
            return
        tree[node] = best.get(node, above[0])
        node = tree[node]
