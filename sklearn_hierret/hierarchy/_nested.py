"""Trees as nested mappings, as many data sets have them in JSON: ``{"name": ..., "children": [...]}``."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Any

from sklearn_hierret.hierarchy._json import is_json
from sklearn_hierret.hierarchy._nodes import (
    Nodes,
    as_label_array,
    first_repeated,
    number_nodes,
    sorted_labels,
)
from sklearn_hierret.hierarchy._parent_child import check_choice, collect_edges, nodes_from_edges
from sklearn_hierret.hierarchy._sources import read_source

#: Keys of a node's name and of its children. The second pair is that of Open Images.
KEYS = (
    ("name", "children"),
    ("LabelName", "Subcategory"),
    ("id", "children"),
    ("label", "children"),
    ("title", "children"),
)


def nodes_from_nested(source: Any, multiple_parents: str = "error") -> Nodes:
    """Nodes from nested mappings; see `ClassHierarchy.from_nested`."""
    check_choice(multiple_parents, "multiple_parents", ("error", "tree"))
    title = "nested"
    if not isinstance(source, (Mapping, list)):
        text, title = read_source(source, "A nested tree", is_json)
        try:
            source = json.loads(text, object_pairs_hook=_without_repeats)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{title}: this is no JSON ({error}).") from None
        except _RepeatedError as error:
            raise ValueError(f"{title}: the key {error.args[0]!r} occurs twice in one object.") from None
    names, parent = _listed(source, title)
    if multiple_parents == "tree":
        pairs = dict.fromkeys((names[above], names[node]) for node, above in parent.items())
        edges = collect_edges(((above, node, title) for above, node in pairs), title)
        return nodes_from_edges(edges, None, "tree", "error")
    inner = set(parent.values())
    leaves = [node for node in range(len(names)) if node not in inner]
    leaf_of: dict[Hashable, int] = {}
    for node in leaves:
        if names[node] in leaf_of:
            raise ValueError(
                f"{title}: class {names[node]!r} occurs twice; multiple_parents='tree' makes a tree of such "
                "a graph."
            )
        leaf_of[names[node]] = node
    labels = sorted_labels(leaf_of)
    return number_nodes(
        parent, [leaf_of[label] for label in labels], as_label_array(labels), None, dict(enumerate(names))
    )


class _RepeatedError(Exception):
    """Carry a key that occurs twice."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    repeated = first_repeated(key for key, _ in pairs)
    if repeated is not None:
        raise _RepeatedError(repeated)
    return dict(pairs)


def _listed(tree: Any, title: str) -> tuple[list[Hashable], dict[int, int]]:
    """Return names and parents of nodes; no recursion, for a tree may be deep."""
    if isinstance(tree, list):
        tree = {"name": "root", "children": tree} if len(tree) != 1 else tree[0]
    if isinstance(tree, Mapping) and not _keys_of(tree) and len(tree) != 1:
        tree = {"root": tree}  # names that map to what is below them
    names: list[Hashable] = []
    parent: dict[int, int] = {}
    waiting: list[tuple[Any, int]] = [(tree, -1)]
    while waiting:
        item, above = waiting.pop()
        for name, children in _nodes_of(item, title):
            node = len(names)
            names.append(name)
            if above >= 0:
                parent[node] = above
            if isinstance(children, Mapping) and not _keys_of(children):
                waiting += [({key: value}, node) for key, value in reversed(list(children.items()))]
            else:
                below = [children] if isinstance(children, Mapping) else children
                waiting += [(child, node) for child in reversed(below)]
    if len(names) < 2:
        raise ValueError(f"{title}: a tree needs a root above its classes.")
    return names, parent


def _nodes_of(item: Any, title: str) -> list[tuple[Hashable, Any]]:
    """Return the name and the children of an item, or of each of its keys."""
    if isinstance(item, (str, int, float)) and not isinstance(item, bool):
        return [(item, [])]
    if not isinstance(item, Mapping) or not item:
        raise ValueError(f"{title}: a node is a mapping or a name, got {item!r:.60}.")
    keys = _keys_of(item)
    pairs = list(item.items()) if keys is None else [(item[keys[0]], item.get(keys[1]))]
    results: list[tuple[Hashable, Any]] = []
    for name, value in pairs:
        children = [] if value is None else value
        if not isinstance(name, (str, int, float)) or name == "":
            raise ValueError(f"{title}: a node without a name: {item!r:.60}.")
        if not isinstance(children, (list, tuple, Mapping)):
            raise ValueError(
                f"{title}: children of {name!r} must be a list or a mapping, got {children!r:.60}."
            )
        results.append((name, children))
    return results


def _keys_of(item: Mapping) -> tuple[str, str] | None:
    """Return the keys of name and children, where an item has them."""
    for name, children in KEYS:
        if name in item and (children in item or not isinstance(item[name], (Mapping, list))):
            return name, children
    return None
