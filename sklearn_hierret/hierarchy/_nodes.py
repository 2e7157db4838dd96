"""From trees named by their nodes to the arrays of a `ClassHierarchy`.

Readers of taxonomies speak of nodes by name; a `ClassHierarchy` numbers them. This
module is the one place where names become numbers. It knows NumPy only.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Nodes(NamedTuple):
    """The constructor arguments of a `ClassHierarchy`."""

    classes: NDArray
    parents: NDArray[np.intp]
    heights: NDArray[np.float64] | None
    node_names: tuple[Hashable, ...] | None


def as_label_array(labels: Iterable) -> NDArray:
    """One-dimensional array of labels; mixed types stay Python objects."""
    if isinstance(labels, np.ndarray):
        return labels
    labels = list(labels)
    kinds = {type(label) for label in labels}
    if len(kinds) == 1 and issubclass(next(iter(kinds)), (str, int, float, np.generic)):
        return np.asarray(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def plain_value(item: Any) -> Any:
    """Return a value of Python for one of NumPy; everything else stays as it is."""
    return item.item() if isinstance(item, np.generic) else item


def sorted_labels(labels: Iterable) -> list:
    """Sorted as `numpy.unique` sorts; labels that do not compare are sorted as text."""
    labels = list(labels)
    try:
        return sorted(labels)
    except TypeError:
        return sorted(labels, key=str)


def ancestors_of(parent: Mapping, leaves: Iterable[Hashable]) -> dict[Hashable, None]:
    """Return the leaves and all nodes above them, each once, in the order they are met.

    Raises
    ------
    ValueError
        If a way up comes back to itself.
    """
    kept: dict[Hashable, None] = {}
    for leaf in leaves:
        path: dict[Hashable, None] = {}
        node = leaf
        while node not in kept:
            if node in path:
                raise ValueError(f"The hierarchy has a cycle through node {node!r}.")
            path[node] = None
            if node not in parent:
                break
            node = parent[node]
        kept.update(path)
    return kept


def number_nodes(
    parent: Mapping[Any, Any],
    leaves: Sequence[Any],
    classes: Sequence | NDArray | None = None,
    heights: Mapping[Any, float] | None = None,
    names: Mapping[Any, Hashable] | None = None,
) -> Nodes:
    """Give the nodes of a tree numbers: children before parents, `leaves` first.

    Inner nodes are ordered by their longest path to a leaf, then by their smallest
    leaf, so that equal trees get equal numbers whatever order they were read in.

    Parameters
    ----------
    parent : mapping from node to parent node
        The root is no key of it. Nodes above no leaf are left out.
    leaves : sequence of nodes
        The nodes that are classes, in the order of `classes`.
    classes : sequence of labels, default=leaves
        The class labels.
    heights : mapping from node to float, optional
        Default: longest path to a leaf.
    names : mapping from node to its name, optional
        Default: the class label, or the node itself.
    """
    if not len(leaves):
        raise ValueError("A hierarchy has at least one class.")
    kept = ancestors_of(parent, leaves)
    roots = [node for node in kept if node not in parent]
    if len(roots) != 1:
        raise ValueError(f"A hierarchy has one root, got {len(roots)}: {shorten(roots)}.")
    waiting: dict[Hashable, int] = {}
    for node in kept:
        if node in parent:
            waiting[parent[node]] = waiting.get(parent[node], 0) + 1
    # Bottom up: a node is ready once all its children are. No recursion: chains
    # of 100,000 nodes occur.
    rank = {leaf: (0, i) for i, leaf in enumerate(leaves)}
    ready, inner = list(leaves), []
    while ready:
        node = ready.pop()
        if node not in parent:
            continue
        above = parent[node]
        height, smallest = rank.get(above, (0, len(leaves)))
        rank[above] = (max(height, rank[node][0] + 1), min(smallest, rank[node][1]))
        waiting[above] -= 1
        if waiting[above] == 0:
            ready.append(above)
            inner.append(above)
    inner.sort(key=rank.__getitem__)
    order = [*leaves, *inner]
    number = {node: i for i, node in enumerate(order)}
    parents = np.array([number[parent[n]] if n in parent else -1 for n in order], dtype=np.intp)
    labels = as_label_array(leaves if classes is None else classes)
    names = {} if names is None else names
    node_names = [names.get(leaf, label) for leaf, label in zip(leaves, labels.tolist(), strict=True)]
    node_names += [names.get(node, node) for node in inner]
    return Nodes(
        labels,
        parents,
        None if heights is None else np.array([heights[node] for node in order], dtype=float),
        tuple(node_names),
    )


def retyped(nodes: Nodes, id_type: type | None, names: Mapping[Any, str]) -> Nodes:
    """Give the classes another type, and nodes the names of their ids.

    Raises
    ------
    ValueError
        For a class that cannot have the type; it is named.
    """
    if id_type is None and not names:
        return nodes
    labels = nodes.classes.tolist()
    if id_type is not None:
        labels = [_typed(label, id_type) for label in labels]
        twice = first_repeated(labels)
        if twice is not None:
            raise ValueError(f"As {id_type.__name__} the class {twice!r} occurs twice.")
    n = len(labels)
    old_names = nodes.node_names or tuple(range(len(nodes.parents)))
    ids = [*labels, *old_names[n:]]
    if id_type is not None:  # ids of inner nodes may be of the type, and need not be
        ids[n:] = [_typed(name, id_type, name) for name in ids[n:]]
    leaf_of = {label: i for i, label in enumerate(labels)}
    ordered = sorted_labels(labels)
    parent = {node: above for node, above in enumerate(nodes.parents.tolist()) if above >= 0}
    heights = None if nodes.heights is None else dict(enumerate(nodes.heights.tolist()))
    new_names = {node: names.get(ids[node], ids[node]) for node in range(len(ids))}
    return number_nodes(parent, [leaf_of[c] for c in ordered], as_label_array(ordered), heights, new_names)


def _typed(label: Any, id_type: type, default: Any = None) -> Any:
    try:
        typed = id_type(label)
        if isinstance(label, float) and typed != label:  # not a rounded one
            raise ValueError
        return typed
    except (TypeError, ValueError):
        if default is not None:
            return default
        raise ValueError(f"The class {label!r} is no {id_type.__name__}.") from None


def shorten(values: Sequence, limit: int = 10) -> str:
    """Return the values as text for an error message, the first `limit` of them."""
    shown = ", ".join(repr(v) for v in values[:limit])
    return shown + (f", ... ({len(values)} in all)" if len(values) > limit else "")


def first_repeated(values: Iterable[Hashable]) -> Hashable:
    """Return the first value that has occurred before, or None."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
