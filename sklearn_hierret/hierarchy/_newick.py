"""Trees in Newick notation: ``((dog:1,cat:1)mammal:1,trout:2)animal;``."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.hierarchy._nodes import Nodes, first_repeated, number_nodes, sorted_labels
from sklearn_hierret.hierarchy._sources import read_source, write_text

#: Quotes inside quoted labels are doubled, or come after a backslash; a backslash before the last quote is
#: a part of the label.
_SINGLE = r"'(?:[^'\\]|''|\\'(?=[^\s(),:;\[])|\\)*'"
_DOUBLE = _SINGLE.replace("'", '"')
_TOKEN = re.compile(rf"({_SINGLE}|{_DOUBLE}|[(),:;]|[^\s(),:;'\"\[\]]+)")
_PLAIN = re.compile(r"[^\s(),:;'\"\[\]_]+")
_BRACKET = re.compile(r"[\[\]]")


def nodes_from_newick(source: Any, ignore_lengths: bool = False) -> Nodes:
    """Nodes from Newick notation; see `ClassHierarchy.from_newick`."""
    text, title = read_source(source, "Newick", lambda text: "(" in text or ";" in text)
    try:
        return _nodes_of(text, ignore_lengths)
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from None


def _nodes_of(text: str, ignore_lengths: bool) -> Nodes:
    names: list[str] = [""]
    lengths: list[float | None] = [None]
    parent: dict[int, int] = {}
    has_children: set[int] = set()
    node, expects_length, ended = 0, False, False
    tree, new_name_of = _tree_of_nexus(text)
    for token, where in _tokens(tree):
        if ended:
            raise ValueError(f"text after ';' at character {where}; one tree is expected.")
        if token == "(" or token == ",":
            if token == "," and node not in parent:
                raise ValueError(f"',' outside of parentheses at character {where}.")
            if token == "(" and (node in has_children or names[node]):
                raise ValueError(f"'(' after a node at character {where}.")
            above = node if token == "(" else parent[node]
            has_children.add(above)
            node = len(names)
            names.append("")
            lengths.append(None)
            parent[node] = above
        elif token == ")":
            if node not in parent:
                raise ValueError(f"')' without '(' at character {where}.")
            node = parent[node]
        elif token == ":":
            expects_length = True
            continue
        elif token == ";":
            ended = True
        elif expects_length and lengths[node] is not None:
            raise ValueError(f"a second length at character {where}.")
        elif expects_length:
            lengths[node] = None if ignore_lengths else _length(token, where)
        elif names[node]:
            raise ValueError(f"two names in a row at character {where}.")
        else:
            name = _unquoted(token)
            names[node] = new_name_of.get(name, name)
        if expects_length and token in "(),;":
            raise ValueError(f"a length is expected at character {where}.")
        expects_length = False
    if not ended or node != 0:
        raise ValueError("the text ends before the tree does (';' or ')' missing).")
    if not has_children:
        raise ValueError("a tree needs a root above its classes.")
    return _numbered(names, lengths, parent, has_children)


def _numbered(
    names: list[str], lengths: list[float | None], parent: dict[int, int], has_children: set[int]
) -> Nodes:
    leaves = [n for n in range(1, len(names)) if n not in has_children]
    if any(not names[n] for n in leaves):
        raise ValueError("every leaf needs a name.")
    twice = first_repeated(names[n] for n in leaves)
    if twice is not None:
        raise ValueError(f"class {twice!r} occurs twice.")
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


def _tree_of_nexus(text: str) -> tuple[str, dict[str, str]]:
    """Return the one tree of a NEXUS file, and what its names stand for; other text stays as it is."""
    if text.lstrip()[:6].upper() != "#NEXUS":
        return text, {}
    start = text.index("#") + 6
    statements: list[list[tuple[str, int]]] = [[]]
    for token, where in _tokens(text[start:]):
        statements[-1].append((token, where + start))
        if token == ";":
            statements.append([])
    trees = [s for s in statements if len(s) > 2 and s[0][0].upper() in ("TREE", "UTREE")]
    if len(trees) != 1:
        raise ValueError(f"one tree is expected in a NEXUS file, got {len(trees)}.")
    new_name_of: dict[str, str] = {}
    for statement in statements:
        if statement and statement[0][0].upper() == "TRANSLATE":
            entry: list[str] = []
            for token, where in statement[1:]:
                if token not in ",;":
                    entry.append(_unquoted(token))
                    continue
                if len(entry) != 2:
                    raise ValueError(
                        f"TRANSLATE before character {where}: two words are expected, got {entry}; a name "
                        "with a blank needs quotes."
                    )
                new_name_of[entry[0]], entry = entry[1], []
    first = next((where for token, where in trees[0] if token == "("), None)
    if first is None:
        raise ValueError("the tree of a NEXUS file has no parentheses.")
    # Blanks keep the characters' numbers those of the file.
    return " " * first + text[first : trees[0][-1][1] + 1], new_name_of


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


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """Yield names, lengths and signs with their places; comments, which may be nested, are passed over."""
    position, end = 0, len(text.rstrip())
    while position < end:
        if text[position].isspace():
            position += 1
        elif text[position] == "[":
            position = _end_of_comment(text, position)
        else:
            match = _TOKEN.match(text, position)
            if match is None:
                is_quote = text[position] in "'\""
                what = "a quote that is never closed" if is_quote else f"unexpected {text[position]!r}"
                raise ValueError(f"{what} at character {position}.")
            yield match[1], position
            position = match.end()


def _end_of_comment(text: str, start: int) -> int:
    depth = 0
    for match in _BRACKET.finditer(text, start):
        depth += 1 if match[0] == "[" else -1
        if depth == 0:
            return match.end()
    raise ValueError(f"a comment that is never closed at character {start}.")


def _length(token: str, where: int) -> float:
    try:
        length = float(token.replace("_", "?"))
    except ValueError:
        raise ValueError(f"{token!r} at character {where} is no edge length.") from None
    if not 0 <= length < np.inf:
        raise ValueError(
            f"edge length {token} at character {where} is negative or infinite; ignore_lengths=True takes "
            "the longest path in edges as height."
        )
    return length


def _unquoted(token: str) -> str:
    quote = token[0]
    if quote not in "'\"" or len(token) < 2:
        return token
    inside = token[1:-1].replace(2 * quote, quote)
    return inside.replace("\\" + quote, quote)


def _quoted(name: str) -> str:
    """Quote a name; readers may take '_' outside of quotes for a blank.

    A backslash before a quote is an escape in other programs: such names get the other kind of quotes.
    """
    if _PLAIN.fullmatch(name):
        return name
    quote = '"' if "\\'" in name else "'"
    if f"\\{quote}" in name:
        raise ValueError(
            f"Newick has no way to write {name!r}, which has backslashes before quotes of both kinds: rename "
            "it, or use to_json."
        )
    return quote + name.replace(quote, 2 * quote) + quote
