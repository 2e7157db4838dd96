"""Trees as HTML, which notebooks show."""

from __future__ import annotations

import html
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

#: Children of a node that are shown, and nodes in all.
MOST_CHILDREN, MOST_NODES = 25, 500


def html_from_nodes(
    parents: NDArray[np.intp], heights: NDArray[np.float64], node_names: tuple[Hashable, ...], title: str
) -> str:
    """Nested lists that open by a click; names are escaped."""
    children: list[list[int]] = [[] for _ in parents]
    for node, above in enumerate(parents[:-1].tolist()):
        children[above].append(node)
    pieces, n_shown = [], 0
    stack: list[int | str] = [len(parents) - 1]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            pieces.append(item)
            continue
        n_shown += 1
        name = html.escape(str(node_names[item]))
        if not children[item]:
            pieces.append(f"<li>{name}</li>")
            continue
        is_open = ' open=""' if item == len(parents) - 1 else ""
        pieces.append(f"<li><details{is_open}><summary>{name} ({heights[item]:.3g})</summary><ul>")
        room = max(0, min(MOST_CHILDREN, MOST_NODES - n_shown))
        shown = sorted(children[item], key=lambda child: (not children[child], child))[:room]  # leaves last
        n_more = len(children[item]) - len(shown)
        stack.append("</ul></details></li>")
        stack.append(f"<li>… and {n_more} more</li>" if n_more else "")
        stack += shown[::-1]
    return f"<div><b>{html.escape(title)}</b><ul>{''.join(pieces)}</ul></div>"
