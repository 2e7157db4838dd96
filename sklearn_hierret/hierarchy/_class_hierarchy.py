"""The tree over class labels that every other part of the package passes around."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy import _linkage_matrix, _newick, _parent_child, _tables, _tree
from sklearn_hierret.hierarchy._nodes import as_label_array, first_repeated, number_nodes, shorten


class ClassHierarchy:
    """Immutable rooted tree whose leaves are class labels.

    Nodes are numbered with children before parents: nodes ``0 .. n_classes - 1`` are
    the leaves in the order of `classes`, the last node is the root. The height of a
    node is given, or the length of the longest path from it to a leaf; leaves have
    height 0, and heights never decrease upwards. Hence the hierarchical distance

        D_H(a, b) = height(LCA(a, b)) / height(root)

    is an ultrametric in [0, 1] [1]_ [2]_.

    Most users make one with a ``from_...`` method or get one from a fitted builder.

    Parameters
    ----------
    classes : array-like of shape (n_classes,)
        Distinct class labels.
    parents : array-like of shape (n_nodes,)
        Parent of each node; -1 for the root, which is the last node.
    heights : array-like of shape (n_nodes,), optional
        Heights of the nodes; default: the longest path to a leaf, in edges.
    node_names : sequence of length n_nodes, optional
        Names of the nodes, for drawings and files. They take no part in ``==``.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    parents : ndarray of shape (n_nodes,)
    heights : ndarray of shape (n_nodes,)
    n_classes, n_nodes, root : int
    height : float
        Height of the root.
    node_names : tuple of length n_nodes

    Raises
    ------
    ValueError
        If the arrays do not describe such a tree; the message names the node.

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, eq. 5.
    .. [2] B. Barz, J. Denzler, "Hierarchy-based Image Embeddings for Semantic Image
       Retrieval", WACV 2019, eq. 1.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> tree.classes
    array(['cat', 'dog', 'trout'], dtype='<U5')
    >>> tree.distance("dog", ["dog", "cat", "trout"])
    array([0. , 0.5, 1. ])
    """

    def __init__(
        self,
        classes: ArrayLike,
        parents: ArrayLike,
        heights: ArrayLike | None = None,
        node_names: Sequence[Hashable] | None = None,
    ) -> None:
        self._classes = _frozen(as_label_array(classes))  # type: ignore[arg-type]
        if self._classes.ndim != 1:
            raise ValueError(f"classes must be one-dimensional, got shape {self._classes.shape}.")
        self._lookup = {label: i for i, label in enumerate(self._classes.tolist())}
        if len(self._lookup) < len(self._classes):
            raise ValueError(f"Class {first_repeated(self._classes.tolist())!r} occurs twice.")
        self._parents = _frozen(np.asarray(parents, dtype=np.intp))
        _tree.check_parents(self._parents, self.n_classes)
        if heights is None:
            heights = _tree.longest_paths(self._parents)
        self._heights = _frozen(np.asarray(heights, dtype=np.float64) + 0.0)  # -0.0 hashes differently
        _tree.check_heights(self._heights, self._parents, self.n_classes)
        if node_names is None:
            inner = range(self.n_classes, self.n_nodes)
            node_names = [*self._classes.tolist(), *(f"node {i}" for i in inner)]
        if len(node_names) != self.n_nodes:
            raise ValueError(f"{self.n_nodes} nodes, but {len(node_names)} node_names.")
        self._node_names = tuple(node_names)

    # ------------------------------------------------------------------ the value

    @property
    def classes(self) -> NDArray:
        return self._classes

    @property
    def parents(self) -> NDArray[np.intp]:
        return self._parents

    @property
    def heights(self) -> NDArray[np.float64]:
        return self._heights

    @property
    def node_names(self) -> tuple[Hashable, ...]:
        return self._node_names

    @property
    def n_classes(self) -> int:
        return len(self._classes)

    @property
    def n_nodes(self) -> int:
        return len(self._parents)

    @property
    def root(self) -> int:
        return self.n_nodes - 1

    @property
    def height(self) -> float:
        return float(self._heights[-1])

    @property
    def leaf_order(self) -> NDArray[np.intp]:
        """Leaves in depth-first order, in which every node covers an interval."""
        return self._intervals[0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassHierarchy):
            return NotImplemented
        return (
            self._classes.tolist() == other._classes.tolist()
            and np.array_equal(self._parents, other._parents)
            and np.array_equal(self._heights, other._heights)
        )

    def __hash__(self) -> int:
        return hash((tuple(self._classes.tolist()), self._parents.tobytes(), self._heights.tobytes()))

    def __repr__(self) -> str:
        return f"<ClassHierarchy: {self.n_classes} classes, {self.n_nodes} nodes, height {self.height:g}>"

    def __copy__(self) -> ClassHierarchy:
        return self

    def __deepcopy__(self, memo: dict) -> ClassHierarchy:
        return self

    def __getstate__(self) -> dict[str, Any]:
        names = ("classes", "parents", "heights", "node_names")
        return {name: getattr(self, f"_{name}") for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # -------------------------------------------------------------- questions to it

    def lca(self, a: ArrayLike, b: ArrayLike) -> Any:
        """Node number of the lowest common ancestor of classes `a` and `b`.

        Parameters
        ----------
        a, b : class label or array-like of class labels
            Broadcast against each other.

        Returns
        -------
        node : int or ndarray of int
        """
        nodes = self._lca_of_leaves(self.index(a), self.index(b))
        return int(nodes) if nodes.ndim == 0 else nodes

    def distance(self, a: ArrayLike, b: ArrayLike) -> Any:
        """Hierarchical distance D_H of classes `a` and `b`, in [0, 1].

        Parameters
        ----------
        a, b : class label or array-like of class labels
            Broadcast against each other.

        Returns
        -------
        distance : float or ndarray of float
        """
        distances = self._relative_heights[self._lca_of_leaves(self.index(a), self.index(b))]
        return float(distances) if distances.ndim == 0 else distances

    def distance_matrix(self) -> NDArray[np.float64]:
        """D_H of all pairs of classes, shape (n_classes, n_classes)."""
        return self._relative_heights[self._lca_matrix()]

    def expected_distance(self, proba: ArrayLike) -> NDArray[np.float64]:
        """Expected D_H between a random class and each class.

        Parameters
        ----------
        proba : array-like of shape (n_samples, n_classes)
            Probabilities of the classes, for each sample.

        Returns
        -------
        expected : ndarray of shape (n_samples, n_classes)
            ``proba @ distance_matrix()``, in time and memory linear in the number of
            nodes, and the same bit for bit in every batch.
        """
        proba = np.asarray(proba, dtype=np.float64)
        if proba.ndim != 2 or proba.shape[1] != self.n_classes:
            raise ValueError(f"proba must have {self.n_classes} columns, one a class, got {proba.shape}.")
        return _tree.expected_heights(self._parents, self._relative_heights, proba.T).T

    def similarity_matrix(self, kind: str = "lca") -> NDArray[np.float64]:
        """Similarity of all pairs of classes, shape (n_classes, n_classes).

        Parameters
        ----------
        kind : {"lca", "wup"}, default="lca"
            "lca" is 1 - D_H; "wup" that of Wu and Palmer,
            ``2 depth(LCA) / (depth(a) + depth(b))``, the root having depth 1.
        """
        if kind == "lca":
            return 1.0 - self.distance_matrix()
        if kind == "wup":
            depth = _tree.depths(self._parents)
            leaf = depth[: self.n_classes]
            return 2.0 * depth[self._lca_matrix()] / (leaf[:, None] + leaf[None, :])
        raise ValueError(f"kind must be 'lca' or 'wup', got {kind!r}.")

    def members(self, node: int) -> NDArray:
        """Labels of the classes below `node`, in the order of `classes`."""
        if not -self.n_nodes <= node < self.n_nodes:
            raise ValueError(f"node must be in 0..{self.n_nodes - 1}, got {node}.")
        order, starts, sizes, _ = self._intervals
        return self._classes[np.sort(order[starts[node] : starts[node] + sizes[node]])]

    def index(self, labels: ArrayLike) -> NDArray[np.intp]:
        """Positions of labels in `classes`; a ValueError names those it lacks."""
        # As objects: NumPy would make text of the numbers in a mixed list.
        array = labels if isinstance(labels, np.ndarray) else np.asarray(labels, dtype=object)
        codes = np.array([self._lookup.get(label, -1) for label in array.ravel().tolist()], dtype=np.intp)
        if np.any(codes < 0):
            unknown = dict.fromkeys(np.asarray(array.ravel()[codes < 0]).tolist())
            kinds = {"text" if isinstance(label, str) else "not text" for label in unknown}
            own = {"text" if isinstance(label, str) else "not text" for label in self._lookup}
            hint = "" if kinds & own else f" Its labels are {own.pop()}, these are {kinds.pop()}."
            raise ValueError(f"Labels missing in the hierarchy: {shorten(list(unknown))}.{hint}")
        return codes.reshape(array.shape)

    # ----------------------------------------------------------- other hierarchies

    def cut(self, height: float | None = None, *, n_clusters: int | None = None) -> NDArray[np.intp]:
        """Cluster of each class when the tree is cut.

        Parameters
        ----------
        height : float, optional
            Classes whose LCA is at most this high share a cluster.
        n_clusters : int, optional
            Cut at the lowest height that leaves at most this many clusters.

        Returns
        -------
        clusters : ndarray of shape (n_classes,)
            Numbered by their smallest member.
        """
        if (height is None) == (n_clusters is None):
            raise ValueError("Pass either height or n_clusters.")
        if height is not None and np.isnan(height):
            raise ValueError("height must be a number, got NaN.")
        order, _, _, neighbour_lca = self._intervals
        jumps = self._heights[neighbour_lca]
        if n_clusters is not None:
            if not isinstance(n_clusters, (int, np.integer)) or n_clusters < 1:
                raise ValueError(f"n_clusters must be an integer of at least 1, got {n_clusters}.")
            # Cutting at the m-th largest jump leaves at most m clusters.
            falling = np.sort(jumps)[::-1]
            height = falling[n_clusters - 1] if n_clusters <= len(falling) else -1.0
        clusters = np.empty(self.n_classes, dtype=np.intp)
        clusters[order] = np.concatenate([[0], np.cumsum(jumps > height)])
        return _tree.number_by_smallest_member(clusters)

    def levels(self) -> NDArray[np.intp]:
        """Clusters of the classes, fine to coarse, shape (n_levels, n_classes).

        Row 0 separates all classes; one row follows for each distinct height of an
        inner node, in ascending order. `from_levels` reads it.
        """
        rows = [self.cut(height) for height in np.unique(self._heights[self.n_classes :])]
        return np.stack([np.arange(self.n_classes, dtype=np.intp), *rows])

    def restrict(self, classes: ArrayLike) -> ClassHierarchy:
        """The hierarchy of some of its classes.

        Heights stay, and so do all distances: the root is kept, nodes without a class
        below them go.

        Parameters
        ----------
        classes : array-like of class labels
            Classes to keep; the result has them in this order.
        """
        labels = as_label_array(classes)  # type: ignore[arg-type]
        leaves = self.index(labels).tolist()
        parent = dict(enumerate(self._parents[:-1].tolist()))
        return ClassHierarchy(
            *number_nodes(
                parent,
                leaves,
                labels,
                dict(enumerate(self._heights.tolist())),
                dict(enumerate(self._node_names)),
            )
        )

    def permute(
        self, random_state: int | np.random.RandomState | np.random.Generator | None = None
    ) -> ClassHierarchy:
        """The same tree with its classes shuffled: a control that keeps only its shape.

        Parameters
        ----------
        random_state : int, RandomState, Generator or None, default=None
        """
        if not isinstance(random_state, (np.random.RandomState, np.random.Generator)):
            random_state = np.random.RandomState(random_state)
        order = random_state.permutation(self.n_classes)
        names = [*self._classes[order].tolist(), *self._node_names[self.n_classes :]]
        shuffled = ClassHierarchy(self._classes[order], self._parents, self._heights, names)
        return shuffled.restrict(self._classes)

    # ------------------------------------------------------------- makers and writers

    @classmethod
    def flat(cls, classes: ArrayLike) -> ClassHierarchy:
        """All classes directly below the root: D_H is 0 or 1."""
        labels = as_label_array(classes)  # type: ignore[arg-type]
        n_classes = len(labels)
        return cls(labels, [n_classes] * n_classes + [-1], node_names=[*labels.tolist(), "root"])

    @classmethod
    def from_levels(
        cls, levels: ArrayLike, classes: ArrayLike | None = None, heights: ArrayLike | None = None
    ) -> ClassHierarchy:
        """From the clusters of the classes, level by level, fine to coarse.

        Parameters
        ----------
        levels : array-like of shape (n_levels, n_classes)
            Row l gives the cluster of each class at level l. The first row separates
            all classes, the last one holds them all, and each row joins clusters of
            the one before.
        classes : array-like of shape (n_classes,), default=0..n_classes-1
        heights : array-like of shape (n_levels,), default=0..n_levels-1
            Heights of the levels.

        Notes
        -----
        A cluster that stays the same over several levels is one node, at the first of
        them; two classes' LCA height is that of the level where they first meet.
        """
        return cls(*_tables.nodes_from_levels(levels, classes, heights))

    @classmethod
    def from_linkage(
        cls, Z: ArrayLike, classes: ArrayLike | None = None, *, max_height: float | None = None
    ) -> ClassHierarchy:
        """From a SciPy linkage matrix; node heights are merge distances.

        Parameters
        ----------
        Z : array-like of shape (n_classes - 1, 4)
            As `scipy.cluster.hierarchy.linkage` returns it, without inversions.
        classes : array-like of shape (n_classes,), default=0..n_classes-1
        max_height : float, optional
            Merges above it are undone and what is left joined at the root, which
            keeps the height of the last merge.
        """
        return cls(*_linkage_matrix.nodes_from_linkage(Z, classes, max_height))

    def to_linkage(self) -> NDArray[np.float64]:
        """SciPy linkage matrix of shape (n_classes - 1, 4); several children merge in turn."""
        order, _, _, neighbour_lca = self._intervals
        return _linkage_matrix.linkage_from_merges(order, self._heights[neighbour_lca])

    @classmethod
    def from_parent_child(
        cls,
        source: Any,
        *,
        is_a: bool = False,
        classes: ArrayLike | None = None,
        id_type: type | None = None,
        multiple_parents: str = "error",
        multiple_roots: str = "error",
    ) -> ClassHierarchy:
        """From edges: a text file with a ``parent child`` pair a line, or pairs.

        Parameters
        ----------
        source : path, text file object or iterable of (parent, child) pairs
        is_a : bool, default=False
            The pairs are ``child parent``.
        classes : array-like of node ids, optional
            The nodes that are classes; only they and their ancestors are kept. Default:
            all nodes without children. A class that has children gets a leaf of its own
            below its node. Classes are sorted as `numpy.unique` does.
        id_type : type, optional
            Type of the ids in a file. Default: int if every id is one, else str.
        multiple_parents : {"error", "tree"}, default="error"
            What to do with a node of several parents: "tree" turns the graph into a
            tree as barz2019, section 3.1, describes it.
        multiple_roots : {"error", "join"}, default="error"
            "join" puts a new root above several ones.

        Raises
        ------
        ValueError
            For a malformed line (file and line are named), a duplicate edge, a cycle,
            several parents or roots, a class that is no node.
        """
        return cls(
            *_parent_child.nodes_from_parent_child(
                source, is_a, classes, id_type, multiple_parents, multiple_roots
            )
        )

    def to_parent_child(self, path: Any = None, *, is_a: bool = False) -> list[tuple]:
        """The edges as (parent, child) pairs of node names; written to `path` if given."""
        return _parent_child.pairs_from_nodes(self._parents, self._node_names, path, is_a)

    @classmethod
    def from_frame(cls, frame: Any) -> ClassHierarchy:
        """From a DataFrame with one row a class, columns from coarse to fine.

        The last column holds the class labels. Equal labels below different parents are
        different nodes; a missing value leaves that level out.
        """
        return cls(*_tables.nodes_from_frame(frame))

    def to_frame(self) -> Any:
        """DataFrame with one row a class, columns from coarse to fine, without the root."""
        return _tables.frame_from_nodes(self._parents, self._node_names, self._classes)

    @classmethod
    def from_newick(cls, text: str) -> ClassHierarchy:
        """From a tree in Newick notation, ``((dog,cat)mammal,trout)animal;``.

        If every edge has a length, a node's height is its greatest distance to a leaf;
        otherwise the longest path in edges.
        """
        return cls(*_newick.nodes_from_newick(text))

    def to_newick(self) -> str:
        """Newick notation with names and edge lengths (differences of height)."""
        return _newick.newick_from_nodes(self._parents, self._heights, self._node_names)

    # --------------------------------------------------------------------- inside

    @cached_property
    def _intervals(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        return _tree.leaf_intervals(self._parents, self.n_classes)

    @cached_property
    def _relative_heights(self) -> NDArray[np.float64]:
        return self._heights / self.height if self.height > 0 else self._heights

    @cached_property
    def _range_table(self) -> list[NDArray[np.intp]]:
        return _tree.range_maximum_table(self._intervals[3])

    def _lca_of_leaves(self, a: NDArray[np.intp], b: NDArray[np.intp]) -> NDArray[np.intp]:
        positions = self._intervals[1]
        a, b = np.broadcast_arrays(a, b)
        lca = a.copy()
        differ = a != b
        p, q = positions[a[differ]], positions[b[differ]]
        lca[differ] = _tree.range_maximum(self._range_table, np.minimum(p, q), np.maximum(p, q))
        return lca

    def _lca_matrix(self) -> NDArray[np.intp]:
        order, _, _, neighbour_lca = self._intervals
        lca = np.empty((self.n_classes, self.n_classes), dtype=np.intp)
        lca[order, order] = order
        for p in range(self.n_classes - 1):
            ahead = np.maximum.accumulate(neighbour_lca[p:])
            lca[order[p], order[p + 1 :]] = ahead
            lca[order[p + 1 :], order[p]] = ahead
        return lca


def _frozen(array: NDArray) -> NDArray:
    array = array.copy()
    array.flags.writeable = False
    return array
