"""How a `ClassHierarchy` is read: its ``from_...`` methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from numpy.typing import ArrayLike

from sklearn_hierret.hierarchy import (
    _json,
    _linkage_matrix,
    _ncbi,
    _nested,
    _networkx,
    _newick,
    _outline,
    _parent_child,
    _tables,
)
from sklearn_hierret.hierarchy._nodes import Nodes, as_label_array, retyped
from sklearn_hierret.hierarchy._sources import is_int, read_names


class TreeReaders:
    """Makers of a class with the constructor of `ClassHierarchy`."""

    if TYPE_CHECKING:

        def __init__(
            self, classes: Any, parents: Any, heights: Any = None, node_names: Any = None, *, origin: str = ""
        ) -> None: ...

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
        source : path, text file object, iterable of (parent, child) pairs or DataFrame
            A DataFrame, of pandas or polars, has two columns.
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
        id_type: type | None = None,
        names: Any = None,
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
        id_type : type, optional
            Type of the class labels. Default: that of the nodes.
        names : mapping from id to name, path or text file object, optional
            As in `from_parent_child`.
        """
        edges = _networkx.edges_from_networkx(graph, is_a)
        heights = dict(graph.nodes(data=height)) if height is not None else {}
        nodes = _parent_child.nodes_from_edges(
            edges, classes, multiple_parents, multiple_roots, heights=heights
        )
        return cls(*_named(nodes, id_type, names))

    @classmethod
    def from_outline(
        cls, source: Any, *, id_type: type | None = None, multiple_roots: str = "error", names: Any = None
    ) -> Self:
        """From an indented outline: one name per line, with its children indented further below it.

        Parameters
        ----------
        source : path, text file object, or text of several lines
        id_type : type, optional
            Type of the class labels. Default: int if every class is one, else str.
        multiple_roots : {"error", "join"}, default="error"
            "join" puts a new root above several lines without indentation.
        names : mapping from id to name, path or text file object, optional
            As in `from_parent_child`.

        Raises
        ------
        ValueError
            For an indentation that fits no line above, a class that occurs twice, several
            roots; file and line are named.
        """
        return cls(*_named(_outline.nodes_from_outline(source, id_type, multiple_roots), id_type, names))

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
        nodes, origin = _json.nodes_from_json(source)
        return cls(*nodes, origin=origin)

    @classmethod
    def from_frame(cls, frame: Any, *, id_type: type | None = None, names: Any = None) -> Self:
        """Read a DataFrame with one row a class, columns from coarse to fine.

        The last column holds the class labels. Equal labels below different parents are
        different nodes; a missing value, or a blank text, leaves that level out.

        Parameters
        ----------
        frame : DataFrame of pandas or polars, or Table of Arrow
            One row for each class; more rows of a class are the same.
        id_type : type, optional
            Type of the class labels. Default: that of the column.
        names : mapping from id to name, path or text file object, optional
            As in `from_parent_child`.

        Returns
        -------
        hierarchy : ClassHierarchy
            Its classes are the last column.

        Raises
        ------
        ValueError
            For classes below several paths (all of them are named, with their rows), and a missing class.
        """
        return cls(*_named(_tables.nodes_from_frame(frame), id_type, names))

    @classmethod
    def from_newick(
        cls, text: Any, *, ignore_lengths: bool = False, id_type: type | None = None, names: Any = None
    ) -> Self:
        """From a tree in Newick notation, ``((dog,cat)mammal,trout)animal;``.

        Parameters
        ----------
        text : path, text file object or str
            The file, or the text. Of a NEXUS file, its one tree.
        ignore_lengths : bool, default=False
            Take no notice of the lengths of edges, such as negative ones of neighbour joining.
        id_type : type, optional
            Type of the class labels. Default: str.
        names : mapping from id to name, path or text file object, optional
            As in `from_parent_child`.

        Notes
        -----
        If every edge has a length, a node's height is its greatest distance to a leaf;
        otherwise the longest path in edges. '_' outside of quotes stays what it is; some programs make a
        blank of it, so `to_newick` quotes such names. Comments in brackets are passed over.
        """
        return cls(*_named(_newick.nodes_from_newick(text, ignore_lengths), id_type, names))

    @classmethod
    def from_csv(
        cls,
        source: Any,
        columns: Sequence[str] | None = None,
        *,
        sep: str = ",",
        id_type: type | None = None,
        names: Any = None,
    ) -> Self:
        """Read a text table with a header and one row a class, columns from coarse to fine.

        Parameters
        ----------
        source : path or text file object
        columns : sequence of str, optional
            Names of the columns, from coarse to fine; the last one holds the classes. Default: all of them.
        sep : str, default=","
            What divides columns.
        id_type : type, optional
            Type of the class labels. Default: int if every class is one, else str.
        names : mapping from id to name, path or text file object, optional
            As in `from_parent_child`.

        Returns
        -------
        hierarchy : ClassHierarchy
            As of `from_frame`; empty cells leave their level out.
        """
        nodes = _tables.nodes_from_csv(source, columns, sep)
        if id_type is None and all(is_int(label) for label in nodes.classes.tolist()):
            id_type = int
        return cls(*_named(nodes, id_type, names))

    @classmethod
    def from_nested(
        cls, source: Any, *, multiple_parents: str = "error", id_type: type | None = None, names: Any = None
    ) -> Self:
        """From nested mappings, or JSON of them: ``{"name": "animal", "children": [{"name": "dog"}]}``.

        Parameters
        ----------
        source : mapping, list, path, text file object or str
            Nodes have a name and children. The keys may be "LabelName" and "Subcategory", as those of Open
            Images are; "id", "label" or "title" instead of "name"; or names are keys themselves:
            ``{"animal": {"dog": {}, "cat": {}}}``, ``{"animal": ["dog", "cat"]}``. A list has a root put
            above it.
        multiple_parents : {"error", "tree"}, default="error"
            What to do where a class occurs several times: see `from_parent_child`.
        id_type : type, optional
            Type of the class labels. Default: that of the names.
        names : mapping from id to name, path or text file object, optional
            As in `from_parent_child`.

        Returns
        -------
        hierarchy : ClassHierarchy
            Its classes are the nodes without children.
        """
        return cls(*_named(_nested.nodes_from_nested(source, multiple_parents), id_type, names))

    @classmethod
    def from_ncbi(cls, nodes: Any, names: Any = None, *, classes: ArrayLike | None = None) -> Self:
        """From the taxonomy of NCBI, ``nodes.dmp`` and ``names.dmp``.

        Parameters
        ----------
        nodes : path or text file object
            Taxa and their parents.
        names : path or text file object, optional
            Scientific names become `node_names`.
        classes : array-like of int, optional
            The taxa that are classes, by number; only they and their ancestors are kept. Default: all taxa
            without children, which are millions.

        Returns
        -------
        hierarchy : ClassHierarchy
            Its classes are numbers of taxa.
        """
        return cls(*_ncbi.nodes_from_ncbi(nodes, names, classes))


def _named(nodes: Nodes, id_type: type | None, names: Any) -> Nodes:
    """Give the classes a type, and the nodes names."""
    is_int = nodes.classes.dtype.kind in "iu"
    if names is None:
        return retyped(nodes, id_type, {})
    of_names = read_names(names, id_type or (int if is_int else str))
    return retyped(nodes, int if id_type is None and is_int else id_type, of_names)
