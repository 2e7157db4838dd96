"""Where new classes have their place in a tree."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.hierarchy import ClassHierarchy


def extended_tree(
    tree: ClassHierarchy,
    labels: NDArray,
    directions: NDArray | None = None,
    prototypes: NDArray | None = None,
    places: Mapping[Hashable, int] = MappingProxyType({}),
) -> ClassHierarchy:
    """Add classes to a tree; distances between classes that were there stay as they are.

    A new class becomes a child of the first node above its nearest class where average linkage would join
    it: it is at least as near to the classes that were passed on the way up as the node's other classes are.
    Otherwise it becomes a child of the root.

    Parameters
    ----------
    tree : ClassHierarchy
    labels : ndarray of shape (n_new,)
    directions : ndarray of shape (n_new, n_visual), optional
        Prototypes of the new classes; without them all new classes are children of the root.
    prototypes : ndarray of shape (n_known, n_visual), optional
        Of the first classes of the tree.
    places : mapping from label to node, optional
        Where some of the new classes stand instead: nodes that become their parents.

    Returns
    -------
    tree : ClassHierarchy
        The new classes come last.
    """
    if not len(labels):
        return tree
    parents = np.full(len(labels), tree.root)
    if directions is not None and prototypes is not None:
        parents = np.array([_place(tree, direction, prototypes) for direction in directions])
    for i, label in enumerate(labels.tolist()):
        parents[i] = places.get(label, parents[i])
    n, new = tree.n_classes, len(labels)
    moved = np.where(tree.parents < n, tree.parents, tree.parents + new)  # the root's -1 stays
    names = np.asarray(labels)
    return ClassHierarchy(
        np.concatenate([tree.classes, names]),
        np.concatenate([moved[:n], parents + new, moved[n:]]),
        np.concatenate([tree.heights[:n], np.zeros(new), tree.heights[n:]]),
        [*tree.node_names[:n], *names.tolist(), *tree.node_names[n:]],
        origin=tree.origin,
    )


def _place(tree: ClassHierarchy, direction: NDArray, prototypes: NDArray) -> int:
    """Find the node that a class joins. Means of cosines are products of mean prototypes."""
    n_known = len(prototypes)
    node = int(np.argmax(prototypes @ direction))
    inside = np.array([node])
    while node != tree.root:
        node = int(tree.parents[node])
        below = tree.index(tree.members(node))
        wider = below[below < n_known]
        siblings = np.setdiff1d(wider, inside)
        if len(siblings):
            middle = prototypes[inside].mean(axis=0)
            if middle @ direction >= middle @ prototypes[siblings].mean(axis=0):
                return node
        inside = wider
    return tree.root
