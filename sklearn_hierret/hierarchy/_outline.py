"""Trees as indented outlines: one node per line, with its children indented further below it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.hierarchy._nodes import Nodes, as_label_array, number_nodes, sorted_labels
from sklearn_hierret.hierarchy._parent_child import check_choice, join_roots
from sklearn_hierret.hierarchy._sources import is_int, read_source, write_text

#: An outline of a deep chain has half the square of its depth.
MOST_INDENTS = 10**8


def nodes_from_outline(source: Any, id_type: type | None, multiple_roots: str) -> Nodes:
    """Nodes from an outline; see `ClassHierarchy.from_outline`."""
    check_choice(multiple_roots, "multiple_roots", ("error", "join"))
    text, title = read_source(source, "An outline", lambda text: "\n" in text)
    if title == "An outline":
        title = "outline"
    names: list[str] = []
    where: list[str] = []
    parent: dict[Any, Any] = {}
    open_nodes: list[tuple[str, int]] = []  # indentation and node, outermost first
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.strip()
        if not name:
            continue
        at = f"{title}, line {number}"
        indent = line[: len(line) - len(line.lstrip())]
        last = open_nodes[-1][0] if open_nodes else ""
        if not open_nodes and indent:
            raise ValueError(f"{at}: the first line must not be indented.")
        if not (indent.startswith(last) or last.startswith(indent)):
            raise ValueError(f"{at}: tabs and spaces are mixed in the indentation.")
        while open_nodes and len(open_nodes[-1][0]) >= len(indent):
            last = open_nodes.pop()[0]
        if len(last) > len(indent):
            raise ValueError(f"{at}: the indentation is that of no line above.")
        node = len(names)
        if open_nodes:
            parent[node] = open_nodes[-1][1]
        open_nodes.append((indent, node))
        names.append(name)
        where.append(at)
    if not names:
        raise ValueError(f"{title}: no line with a name found.")
    inner = set(parent.values())
    roots = [n for n in range(len(names)) if n not in parent]
    if len(roots) == len(names) == 1:
        raise ValueError(f"{title}: a tree needs a root above its classes.")
    node_names: dict[Any, Hashable] = dict(enumerate(names))
    if join_roots([names[n] for n in roots], names, multiple_roots, title) is not None:
        parent.update(dict.fromkeys(roots, -1))
        node_names[-1] = "root" if "root" not in names else "outline"
    leaves = [n for n in range(len(names)) if n not in inner]
    if id_type is None:
        id_type = int if all(is_int(names[n]) for n in leaves) else str
    node_of: dict[Any, int] = {}
    for n in leaves:
        try:
            label = id_type(names[n])
        except ValueError:
            raise ValueError(f"{where[n]}: {names[n]!r} is no {id_type.__name__}.") from None
        if label in node_of:
            raise ValueError(f"{where[n]}: class {names[n]!r} occurs a second time.")
        node_of[label] = n
        del node_names[n]  # a leaf is named by its label
    labels = sorted_labels(node_of)
    return number_nodes(parent, [node_of[c] for c in labels], as_label_array(labels), None, node_names)


def outline_from_nodes(
    parents: NDArray[np.intp], node_names: tuple[Hashable, ...], path: Any, indent: str
) -> str:
    """Return the outline; see `ClassHierarchy.to_outline`."""
    if not indent or indent.strip(" \t"):
        raise ValueError(f"indent must be spaces or tabs, got {indent!r}.")
    children: list[list[int]] = [[] for _ in parents]
    for node, above in enumerate(parents[:-1].tolist()):
        children[above].append(node)
    lines, waiting, n_indents = [], [(len(parents) - 1, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        name = str(node_names[node])
        if not name or name != name.strip() or len(name.splitlines()) != 1:
            raise ValueError(f"The node name {name!r} can't be written as a line.")
        n_indents += depth
        if n_indents > MOST_INDENTS:
            raise ValueError(
                "The tree is so deep that its outline is mostly indentation: take to_newick or to_json."
            )
        lines.append(f"{indent * depth}{name}\n")
        waiting += [(child, depth + 1) for child in reversed(children[node])]
    text = "".join(lines)
    if path is not None:
        write_text(text, path)
    return text
