"""Trees as edges: text files with a pair of node ids a line, or pairs."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy._dag import tree_of_root_paths
from sklearn_hierret.hierarchy._nodes import (
    Nodes,
    ancestors_of,
    as_label_array,
    number_nodes,
    shorten,
    sorted_labels,
)


class _OwnLeaf(tuple):
    """Node of a class that has children of its own: a leaf below the class's node."""


def nodes_from_parent_child(
    source: Any,
    is_a: bool = False,
    classes: ArrayLike | None = None,
    id_type: type | None = None,
    multiple_parents: str = "error",
    multiple_roots: str = "error",
) -> Nodes:
    """Nodes from edges; see `ClassHierarchy.from_parent_child`."""
    if multiple_parents not in ("error", "tree"):
        raise ValueError(f"multiple_parents must be 'error' or 'tree', got {multiple_parents!r}.")
    if multiple_roots not in ("error", "join"):
        raise ValueError(f"multiple_roots must be 'error' or 'join', got {multiple_roots!r}.")
    parents_of: dict[Hashable, list[Hashable]] = {}
    nodes: dict[Hashable, None] = {}
    second_parent: dict[Hashable, str] = {}
    has_children = set()
    for first, second, where in _pairs(source, id_type):
        parent, child = (second, first) if is_a else (first, second)
        if any(i is None or i != i for i in (first, second)):
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
        has_children.add(parent)
        nodes.update({parent: None, child: None})
    if not nodes:
        raise ValueError(f"{_name(source)}: no edge found.")
    if classes is None:
        labels = sorted_labels([n for n in nodes if n not in has_children])
        if not labels:
            raise ValueError(f"{_name(source)}: every node has children, so there is a cycle.")
    else:
        labels = sorted_labels(dict.fromkeys(np.asarray(classes).ravel().tolist()))
        unknown = [label for label in labels if label not in nodes]
        if unknown:
            raise ValueError(f"{_name(source)}: classes that are no node: {shorten(unknown)}.")
    if multiple_parents == "tree":
        parent_of = tree_of_root_paths(parents_of, labels, join_roots=multiple_roots == "join")
    else:
        parent_of = {child: parents[0] for child, parents in parents_of.items()}
    kept = ancestors_of(parent_of, labels)
    if multiple_parents == "error":
        for message in (text for node, text in second_parent.items() if node in kept):
            raise ValueError(message)
    if classes is None and len(kept) < len(nodes):
        rest = [n for n in nodes if n not in kept]
        raise ValueError(f"{_name(source)}: the hierarchy has a cycle through node {rest[0]!r}.")
    roots = [n for n in kept if n not in parent_of]
    if len(roots) > 1:
        if multiple_roots == "error":
            raise ValueError(
                f"{_name(source)}: {len(roots)} roots: {shorten(roots)}; "
                "multiple_roots='join' puts one above them."
            )
        top: Hashable = "root" if "root" not in nodes else ("root",)
        parent_of.update(dict.fromkeys(roots, top))
    leaves: list[Hashable] = []
    names: dict[Hashable, Hashable] = {n: n for n in [*kept, *parent_of.values()]}
    inner = {parent_of[n] for n in kept if n in parent_of}
    for label in labels:
        own = _OwnLeaf([label]) if label in inner or label not in parent_of else label
        if own is not label:
            parent_of[own] = label
        leaves.append(own)
    return number_nodes(parent_of, leaves, as_label_array(labels), None, names)


def pairs_from_nodes(
    parents: NDArray[np.intp], node_names: tuple[Hashable, ...], path: Any, is_a: bool
) -> list[tuple]:
    """The edges as pairs of names; see `ClassHierarchy.to_parent_child`."""
    if len(set(node_names)) < len(node_names):
        raise ValueError("Edges need distinct node names, and some are equal.")
    edges = [(node_names[above], node_names[node]) for node, above in enumerate(parents[:-1].tolist())]
    if is_a:
        edges = [(child, parent) for parent, child in edges]
    if path is not None:
        separator = "\t" if any(" " in str(name) for name in node_names) else " "
        if any(c in str(name) for name in node_names for c in "\t\n\r"):
            raise ValueError("Node names with tabs or line breaks can't be written as lines.")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{a}{separator}{b}\n" for a, b in edges)
    return edges


def _name(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", "pairs"))


def _pairs(source: Any, id_type: type | None) -> Iterable[tuple[Hashable, Hashable, str]]:
    """(first, second, where) of each edge; ids typed as in the whole source."""
    is_path = isinstance(source, (str, os.PathLike))
    if not is_path and not hasattr(source, "read"):
        found = [(pair, f"pair {i}") for i, pair in enumerate(source)]
    else:
        try:
            if is_path:
                with open(source, encoding="utf-8-sig") as file:
                    lines = file.read().splitlines()
            else:
                lines = source.read().splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{_name(source)}: this is no UTF-8 text file ({error.reason}).") from None
        found = []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                where = f"{_name(source)}, line {number}"
                found.append((line.split("\t") if "\t" in line else line.split(), where))
    for pair, where in found:
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"{where}: two node ids are expected, got {pair!r}.")
    if id_type is None and (is_path or hasattr(source, "read")):
        id_type = int if all(_is_int(i) for pair, _ in found for i in pair) else str
    for (first, second), where in found:
        if id_type is None:
            yield first, second, where
            continue
        try:
            yield id_type(first), id_type(second), where
        except ValueError:
            raise ValueError(f"{where}: {first!r} or {second!r} is no {id_type.__name__}.") from None


def _is_int(text: str) -> bool:
    try:
        return str(int(text)) == text  # "01" and "1_0" are other ids than "1" and "10"
    except ValueError:
        return False
