"""Graphs of the networkx library."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.hierarchy._parent_child import Edges, collect_edges


def edges_from_networkx(graph: Any, is_a: bool) -> Edges:
    """Edges of a directed graph; see `ClassHierarchy.from_networkx`."""
    if not (hasattr(graph, "edges") and hasattr(graph, "is_directed")):
        raise TypeError(f"A networkx graph is expected, got {type(graph).__name__}.")
    if not graph.is_directed():
        raise ValueError("The graph is undirected: which end of an edge is the parent? Pass a DiGraph.")
    edges = collect_edges(_edges(graph, is_a), "graph")
    edges.nodes.update(dict.fromkeys(graph.nodes))
    if not edges.nodes:
        raise ValueError("graph: no node found.")
    return edges


def networkx_from_nodes(
    parents: NDArray[np.intp], heights: NDArray[np.float64], node_names: tuple[Hashable, ...]
) -> Any:
    """Return the DiGraph; see `ClassHierarchy.to_networkx`."""
    import networkx

    if len(set(node_names)) < len(node_names):
        raise ValueError("A graph needs distinct node names, and some are equal; `to_json` keeps them.")
    graph = networkx.DiGraph()
    for name, height in zip(node_names, heights.tolist(), strict=True):
        graph.add_node(name, height=height)
    graph.add_edges_from((node_names[p], node_names[n]) for n, p in enumerate(parents[:-1].tolist()))
    return graph


def _edges(graph: Any, is_a: bool) -> Iterator[tuple[Hashable, Hashable, str]]:
    for edge in graph.edges:
        first, second = edge[:2]  # a MultiDiGraph's edges have a key, too
        where = f"edge ({first!r}, {second!r})"
        yield (second, first, where) if is_a else (first, second, where)
