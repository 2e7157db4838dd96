"""What nodes are called where people read."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

#: Names that nodes get where nobody named them.
MADE_UP = re.compile(r"level \d+, cluster of .*|node \d+", flags=re.DOTALL)
#: Classes that a title names.
N_NAMED = 2


def titles_of(
    parents: NDArray[np.intp],
    node_names: tuple[Hashable, ...],
    n_classes: int,
    class_names: Mapping | None = None,
    weights: NDArray | None = None,
) -> tuple[str, ...]:
    """Title the nodes; see `ClassHierarchy.node_titles`."""
    given: Mapping = {} if class_names is None else class_names
    names = [str(given.get(name, name)) for name in node_names]
    order = range(n_classes) if weights is None else np.argsort(-weights, kind="stable").tolist()
    first: list[list[int]] = [[] for _ in node_names]
    n_below = [0] * len(node_names)
    for c in order:
        node = c
        while node >= 0:
            n_below[node] += 1
            if len(first[node]) < N_NAMED:
                first[node].append(c)
            node = parents[node]
    titles = names[:n_classes]
    for node in range(n_classes, len(node_names)):
        if node_names[node] in given or not MADE_UP.fullmatch(str(node_names[node])):
            titles.append(names[node])
        elif node == len(node_names) - 1:
            titles.append("all classes")
        else:
            titles.append(_listed([names[c] for c in first[node]], n_below[node]))
    return tuple(titles)


def _listed(names: Sequence[str], n_classes: int) -> str:
    more = n_classes - len(names)
    return ", ".join(names) + (f" + {more}" if more else "")
