"""Graphs as edges: text files with a pair of node ids a line, or pairs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._frames import as_frame, is_table
from sklearn_hierret._names import hint
from sklearn_hierret.hierarchy._dag import topological_order, tree_of_root_paths
from sklearn_hierret.hierarchy._nodes import (
    Nodes,
    ancestors_of,
    as_label_array,
    number_nodes,
    shorten,
    sorted_labels,
)
from sklearn_hierret.hierarchy._sources import is_file, is_int, name_of, read_names, read_text, write_text


class OwnLeaf(tuple):
    """Node of a class that has children of its own: a leaf below the class's node."""


class Edges(NamedTuple):
    """A graph of concepts as it was read."""

    parents_of: dict[Hashable, list[Hashable]]
    nodes: dict[Hashable, None]
    #: Where a node got a second parent, for an error that may not be one.
    second_parent: dict[Hashable, str]
    #: What to call the source in errors.
    source: str
    id_type: type


def read_edges(source: Any, is_a: bool = False, id_type: type | None = None) -> Edges:
    """Edges from a file or pairs; see `ClassHierarchy.from_parent_child`."""
    pairs = list(_pairs(source, id_type))
    edges = collect_edges(((s, f, w) if is_a else (f, s, w) for f, s, w in pairs), name_of(source))
    if not edges.nodes:
        raise ValueError(f"{edges.source}: no edge found.")
    return edges


def collect_edges(edges: Iterable[tuple[Hashable, Hashable, str]], source: str) -> Edges:
    """Make a graph from (parent, child, where) triples.

    Raises
    ------
    ValueError
        For a missing id, an edge that occurs twice, and a node that is its own parent.
    """
    parents_of: dict[Hashable, list[Hashable]] = {}
    nodes: dict[Hashable, None] = {}
    second_parent: dict[Hashable, str] = {}
    for parent, child, where in edges:
        if any(i is None or i != i for i in (parent, child)):
            raise ValueError(f"{where}: a node id is missing; the root has no edge above it.")
        if parent == child:
            raise ValueError(f"{where}: node {parent!r} is its own parent (a cycle).")
        known = parents_of.setdefault(child, [])
        if parent in known:
            raise ValueError(f"{where}: the edge from {parent!r} to {child!r} occurs twice.")
        if known and child not in second_parent:
            second_parent[child] = (
                f"{where}: node {child!r} has a second parent, {parent!r} after {known[0]!r}; "
                "multiple_parents='tree' makes a tree of such a graph."
            )
        known.append(parent)
        nodes.update({parent: None, child: None})
    id_type = int if all(isinstance(n, (int, np.integer)) for n in nodes) else str
    return Edges(parents_of, nodes, second_parent, source, id_type)


def classes_of(edges: Edges, classes: ArrayLike | None) -> list[Hashable]:
    """Return the nodes that are classes, sorted; default: those without children."""
    if classes is None:
        has_children = {p for parents in edges.parents_of.values() for p in parents}
        labels = sorted_labels([n for n in edges.nodes if n not in has_children])
        if not labels:
            raise ValueError(f"{edges.source}: every node has children, so there is a cycle.")
        return labels
    labels = sorted_labels(dict.fromkeys(np.asarray(classes).ravel().tolist()))
    unknown = [label for label in labels if label not in edges.nodes]
    if unknown:
        remark = hint(unknown, edges.nodes)
        raise ValueError(f"{edges.source}: classes that are no node: {shorten(unknown)}.{remark}")
    return labels


def join_roots(
    roots: Sequence[Hashable], nodes: Iterable[Hashable], multiple_roots: str, source: str
) -> Hashable | None:
    """Return a new root above several ones, if that is asked for; None if there is one."""
    if len(roots) < 2:
        return None
    if multiple_roots == "error":
        raise ValueError(
            f"{source}: {len(roots)} roots: {shorten(roots)}; multiple_roots='join' puts one above them."
        )
    return "root" if "root" not in nodes else ("root",)


def nodes_from_edges(
    edges: Edges,
    classes: ArrayLike | None = None,
    multiple_parents: str = "error",
    multiple_roots: str = "error",
    names: Any = None,
    heights: Mapping[Any, Any] | None = None,
) -> Nodes:
    """Nodes of a tree; see `ClassHierarchy.from_parent_child`."""
    check_choice(multiple_parents, "multiple_parents", ("error", "tree"))
    check_choice(multiple_roots, "multiple_roots", ("error", "join"))
    labels = classes_of(edges, classes)
    if multiple_parents == "tree":
        if classes is None:  # a cycle may be above no class
            topological_order(edges.parents_of, list(edges.nodes))
        parent_of = tree_of_root_paths(edges.parents_of, labels, join_roots=multiple_roots == "join")
    else:
        parent_of = {child: parents[0] for child, parents in edges.parents_of.items()}
    kept = ancestors_of(parent_of, labels)
    if multiple_parents == "error":
        for message in (text for node, text in edges.second_parent.items() if node in kept):
            raise ValueError(message)
    # In a tree of a graph, nodes that no class's path leads through are left out.
    if multiple_parents == "error" and classes is None and len(kept) < len(edges.nodes):
        rest = [n for n in edges.nodes if n not in kept]
        raise ValueError(f"{edges.source}: the hierarchy has a cycle through node {rest[0]!r}.")
    roots = [n for n in kept if n not in parent_of]
    top = join_roots(roots, edges.nodes, multiple_roots, edges.source)
    if top is not None:
        parent_of.update(dict.fromkeys(roots, top))
    name_of_id = {} if names is None else read_names(names, edges.id_type)
    node_names = {n: name_of_id.get(n, n) for n in [*kept, *parent_of.values()]}
    leaves: list[Hashable] = []
    inner = {parent_of[n] for n in kept if n in parent_of}
    for label in labels:
        own = OwnLeaf([label]) if label in inner or label not in parent_of else label
        if own is not label:
            parent_of[own] = label
            node_names[own] = node_names[label]
        leaves.append(own)
    given = {n: 0.0 if isinstance(n, OwnLeaf) else (heights or {}).get(n) for n in node_names}
    known = {n: float(height) for n, height in given.items() if height is not None}
    height_of = known if len(known) == len(given) else None
    return number_nodes(parent_of, leaves, as_label_array(labels), height_of, node_names)


def pairs_from_nodes(
    parents: NDArray[np.intp], node_names: tuple[Hashable, ...], path: Any, is_a: bool
) -> list[tuple]:
    """Return the edges as pairs of names; see `ClassHierarchy.to_parent_child`."""
    if len(set(node_names)) < len(node_names):
        raise ValueError("Edges need distinct node names, and some are equal; `to_json` keeps them.")
    edges = [(node_names[above], node_names[node]) for node, above in enumerate(parents[:-1].tolist())]
    if is_a:
        edges = [(child, parent) for parent, child in edges]
    if path is not None:
        separator = "\t" if any(" " in str(name) for name in node_names) else " "
        for name in map(str, node_names):
            if name != name.strip() or not name or "\t" in name or len(name.splitlines()) != 1:
                raise ValueError(f"The node name {name!r} can't be written as part of a line.")
        write_text("".join(f"{a}{separator}{b}\n" for a, b in edges), path)
    return edges


def check_choice(value: Any, name: str, allowed: tuple[str, str]) -> None:
    """Raise a ValueError unless a parameter is one of two words."""
    if value not in allowed:
        raise ValueError(f"{name} must be {allowed[0]!r} or {allowed[1]!r}, got {value!r}.")


def _pairs(source: Any, id_type: type | None) -> Iterable[tuple[Hashable, Hashable, str]]:
    """(first, second, where) of each edge; ids typed as in the whole source."""
    if is_table(source):
        frame = as_frame(source)
        if frame.shape[1] != 2:
            raise ValueError(
                f"A DataFrame of edges has two columns, parent and child (is_a=True: child and parent), got "
                f"{frame.shape[1]}: {list(frame.columns)}."
            )
        source = list(frame.astype(object).itertuples(index=False, name=None))
    if not is_file(source) and not isinstance(source, Iterable):
        raise TypeError(f"Edges are a path, a text file, pairs or a DataFrame, got {type(source).__name__}.")
    if not is_file(source):
        results = [(pair, f"pair {i}") for i, pair in enumerate(source)]
    else:
        results = []
        for number, line in enumerate(read_text(source).splitlines(), start=1):
            if text := line.strip():
                ids = [i.strip() for i in text.split("\t")] if "\t" in text else text.split()
                results.append((ids, f"{name_of(source)}, line {number}"))
    for pair, where in results:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"{where}: two node ids are expected, got {pair!r}.")
    if id_type is None and is_file(source):
        id_type = int if all(is_int(i) for pair, _ in results for i in pair) else str
    for (first, second), where in results:
        if id_type is None:
            yield first, second, where
            continue
        try:
            yield id_type(first), id_type(second), where
        except ValueError:
            raise ValueError(f"{where}: {first!r} or {second!r} is no {id_type.__name__}.") from None
