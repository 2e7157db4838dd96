"""The tree over class labels that every other part of the package passes around."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy import _tree
from sklearn_hierret.hierarchy._html import html_from_nodes
from sklearn_hierret.hierarchy._labels import Labels, frozen
from sklearn_hierret.hierarchy._nodes import as_label_array, number_nodes, shorten, sorted_labels
from sklearn_hierret.hierarchy._readers import TreeReaders
from sklearn_hierret.hierarchy._titles import titles_of
from sklearn_hierret.hierarchy._writers import TreeWriters

#: What a tree may be made of.
ORIGINS = ("given", "features", "mixed")


class ClassHierarchy(TreeReaders, TreeWriters):
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
    origin : {"given", "features", "mixed"}, default="given"
        What the tree was made of: builders say "features", or "mixed" where names or given trees are a part.
        The default of a retriever's `stem` follows from it. It takes no part in ``==``.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
    parents : ndarray of shape (n_nodes,)
    heights : ndarray of shape (n_nodes,)
    n_classes, n_nodes, root : int
    height : float
        Height of the root.
    node_names : tuple of length n_nodes
    origin : str

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
        *,
        origin: str = "given",
    ) -> None:
        if origin not in ORIGINS:
            raise ValueError(f"origin must be one of {ORIGINS}, got {origin!r}.")
        self._origin = origin
        self._labels = Labels(classes)
        self._classes = self._labels.array
        self._parents = frozen(np.asarray(parents, dtype=np.intp))
        _tree.check_parents(self._parents, self.n_classes)
        if heights is None:
            heights = _tree.longest_paths(self._parents)
        self._heights = frozen(np.asarray(heights, dtype=np.float64) + 0.0)  # -0.0 hashes differently
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
    def origin(self) -> str:
        return self._origin

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
    def node_sizes(self) -> NDArray[np.intp]:
        """Classes at and below each node."""
        return self._intervals[2]

    @property
    def depths(self) -> NDArray[np.intp]:
        """Edges from the root to each node."""
        return _tree.depths(self._parents) - 1

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

    def _repr_html_(self) -> str:
        return html_from_nodes(self._parents, self._heights, self.node_titles(), repr(self).strip("<>"))

    def __copy__(self) -> ClassHierarchy:
        return self

    def __deepcopy__(self, memo: dict) -> ClassHierarchy:
        return self

    def __getstate__(self) -> dict[str, Any]:
        names = ("classes", "parents", "heights", "node_names", "origin")
        return {name: getattr(self, f"_{name}") for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    # -------------------------------------------------------------- questions to it

    def node_titles(
        self, class_names: Mapping | None = None, class_weights: ArrayLike | None = None
    ) -> tuple[str, ...]:
        """Say what to call each node where people read: by what is below it, where nobody named it.

        Names that builders and readers make up ("level 3, cluster of 7", "node 12") become lists of two
        classes and the number of others. `node_names` stay what `within=` and files take; titles may repeat.

        Parameters
        ----------
        class_names : mapping from class label or node name to str, optional
            Names to show instead.
        class_weights : array-like of shape (n_classes,), optional
            The heaviest classes of a node are named, such as those with the most images. Default: the first.

        Returns
        -------
        titles : tuple of str, of length n_nodes

        Examples
        --------
        >>> from sklearn_hierret import ClassHierarchy
        >>> levels = [[0, 1, 2, 3], [0, 0, 0, 1], [0, 0, 0, 0]]
        >>> tree = ClassHierarchy.from_levels(levels, ["ant", "bee", "wasp", "cod"])
        >>> tree.node_names[4:]
        ('level 1, cluster of ant', 'level 2, cluster of ant')
        >>> tree.node_titles()[4:]
        ('ant, bee + 1', 'all classes')
        """
        weights = None if class_weights is None else np.asarray(class_weights)
        if weights is not None and weights.shape != (self.n_classes,):
            raise ValueError(f"{self.n_classes} classes, but class_weights of shape {weights.shape}.")
        return titles_of(self._parents, self._node_names, self.n_classes, class_names, weights)

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
        """Compute D_H of all pairs of classes.

        Returns
        -------
        distances : ndarray of shape (n_classes, n_classes)
            Symmetric, the diagonal zero.
        """
        return self._relative_heights[self._lca_matrix()]

    def distances_from(self, leaves: NDArray[np.intp]) -> NDArray[np.float64]:
        """Compute D_H of classes, given by their positions, to all classes.

        Parameters
        ----------
        leaves : ndarray of shape (n_leaves,)
            Positions in `classes`.

        Returns
        -------
        distances : ndarray of shape (n_leaves, n_classes)
            In [0, 1].
        """
        order, starts, _, neighbour_lca = self._intervals
        heights = self._relative_heights[neighbour_lca]
        ordered = np.zeros((len(leaves), self.n_classes))
        for row, place in zip(ordered, starts[leaves].tolist(), strict=True):
            np.maximum.accumulate(heights[place:], out=row[place + 1 :])
            row[:place] = np.maximum.accumulate(heights[:place][::-1])[::-1]
        distances = np.empty_like(ordered)
        distances[:, order] = ordered
        return distances

    def distinct_distances(self) -> NDArray[np.float64]:
        """Return all values that D_H takes, and perhaps some that it does not.

        Returns
        -------
        values : ndarray of shape (n_values,)
            Ascending.
        """
        return np.unique(np.append(self._relative_heights, 0.0))

    def expected_distance(self, proba: ArrayLike) -> NDArray[np.float64]:
        """Compute the expected D_H between a random class and each class.

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
        proba = self._checked_proba(proba)
        return _tree.expected_heights(self._parents, self._relative_heights, proba.T).T

    def node_probabilities(self, proba: ArrayLike) -> NDArray[np.float64]:
        """Sum of the class probabilities at and below each node.

        Parameters
        ----------
        proba : array-like of shape (n_samples, n_classes)
            Probabilities of the classes, for each sample.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_nodes)
        """
        proba = self._checked_proba(proba)
        order, starts, sizes, _ = self._intervals
        before = np.zeros((len(proba), self.n_classes + 1))
        np.cumsum(proba[:, order], axis=1, out=before[:, 1:])
        return before[:, starts + sizes] - before[:, starts]

    def back_off(self, proba: ArrayLike, min_probability: float) -> NDArray[np.intp]:
        """Deepest node that holds at least `min_probability` of each sample [1]_.

        Parameters
        ----------
        proba : array-like of shape (n_samples, n_classes)
            Probabilities of the classes, for each sample. If they sum to less than 1, the
            rest lies on the root.
        min_probability : float in (0.5, 1]
            Above one half, so that no two nodes hold it unless one is below the other.

        Returns
        -------
        nodes : ndarray of shape (n_samples,)
            A class if one holds enough, and the root if no other node does.

        References
        ----------
        .. [1] J. Deng, J. Krause, A. C. Berg, L. Fei-Fei, "Hedging Your Bets: Optimizing
           Accuracy-Specificity Trade-offs in Large Scale Visual Recognition", CVPR 2012.

        Examples
        --------
        >>> from sklearn_hierret import ClassHierarchy
        >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
        >>> nodes = tree.back_off([[0.5, 0.45, 0.05], [0.0, 0.1, 0.9], [0.4, 0.3, 0.3]], 0.8)
        >>> [tree.node_names[node] for node in nodes]
        ['mammal', 'trout', 'animal']
        """
        check_min_probability(min_probability)
        is_sure = self.node_probabilities(proba) >= min_probability - 1e-12
        is_sure[:, -1] = True
        return is_sure.argmax(axis=1)  # children have smaller numbers than their parents

    def is_below(self, labels: ArrayLike, nodes: ArrayLike) -> NDArray[np.bool_]:
        """Tell whether classes are at or below nodes, each label with its node.

        Parameters
        ----------
        labels : class label or array-like of class labels
            Classes.
        nodes : int or array-like of int
            Broadcast against the labels.

        Returns
        -------
        is_below : ndarray of bool
            Of the shape of both.
        """
        _, starts, sizes, _ = self._intervals
        place, nodes = starts[self.index(labels)], np.asarray(nodes)
        return (starts[nodes] <= place) & (place < starts[nodes] + sizes[nodes])

    def similarity_matrix(self, kind: str = "lca") -> NDArray[np.float64]:
        """Compute the similarity of all pairs of classes.

        Parameters
        ----------
        kind : {"lca", "wup", "levels"}, default="lca"
            "lca" is 1 - D_H; "wup" that of Wu and Palmer,
            ``2 depth(LCA) / (depth(a) + depth(b))``, the root having depth 1; "levels" the
            number of levels that they share, that is of nodes that have both at or below them,
            the root not counted.

        Returns
        -------
        similarities : ndarray of shape (n_classes, n_classes)
            Symmetric.
        """
        if kind == "lca":
            return 1.0 - self.distance_matrix()
        if kind == "wup":
            depth = _tree.depths(self._parents)
            leaf = depth[: self.n_classes]
            return 2.0 * depth[self._lca_matrix()] / (leaf[:, None] + leaf[None, :])
        if kind == "levels":
            return _tree.depths(self._parents)[self._lca_matrix()].astype(np.float64) - 1.0
        raise ValueError(f"kind must be 'lca', 'wup' or 'levels', got {kind!r}.")

    def members(self, node: int) -> NDArray:
        """Return labels of the classes below a node, in the order of `classes`.

        Parameters
        ----------
        node : int
            Its number.

        Returns
        -------
        labels : ndarray of shape (n_members,)
            At least one.
        """
        if not isinstance(node, Integral) or isinstance(node, bool):
            raise TypeError(f"A node is a number, got {node!r}.")
        if not -self.n_nodes <= node < self.n_nodes:
            raise ValueError(f"node must be in 0..{self.n_nodes - 1}, got {node}.")
        order, starts, sizes, _ = self._intervals
        return self._classes[np.sort(order[starts[node] : starts[node] + sizes[node]])]

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

    # ----------------------------------------------------------- other hierarchies

    def cut(self, height: float | None = None, *, n_clusters: int | None = None) -> NDArray[np.intp]:
        """Find the cluster of each class when the tree is cut.

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

    def levels(self, by: str = "height") -> NDArray[np.intp]:
        """Return clusters of the classes, fine to coarse.

        Row 0 separates all classes, the last one none. `from_levels` reads it.

        Parameters
        ----------
        by : {"height", "depth"}, default="height"
            "height": one row for each distinct height of an inner node, the tree cut there.
            "depth": one row for each depth, the deepest first, as in a table of ranks; a class
            less deep stays its own ancestor up to its level.

        Returns
        -------
        levels : ndarray of shape (n_levels, n_classes)
            Numbered by their smallest members.
        """
        if by not in ("height", "depth"):
            raise ValueError(f"by must be 'height' or 'depth', got {by!r}.")
        if by == "depth":
            ancestors = _tree.ancestors_by_depth(self._parents, self.n_classes)
            return np.stack([_tree.number_by_smallest_member(row) for row in ancestors])
        rows = [self.cut(height) for height in np.unique(self._heights[self.n_classes :])]
        return np.stack([np.arange(self.n_classes, dtype=np.intp), *rows])

    def restrict(self, classes: ArrayLike) -> ClassHierarchy:
        """Return the hierarchy of some of its classes.

        Heights and all distances stay the same: the root is kept, and nodes without a
        class below them are removed.

        Parameters
        ----------
        classes : array-like of class labels
            Classes to keep; the result has them in this order.

        Returns
        -------
        hierarchy : ClassHierarchy
            Another one; this stays as it is.
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
            ),
            origin=self._origin,
        )

    def with_origin(self, origin: str) -> ClassHierarchy:
        """Return the same tree, made of something else.

        Parameters
        ----------
        origin : {"given", "features", "mixed"}

        Returns
        -------
        hierarchy : ClassHierarchy
            An equal one.
        """
        return ClassHierarchy(self._classes, self._parents, self._heights, self._node_names, origin=origin)

    def relabel(self, labels: Mapping | ArrayLike) -> ClassHierarchy:
        """Return the same tree over other labels, such as names instead of numbers.

        Parameters
        ----------
        labels : mapping from each class to its new label, or array-like of shape (n_classes,)
            Distinct new labels; an array is in the order of `classes`.

        Returns
        -------
        hierarchy : ClassHierarchy
            Its classes are sorted.
        """
        if isinstance(labels, Mapping):
            missing = [label for label in self._classes.tolist() if label not in labels]
            if missing:
                raise ValueError(f"Classes without a new label: {shorten(missing)}.")
            labels = [labels[label] for label in self._classes.tolist()]
        new = as_label_array(labels)  # type: ignore[arg-type]
        if len(new) != self.n_classes:
            raise ValueError(f"{self.n_classes} classes, but {len(new)} new labels.")
        names = [*new.tolist(), *self._node_names[self.n_classes :]]
        tree = ClassHierarchy(new, self._parents, self._heights, names, origin=self._origin)
        return tree.restrict(as_label_array(sorted_labels(new.tolist())))

    def permute(
        self, random_state: int | np.random.RandomState | np.random.Generator | None = None
    ) -> ClassHierarchy:
        """Return the same tree with its classes shuffled: a control that keeps only its shape.

        Parameters
        ----------
        random_state : int, RandomState, Generator or None, default=None

        Returns
        -------
        hierarchy : ClassHierarchy
            Another one; this stays as it is.
        """
        if not isinstance(random_state, (np.random.RandomState, np.random.Generator)):
            random_state = np.random.RandomState(random_state)
        order = random_state.permutation(self.n_classes)
        names = [*self._classes[order].tolist(), *self._node_names[self.n_classes :]]
        shuffled = ClassHierarchy(self._classes[order], self._parents, self._heights, names)
        return shuffled.restrict(self._classes)

    def with_stem(self, stem: float) -> ClassHierarchy:
        """Return the same tree, in which different classes are at least a stem apart.

        ``D_H' = stem + (1 - stem) D_H`` for different classes, still an ultrametric: all nodes but
        the leaves move up. With 0 the hierarchy stays as it is, with 1 it is flat in its distances.

        Parameters
        ----------
        stem : float in [0, 1]

        Returns
        -------
        hierarchy : ClassHierarchy
            Another one; this stays as it is.
        """
        if not isinstance(stem, Real) or not 0 <= stem <= 1:
            raise ValueError(f"stem must be in [0, 1], got {stem!r}.")
        if stem == 0:
            return self
        heights = np.minimum(stem * self.height + (1 - stem) * self._heights, self.height)
        heights[: self.n_classes], heights[-1] = 0, self.height
        return ClassHierarchy(self._classes, self._parents, heights, self._node_names, origin=self._origin)

    # --------------------------------------------------------------------- inside

    def _checked_proba(self, proba: ArrayLike) -> NDArray[np.float64]:
        proba = np.asarray(proba, dtype=np.float64)
        if proba.ndim != 2 or proba.shape[1] != self.n_classes:
            raise ValueError(f"proba must have {self.n_classes} columns, one a class, got {proba.shape}.")
        return proba

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


def check_min_probability(value: Any) -> None:
    """Raise a ValueError unless `value` is above 0.5 and at most 1: nodes that hold it are then nested."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0.5 < float(value) <= 1:
        raise ValueError(f"min_probability must be above 0.5 and at most 1, got {value!r}.")
