"""Similarities of classes straight on a directed acyclic graph of concepts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy._class_hierarchy import ClassHierarchy
from sklearn_hierret.hierarchy._dag import topological_order, tree_of_root_paths
from sklearn_hierret.hierarchy._labels import Labels
from sklearn_hierret.hierarchy._networkx import edges_from_networkx
from sklearn_hierret.hierarchy._nodes import as_label_array, number_nodes
from sklearn_hierret.hierarchy._parent_child import (
    Edges,
    OwnLeaf,
    check_choice,
    classes_of,
    join_roots,
    read_edges,
)

_FAR = np.iinfo(np.int32).max // 4


class ClassGraph:
    """Directed acyclic graph of concepts above classes, such as WordNet, for evaluation.

    Where a concept may have several parents, the lowest common subsumer (LCS) of two classes
    is the deepest concept above both, and ``d_G = height(LCS) / height(root)`` is no longer
    a metric [1]_: it serves to judge rankings, not to make them. Every metric that takes a
    `ClassHierarchy` as the truth takes a `ClassGraph`; `to_tree` makes a hierarchy of it.

    Parameters
    ----------
    parents_of : mapping from node to a sequence of its parents
    classes : sequence of nodes, optional
        The nodes that are classes; only they and their ancestors are kept. Default: all
        nodes without children. A class with children gets a leaf of its own below its node.
    depth : {"longest", "shortest"}, default="longest"
        What depth is: the longest or the shortest way from the root. It decides which common
        concept is the deepest (among equally deep ones, the lowest).
    heights : {"classes", "graph"}, default="classes"
        Height of a node: the longest way down to a class, or to any node of the graph.
    multiple_roots : {"error", "join"}, default="error"
        "join" puts a new root above several ones.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    n_classes, n_nodes : int
    height : float
        Height of the root.

    Raises
    ------
    ValueError
        For a cycle, several roots, a class that is no node.

    References
    ----------
    .. [1] B. Barz, J. Denzler, "Hierarchy-based Image Embeddings for Semantic Image
       Retrieval", WACV 2019, eq. 1 and section 3.1.

    Examples
    --------
    >>> from sklearn_hierret import ClassGraph
    >>> graph = ClassGraph(
    ...     {
    ...         "car": ["vehicle"],
    ...         "golf cart": ["vehicle", "golf equipment"],
    ...         "golf ball": ["golf equipment"],
    ...         "vehicle": ["thing"],
    ...         "golf equipment": ["thing"],
    ...     }
    ... )
    >>> graph.distance("golf cart", ["car", "golf ball"]), graph.distance("car", "golf ball")
    (array([0.5, 0.5]), 1.0)
    """

    def __init__(
        self,
        parents_of: Mapping[Hashable, Sequence[Hashable]],
        classes: ArrayLike | None = None,
        *,
        depth: str = "longest",
        heights: str = "classes",
        multiple_roots: str = "error",
    ) -> None:
        if not isinstance(parents_of, Mapping) or any(isinstance(p, str) for p in parents_of.values()):
            raise TypeError("parents_of must map each node to a sequence of its parents.")
        if not parents_of:
            raise ValueError("graph: no edge found.")
        nodes = dict.fromkeys([*parents_of, *(p for above in parents_of.values() for p in above)])
        edges = Edges({n: list(above) for n, above in parents_of.items()}, nodes, {}, "graph", str)
        self._build(edges, classes, depth, heights, multiple_roots)

    def _build(
        self, edges: Edges, classes: ArrayLike | None, depth: str, heights: str, multiple_roots: str
    ) -> None:
        check_choice(depth, "depth", ("longest", "shortest"))
        check_choice(heights, "heights", ("classes", "graph"))
        check_choice(multiple_roots, "multiple_roots", ("error", "join"))
        labels = classes_of(edges, classes)
        parents_of = {node: list(above) for node, above in edges.parents_of.items()}
        has_children = {p for above in parents_of.values() for p in above}
        leaves: list[Hashable] = []
        for label in labels:
            is_leaf = label not in has_children and parents_of.get(label)
            leaves.append(label if is_leaf else OwnLeaf([label]))
            if not is_leaf:
                parents_of[leaves[-1]] = [label]
        order = topological_order(parents_of, leaves)
        roots = [node for node in order if not parents_of.get(node)]
        top = join_roots(roots, edges.nodes, multiple_roots, edges.source)
        if top is not None:
            parents_of.update({root: [top] for root in roots})
            order = [top, *order]
        counted = order
        if heights == "graph":
            counted = topological_order(parents_of, [*leaves, *edges.nodes])
        height = dict.fromkeys(counted, 0)
        for node in reversed(counted):
            for p in parents_of.get(node, ()):
                height[p] = max(height[p], height[node] + 1)
        depth_of: dict[Hashable, int] = {}
        for node in order:
            above = [depth_of[p] + 1 for p in parents_of.get(node, ())]
            depth_of[node] = (max if depth == "longest" else min)(above, default=1)
        self._labels = Labels(as_label_array(labels))
        self._order, self._leaves = order, leaves
        self._parents_of = {node: tuple(parents_of.get(node, ())) for node in order}
        self._heights = np.array([height[node] for node in order], dtype=np.float64)
        self._depths = np.array([depth_of[node] for node in order], dtype=np.intp)

    @classmethod
    def from_parent_child(
        cls,
        source: Any,
        *,
        is_a: bool = False,
        classes: ArrayLike | None = None,
        id_type: type | None = None,
        depth: str = "longest",
        heights: str = "classes",
        multiple_roots: str = "error",
    ) -> ClassGraph:
        """From edges: a text file with a ``parent child`` pair a line, or pairs.

        Parameters
        ----------
        source, is_a
            See `ClassHierarchy.from_parent_child`.
        classes
            See `ClassGraph`.
        id_type
            See `ClassHierarchy.from_parent_child`.
        depth, heights, multiple_roots
            See `ClassGraph`.
        """
        graph = cls.__new__(cls)
        graph._build(read_edges(source, is_a, id_type), classes, depth, heights, multiple_roots)
        return graph

    @classmethod
    def from_networkx(cls, graph: Any, *, is_a: bool = False, **params: Any) -> ClassGraph:
        """From a networkx DiGraph whose edges go from parent to child.

        Parameters
        ----------
        graph : networkx.DiGraph
        is_a : bool, default=False
            The edges go from child to parent.
        **params
            classes, depth, heights, multiple_roots, see `ClassGraph`.
        """
        edges = edges_from_networkx(graph, is_a)
        return cls.from_parent_child(
            [(p, n) for n, above in edges.parents_of.items() for p in above], **params
        )

    @property
    def classes(self) -> NDArray:
        return self._labels.array

    @property
    def n_classes(self) -> int:
        return len(self._leaves)

    @property
    def n_nodes(self) -> int:
        return len(self._order)

    @property
    def height(self) -> float:
        return float(self._heights[0])

    def __repr__(self) -> str:
        return f"<ClassGraph: {self.n_classes} classes, {self.n_nodes} nodes, height {self.height:g}>"

    def index(self, labels: ArrayLike) -> NDArray[np.intp]:
        """Find positions of labels in `classes`; a ValueError names those it lacks.

        Parameters
        ----------
        labels : class label or array-like of class labels
            Classes.

        Returns
        -------
        positions : ndarray
            Of the shape of `labels`.
        """
        return self._labels.index(labels)

    def distance(self, a: ArrayLike, b: ArrayLike) -> Any:
        """Compute d_G of classes `a` and `b`; see `ClassHierarchy.distance`.

        Parameters
        ----------
        a, b : class label or array-like of class labels
            Broadcast against each other.

        Returns
        -------
        distance : float or ndarray
            In [0, 1].
        """
        distances = (self._heights[self._lcs] / self.height)[self.index(a), self.index(b)]
        return float(distances) if distances.ndim == 0 else distances

    def distance_matrix(self) -> NDArray[np.float64]:
        """Compute d_G of all pairs of classes.

        Returns
        -------
        distances : ndarray of shape (n_classes, n_classes)
            Symmetric, the diagonal zero.
        """
        return self._heights[self._lcs] / self.height

    def similarity_matrix(self, kind: str = "lca") -> NDArray[np.float64]:
        """Compute the similarity of all pairs of classes.

        Parameters
        ----------
        kind : {"lca", "wup", "levels"}, default="lca"
            "lca" is 1 - d_G; "wup" that of Wu and Palmer, ``2 d / (2 d + l_a + l_b)`` with the
            depth d of the LCS, 1 for the root, and the shortest ways l down from it to the
            classes, the greatest value of equally deep ones; "levels" is d - 1.

        Returns
        -------
        similarities : ndarray of shape (n_classes, n_classes)
            Symmetric.
        """
        if kind == "lca":
            return 1.0 - self.distance_matrix()
        if kind == "levels":
            return self._depths[self._lcs].astype(np.float64) - 1.0
        if kind == "wup":
            return self._wu_palmer()
        raise ValueError(f"kind must be 'lca', 'wup' or 'levels', got {kind!r}.")

    def to_tree(self) -> ClassHierarchy:
        """Make the tree that barz2019 makes of such a graph, section 3.1; its heights are its own.

        Returns
        -------
        hierarchy : ClassHierarchy
            Of the same classes.
        """
        parent_of = tree_of_root_paths(self._parents_of, self._leaves, join_roots=True)
        names = {n: n[0] if isinstance(n, OwnLeaf) else n for n in self._order}
        return ClassHierarchy(*number_nodes(parent_of, self._leaves, self.classes, None, names))

    @cached_property
    def _ways_down(self) -> NDArray[np.int32]:
        """Shortest way from each node down to each class, in edges."""
        number = {node: i for i, node in enumerate(self._order)}
        ways = np.full((self.n_nodes, self.n_classes), _FAR, dtype=np.int32)
        ways[[number[leaf] for leaf in self._leaves], np.arange(self.n_classes)] = 0
        for i in range(self.n_nodes - 1, -1, -1):  # children come after their parents
            for p in self._parents_of[self._order[i]]:
                np.minimum(ways[number[p]], ways[i] + 1, out=ways[number[p]])
        return ways

    def _wu_palmer(self) -> NDArray[np.float64]:
        similarity = np.zeros((self.n_classes, self.n_classes))
        deepest = np.zeros((self.n_classes, self.n_classes), dtype=np.intp)
        for node in np.argsort(self._depths, kind="stable").tolist():
            ways, depth = self._ways_down[node], int(self._depths[node])
            members = np.flatnonzero(ways < _FAR)
            pairs = np.ix_(members, members)
            values = 2.0 * depth / (2.0 * depth + ways[members][:, None] + ways[members][None, :])
            similarity[pairs] = np.where(
                deepest[pairs] == depth, np.maximum(values, similarity[pairs]), values
            )
            deepest[pairs] = depth
        return similarity

    @cached_property
    def _lcs(self) -> NDArray[np.intp]:
        """Position in the order of nodes of the LCS of each pair of classes."""
        lcs = np.zeros((self.n_classes, self.n_classes), dtype=np.intp)
        is_below = self._ways_down < _FAR
        # The deepest last, and the lowest of equally deep ones.
        for node in np.lexsort((-self._heights, self._depths)).tolist():
            members = np.flatnonzero(is_below[node])
            lcs[np.ix_(members, members)] = node
        return lcs
