"""How a `ClassHierarchy` is read and written: its ``from_...`` and ``to_...`` methods."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy import (
    _json,
    _linkage_matrix,
    _networkx,
    _newick,
    _outline,
    _parent_child,
    _tables,
)
from sklearn_hierret.hierarchy._nodes import as_label_array


class TreeFormats:
    """Makers and writers of a class with the constructor and attributes of `ClassHierarchy`."""

    if TYPE_CHECKING:

        def __init__(
            self, classes: Any, parents: Any, heights: Any = None, node_names: Any = None
        ) -> None: ...
        @property
        def classes(self) -> NDArray: ...
        @property
        def parents(self) -> NDArray[np.intp]: ...
        @property
        def heights(self) -> NDArray[np.float64]: ...
        @property
        def node_names(self) -> tuple[Hashable, ...]: ...
        @cached_property
        def _intervals(
            self,
        ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]: ...

    @classmethod
    def flat(cls, classes: ArrayLike) -> Self:
        """Put all classes directly below the root: D_H is 0 or 1.

        Parameters
        ----------
        classes : array-like of class labels
            Distinct ones.

        Returns
        -------
        hierarchy : ClassHierarchy
            Of height 1.
        """
        labels = as_label_array(classes)  # type: ignore[arg-type]
        n_classes = len(labels)
        return cls(labels, [n_classes] * n_classes + [-1], node_names=[*labels.tolist(), "root"])

    @classmethod
    def from_levels(
        cls, levels: ArrayLike, classes: ArrayLike | None = None, heights: ArrayLike | None = None
    ) -> Self:
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
    ) -> Self:
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
        """Make a SciPy linkage matrix; several children merge in turn.

        Returns
        -------
        linkage : ndarray of shape (n_classes - 1, 4)
            As `scipy.cluster.hierarchy.linkage` returns it.
        """
        order, _, _, neighbour_lca = self._intervals
        return _linkage_matrix.linkage_from_merges(order, self.heights[neighbour_lca])

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
        names: Any = None,
    ) -> Self:
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
        names : mapping from id to name, path or text file object, optional
            Names of the ids, an id and a name a line in a file. They become `node_names`;
            the classes keep their ids (see `relabel`).

        Raises
        ------
        ValueError
            For a malformed line (file and line are named), a duplicate edge, a cycle,
            several parents or roots, a class that is no node.
        """
        edges = _parent_child.read_edges(source, is_a, id_type)
        return cls(*_parent_child.nodes_from_edges(edges, classes, multiple_parents, multiple_roots, names))

    def to_parent_child(self, path: Any = None, *, is_a: bool = False) -> list[tuple]:
        """Return the edges as (parent, child) pairs of node names; written to `path` if given.

        Parameters
        ----------
        path : path or None, default=None
            Where it is written as well.
        is_a : bool, default=False
            Write (child, parent) pairs.

        Returns
        -------
        edges : list of tuple
            An edge for each node but the root.
        """
        return _parent_child.pairs_from_nodes(self.parents, self.node_names, path, is_a)

    @classmethod
    def from_networkx(
        cls,
        graph: Any,
        *,
        is_a: bool = False,
        classes: ArrayLike | None = None,
        multiple_parents: str = "error",
        multiple_roots: str = "error",
        height: str | None = "height",
    ) -> Self:
        """From a networkx DiGraph whose edges go from parent to child.

        Parameters
        ----------
        graph : networkx.DiGraph
        is_a : bool, default=False
            The edges go from child to parent.
        classes, multiple_parents, multiple_roots
            As in `from_parent_child`.
        height : str or None, default="height"
            Attribute of the nodes that holds their heights. It counts if all nodes have it.
        """
        edges = _networkx.edges_from_networkx(graph, is_a)
        heights = dict(graph.nodes(data=height)) if height is not None else {}
        return cls(
            *_parent_child.nodes_from_edges(edges, classes, multiple_parents, multiple_roots, heights=heights)
        )

    def to_networkx(self) -> Any:
        """Make a networkx DiGraph of the node names, edges from parent to child, with heights.

        Returns
        -------
        graph : networkx.DiGraph
            A node for each node of the tree.
        """
        return _networkx.networkx_from_nodes(self.parents, self.heights, self.node_names)

    @classmethod
    def from_outline(cls, source: Any, *, id_type: type | None = None, multiple_roots: str = "error") -> Self:
        """From an indented outline: one name per line, with its children indented further below it.

        Parameters
        ----------
        source : path, text file object, or text of several lines
        id_type : type, optional
            Type of the class labels. Default: int if every class is one, else str.
        multiple_roots : {"error", "join"}, default="error"
            "join" puts a new root above several lines without indentation.

        Raises
        ------
        ValueError
            For an indentation that fits no line above, a class that occurs twice, several
            roots; file and line are named.
        """
        return cls(*_outline.nodes_from_outline(source, id_type, multiple_roots))

    def to_outline(self, path: Any = None, *, indent: str = "  ") -> str:
        """Return an indented outline of the node names; written to `path` if given.

        Parameters
        ----------
        path : path or None, default=None
            Where it is written as well.
        indent : str, default="  "
            Of each level.

        Returns
        -------
        text : str
            One name a line.
        """
        return _outline.outline_from_nodes(self.parents, self.node_names, path, indent)

    @classmethod
    def from_json(cls, source: Any) -> Self:
        """Read the JSON of `to_json`.

        Parameters
        ----------
        source : path, text file object or str
            The file, or the text.

        Returns
        -------
        hierarchy : ClassHierarchy
            Equal to the one that was written.
        """
        return cls(*_json.nodes_from_json(source))

    def to_json(self, path: Any = None) -> str:
        """Write JSON text, which keeps labels, heights and names.

        Parameters
        ----------
        path : path or None, default=None
            Where it is written as well.

        Returns
        -------
        text : str
            JSON.
        """
        return _json.json_from_nodes(self.classes, self.parents, self.heights, self.node_names, path)

    @classmethod
    def from_frame(cls, frame: Any) -> Self:
        """Read a DataFrame with one row a class, columns from coarse to fine.

        The last column holds the class labels. Equal labels below different parents are
        different nodes; a missing value leaves that level out.

        Parameters
        ----------
        frame : DataFrame
            One row for each class.

        Returns
        -------
        hierarchy : ClassHierarchy
            Its classes are the last column.
        """
        return cls(*_tables.nodes_from_frame(frame))

    def to_frame(self) -> Any:
        """Make a DataFrame with one row a class, columns from coarse to fine, without the root.

        Returns
        -------
        frame : DataFrame
            The last column holds the class labels.
        """
        return _tables.frame_from_nodes(self.parents, self.node_names, self.classes)

    @classmethod
    def from_newick(cls, text: Any) -> Self:
        """From a tree in Newick notation, ``((dog,cat)mammal,trout)animal;``.

        Parameters
        ----------
        text : str, `pathlib.Path` or text file object
            A str is the text itself, not a path.

        Notes
        -----
        If every edge has a length, a node's height is its greatest distance to a leaf;
        otherwise the longest path in edges.
        """
        return cls(*_newick.nodes_from_newick(text))

    def to_newick(self, path: Any = None) -> str:
        """Write Newick notation with names and edge lengths (differences of height).

        Parameters
        ----------
        path : path or None, default=None
            Where it is written as well.

        Returns
        -------
        text : str
            Newick notation.
        """
        return _newick.newick_from_nodes(self.parents, self.heights, self.node_names, path)
