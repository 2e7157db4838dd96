"""How a `ClassHierarchy` is written: its ``to_...`` methods."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._frames import tabular
from sklearn_hierret.hierarchy import (
    _json,
    _linkage_matrix,
    _networkx,
    _newick,
    _outline,
    _parent_child,
    _tables,
)


class TreeWriters:
    """Writers of a class with the attributes of `ClassHierarchy`."""

    if TYPE_CHECKING:

        @property
        def classes(self) -> NDArray: ...
        @property
        def parents(self) -> NDArray[np.intp]: ...
        @property
        def heights(self) -> NDArray[np.float64]: ...
        @property
        def node_names(self) -> tuple[Hashable, ...]: ...
        @property
        def origin(self) -> str: ...
        @cached_property
        def _intervals(
            self,
        ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]: ...

    def to_linkage(self) -> NDArray[np.float64]:
        """Make a SciPy linkage matrix; several children merge in turn.

        Returns
        -------
        linkage : ndarray of shape (n_classes - 1, 4)
            As `scipy.cluster.hierarchy.linkage` returns it.
        """
        order, _, _, neighbour_lca = self._intervals
        return _linkage_matrix.linkage_from_merges(order, self.heights[neighbour_lca])

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

    def to_networkx(self) -> Any:
        """Make a networkx DiGraph of the node names, edges from parent to child, with heights.

        Returns
        -------
        graph : networkx.DiGraph
            A node for each node of the tree.
        """
        return _networkx.networkx_from_nodes(self.parents, self.heights, self.node_names)

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
        return _json.json_from_nodes(
            self.classes, self.parents, self.heights, self.node_names, self.origin, path
        )

    @tabular
    def to_frame(self) -> Any:
        """Make a DataFrame with one row a class, columns from coarse to fine, without the root.

        Returns
        -------
        frame : DataFrame
            The last column holds the class labels.
        """
        return _tables.frame_from_nodes(self.parents, self.node_names, self.classes)

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
