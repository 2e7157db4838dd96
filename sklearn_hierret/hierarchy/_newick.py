"""Trees in Newick notation: ``((dog:1,cat:1)mammal:1,trout:2)animal;``."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.hierarchy._nodes import Nodes, first_repeated, number_nodes, sorted_labels
from sklearn_hierret.hierarchy._sources import is_file, name_of, read_text, write_text

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[(),:;]|\[[^\]]*\]|[^\s(),:;'\[\]]+)")
_PLAIN = re.compile(r"[^\s(),:;'\[\]]+")


def nodes_from_newick(source: Any) -> Nodes:
    """Nodes from Newick notation; see `ClassHierarchy.from_newick`."""
    if isinstance(source, str):
        return _nodes_of(source)
    if not is_file(source):
        raise TypeError(f"Newick notation is a string or a file, got {type(source).__name__}.")
    try:
        return _nodes_of(read_text(source))
    except ValueError as error:
        name = name_of(source)
        raise error if str(error).startswith(name) else ValueError(f"{name}: {error}") from None


def _nodes_of(text: str) -> Nodes:
    names: list[str] = [""]
    lengths: list[float | None] = [None]
    parent: dict[int, int] = {}
    has_children: set[int] = set()
    node, expects_length, ended = 0, False, False
    for token, where in _tokens(text):
        if ended:
            raise ValueError(f"Newick: text after ';' at character {where}.")
        if token == "(" or token == ",":
            if token == "," and node not in parent:
                raise ValueError(f"Newick: ',' outside of parentheses at character {where}.")
            if token == "(" and (node in has_children or names[node]):
                raise ValueError(f"Newick: '(' after a node at character {where}.")
            above = node if token == "(" else parent[node]
            has_children.add(above)
            node = len(names)
            names.append("")
            lengths.append(None)
            parent[node] = above
        elif token == ")":
            if node not in parent:
                raise ValueError(f"Newick: ')' without '(' at character {where}.")
            node = parent[node]
        elif token == ":":
            expects_length = True
            continue
        elif token == ";":
            ended = True
        elif expects_length:
            lengths[node] = _length(token, where)
        elif names[node]:
            raise ValueError(f"Newick: two names in a row at character {where}.")
        else:
            names[node] = token[1:-1].replace("''", "'") if token[0] == "'" else token
        if expects_length and token in "(),;":
            raise ValueError(f"Newick: a length is expected at character {where}.")
        expects_length = False
    if not ended or node != 0:
        raise ValueError("Newick: the text ends before the tree does (';' or ')' missing).")
    if not has_children:
        raise ValueError("Newick: a tree needs a root above its classes.")
    leaves = [n for n in range(1, len(names)) if n not in has_children]
    if any(not names[n] for n in leaves):
        raise ValueError("Newick: every leaf needs a name.")
    twice = first_repeated(names[n] for n in leaves)
    if twice is not None:
        raise ValueError(f"Newick: class {twice!r} occurs twice.")
    leaf_of = {names[n]: n for n in leaves}
    classes = sorted_labels(leaf_of)
    heights: dict[int, float] | None = None
    if all(length is not None for length in lengths[1:]):
        heights = dict.fromkeys(range(len(names)), 0.0)
        for n in range(len(names) - 1, 0, -1):  # children are numbered after their parents
            above = parent[n]
            heights[above] = max(heights[above], heights[n] + lengths[n])  # type: ignore[operator]
    inner_names = {n: names[n] or f"node {n}" for n in range(len(names))}
    return number_nodes(parent, [leaf_of[c] for c in classes], np.array(classes), heights, inner_names)


def newick_from_nodes(
    parents: NDArray[np.intp],
    heights: NDArray[np.float64],
    node_names: tuple[Hashable, ...],
    path: Any = None,
) -> str:
    """Newick string with lengths that are differences of height."""
    children: list[list[int]] = [[] for _ in parents]
    for node, above in enumerate(parents[:-1].tolist()):
        children[above].append(node)
    # Written in order and joined once: texts of subtrees would be copied at every level of a deep tree.
    pieces: list[str] = []
    root = len(parents) - 1
    stack: list[str | int] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            pieces.append(item)
            continue
        end = _quoted(str(node_names[item]))
        if item != root:
            end += f":{float(heights[parents[item]] - heights[item])!r}"
        if not children[item]:
            pieces.append(end)
            continue
        stack.append(")" + end)
        for child in reversed(children[item]):
            stack += [child, ","]
        stack[-1] = "("  # before the first child, instead of a comma
    pieces.append(";")
    text = "".join(pieces)
    if path is not None:
        write_text(text + "\n", path)
    return text


def _tokens(text: str) -> list[tuple[str, int]]:
    tokens, position = [], 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(
                f"Newick: unexpected {text[position : position + 10]!r} at character {position}."
            )
        if match[1][0] != "[":  # a comment
            tokens.append((match[1], match.start(1)))
        position = match.end()
    return tokens


def _length(token: str, where: int) -> float:
    try:
        length = float(token)
    except ValueError:
        raise ValueError(f"Newick: {token!r} at character {where} is no edge length.") from None
    if not 0 <= length < np.inf:
        raise ValueError(f"Newick: edge length {token} at character {where} is negative or infinite.")
    return length


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "'" + name.replace("'", "''") + "'"
