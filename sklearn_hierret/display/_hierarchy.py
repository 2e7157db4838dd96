"""Drawing a hierarchy of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.display._figure import name_of, new_axes, size_in_inches
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.hierarchy import ClassHierarchy

#: More classes than this are drawn on a circle, where their names have room.
MOST_IN_ROWS = 60
_GREY = (0.55, 0.55, 0.55, 1.0)


class HierarchyDisplay:
    """Picture of a class hierarchy.

    Make one with `from_estimator` or `from_hierarchy`.

    Parameters
    ----------
    hierarchy : ClassHierarchy
    class_names : mapping or sequence, optional
        Names to draw by class label; default, and where one is missing: the labels.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    text_ : list of matplotlib Text
        The class names.

    Examples
    --------
    >>> from sklearn_hierret import ClassHierarchy, HierarchyDisplay
    >>> tree = ClassHierarchy.from_newick("((dog,cat)mammal,trout)animal;")
    >>> display = HierarchyDisplay.from_hierarchy(tree)
    >>> [text.get_text() for text in display.text_]
    ['cat', 'dog', 'trout']
    """

    def __init__(self, hierarchy: ClassHierarchy, *, class_names: Mapping | None = None) -> None:
        self.hierarchy = hierarchy
        self.class_names = class_names

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, class_names: Mapping | None = None, ax: Any = None, **plot_params: Any
    ) -> HierarchyDisplay:
        """Draw the hierarchy of a fitted builder or retriever, or of a Pipeline ending in one.

        Parameters
        ----------
        estimator : object with ``hierarchy_``
        class_names : mapping from class label to str, optional
        ax : matplotlib Axes, optional
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : HierarchyDisplay
        """
        model = retriever_of(estimator)[0]
        if not hasattr(model, "hierarchy_"):
            raise TypeError(f"{type(model).__name__} has no hierarchy_: is it fitted?")
        return cls.from_hierarchy(model.hierarchy_, class_names=class_names, ax=ax, **plot_params)

    @classmethod
    def from_hierarchy(
        cls,
        hierarchy: ClassHierarchy,
        *,
        class_names: Mapping | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> HierarchyDisplay:
        """Draw a hierarchy.

        Parameters
        ----------
        hierarchy : ClassHierarchy
        class_names : mapping from class label to str, optional
        ax : matplotlib Axes, optional
        **plot_params
            Passed to `plot`.

        Returns
        -------
        display : HierarchyDisplay
        """
        if not isinstance(hierarchy, ClassHierarchy):
            raise TypeError(f"A ClassHierarchy can be drawn, not a {type(hierarchy).__name__}.")
        return cls(hierarchy, class_names=class_names).plot(ax, **plot_params)

    def plot(
        self,
        ax: Any = None,
        *,
        layout: str = "auto",
        n_clusters: int = 20,
        max_characters: int = 28,
        highlight: ArrayLike | None = None,
    ) -> HierarchyDisplay:
        """Draw the tree.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure, large enough for the names.
        layout : {"auto", "rows", "circle"}, default="auto"
            Classes in rows with the root at the left, or on a circle with the root in
            its middle; "auto" takes the circle for more than 60 classes.
        n_clusters : int, default=20
            Colours: at most this many clusters of several classes are told apart.
        max_characters : int, default=28
            Longer names are shortened.
        highlight : array-like of class labels, optional
            The ways of these classes to their lowest common ancestor are drawn in bold, and
            its height is noted above.

        Returns
        -------
        display : HierarchyDisplay
        """
        if layout not in ("auto", "rows", "circle"):
            raise ValueError(f"layout must be 'auto', 'rows' or 'circle', got {layout!r}.")
        tree = self.hierarchy
        on_circle = layout == "circle" or (layout == "auto" and tree.n_classes > MOST_IN_ROWS)
        names = [_shorten(name_of(c, self.class_names), max_characters) for c in tree.classes.tolist()]
        longest = max(len(name) for name in names)
        if on_circle:
            side = max(5.0, 0.043 * tree.n_classes + 0.16 * longest)
            ax = new_axes(ax, side, side)
        else:
            ax = new_axes(ax, 4.5 + 0.085 * longest, max(1.6, 0.24 * tree.n_classes + 0.7))
        position = tree_positions(tree)
        colors = cluster_colors(tree, n_clusters)
        bold, lca = ([], None) if highlight is None else _ways_to_lca(tree, highlight)
        draw = _draw_circle if on_circle else _draw_rows
        self.text_, place = draw(ax, tree, position, colors, names, bold)
        if lca is not None:
            x, y = place(lca)
            ax.plot(x, y, "o", color="black", markersize=5, zorder=3)
            leaves = [node for node in bold if node < tree.n_classes]
            for leaf in leaves:
                self.text_[leaf].set(fontweight="bold", color="black")
            ax.set_title(
                f"LCA of {', '.join(names[leaf] for leaf in leaves)}: "
                f"height {tree.heights[lca]:g} of {tree.height:g}",
                fontsize=10,
                parse_math=False,
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def tree_positions(tree: ClassHierarchy) -> NDArray[np.float64]:
    """Position of each node across the tree: leaves 0, 1, ..., parents amid their children."""
    position = np.empty(tree.n_nodes)
    position[tree.leaf_order] = np.arange(tree.n_classes)
    low, high = np.full(tree.n_nodes, np.inf), np.full(tree.n_nodes, -np.inf)
    for node, above in enumerate(tree.parents.tolist()):
        if node >= tree.n_classes:
            position[node] = (low[node] + high[node]) / 2
        low[above] = min(low[above], position[node])
        high[above] = max(high[above], position[node])
    return position


def cluster_colors(tree: ClassHierarchy, n_clusters: int) -> list[tuple]:
    """Colour of each node: that of the coloured cluster it is in, else grey.

    The clusters are subtrees of several classes: from the root on, the largest is split
    as long as there are at most `n_clusters` of them.
    """
    import matplotlib

    children: list[list[int]] = [[] for _ in range(tree.n_nodes)]
    sizes = [1] * tree.n_classes + [0] * (tree.n_nodes - tree.n_classes)
    for node, above in enumerate(tree.parents[:-1].tolist()):
        sizes[above] += sizes[node]
        children[above].append(node)
    clusters = [tree.root]
    while clusters:
        largest = max(clusters, key=sizes.__getitem__)
        parts = [child for child in children[largest] if sizes[child] > 1]
        if not parts or len(clusters) - 1 + len(parts) > n_clusters:
            break
        clusters.remove(largest)
        clusters += parts
    position = tree_positions(tree)
    clusters = sorted((c for c in clusters if c != tree.root), key=position.__getitem__)
    palette = matplotlib.colormaps["tab10" if len(clusters) <= 10 else "tab20"]
    colors = [_GREY] * tree.n_nodes
    for i, cluster in enumerate(clusters):
        colors[cluster] = palette(i % palette.N)
    for node in range(tree.n_nodes - 2, -1, -1):  # parents first
        if colors[node] == _GREY:
            colors[node] = colors[tree.parents[node]]
    return colors


def _ways_to_lca(tree: ClassHierarchy, labels: ArrayLike) -> tuple[list[int], int]:
    """Return the nodes on the ways of some classes to their LCA, and the LCA."""
    leaves = np.unique(tree.index(labels)).tolist()
    if len(leaves) < 2:
        raise ValueError("highlight needs at least two classes.")
    lca = int(np.max(tree.lca(tree.classes[leaves[0]], tree.classes[leaves[1:]])))
    ways = set()
    for node in leaves:
        above = node
        while above != lca:
            ways.add(above)
            above = int(tree.parents[above])
    return sorted(ways), lca


def _add_lines(ax: Any, lines: list[NDArray], colors: list, width: float, bold: list[int]) -> None:
    """Return a line a node; those of bold nodes above the others."""
    from matplotlib.collections import LineCollection

    ax.add_collection(LineCollection(lines, colors=colors[:-1], linewidths=width, capstyle="round"))
    if bold:
        chosen = [lines[node] for node in bold]
        ax.add_collection(LineCollection(chosen, colors="black", linewidths=2.5, capstyle="round"))


def _segments(tree: ClassHierarchy, position: NDArray) -> list[tuple[int, NDArray, NDArray]]:
    """(node, heights, positions) of the way of each node to its parent: up, then across."""
    ways = []
    for node, above in enumerate(tree.parents[:-1].tolist()):
        up = np.array([tree.heights[node], tree.heights[above], tree.heights[above]])
        ways.append((node, up, np.array([position[node], position[node], position[above]])))
    return ways


def _draw_rows(
    ax: Any, tree: ClassHierarchy, position: NDArray, colors: list, names: list[str], bold: list[int]
) -> tuple[list, Callable[[int], tuple[float, float]]]:
    from matplotlib.ticker import MaxNLocator

    lines = [np.column_stack([up, across]) for _, up, across in _segments(tree, position)]
    _add_lines(ax, lines, colors, 1.4, bold)
    ax.set_xlim(tree.height * 1.02 or 1.0, 0)
    ax.set_ylim(tree.n_classes - 0.4, -0.6)
    fontsize = float(np.clip(size_in_inches(ax)[1] / tree.n_classes * 72 * 0.75, 4, 10))
    texts = [
        ax.annotate(
            name,
            (0, position[leaf]),
            xytext=(4, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=fontsize,
            color=_readable(colors[leaf]),
            parse_math=False,
            annotation_clip=False,
        )
        for leaf, name in enumerate(names)
    ]
    ax.set_yticks([])
    if np.all(tree.heights == np.round(tree.heights)):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("height")
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)
    return texts, lambda node: (tree.heights[node], position[node])


def _draw_circle(
    ax: Any, tree: ClassHierarchy, position: NDArray, colors: list, names: list[str], bold: list[int]
) -> tuple[list, Callable[[int], tuple[float, float]]]:
    # A gap at the top separates the first class from the last.
    turn = 2 * np.pi / (tree.n_classes + 2)
    lines = []
    for _, up, across in _segments(tree, position):
        radius = 1 - up / (tree.height or 1.0)
        n_points = 2 + int(abs(across[2] - across[1]) * turn / 0.03)
        arc = np.linspace(across[1], across[2], n_points)
        radii = np.concatenate([radius[:1], np.full(n_points, radius[1])])
        angle = np.pi / 2 - (np.concatenate([across[:1], arc]) + 1.5) * turn
        lines.append(np.column_stack([radii * np.cos(angle), radii * np.sin(angle)]))
    _add_lines(ax, lines, colors, 1.0, bold)
    ax.set_aspect("equal")
    ax.axis("off")
    # Names run outwards: leave room for the longest one.
    inches = min(size_in_inches(ax))
    fontsize = float(np.clip(inches * 0.66 / 2 * turn * 72 * 0.85, 3, 9))
    room = max(len(name) for name in names) * fontsize * 0.54 / 72
    outer = 1 / max(0.3, 1 - 2 * room / inches)
    ax.set_xlim(-outer, outer)
    ax.set_ylim(-outer, outer)
    texts = []
    for leaf, name in enumerate(names):
        angle = np.pi / 2 - (position[leaf] + 1.5) * turn
        is_left = np.cos(angle) < 0
        texts.append(
            ax.text(
                1.015 * np.cos(angle),
                1.015 * np.sin(angle),
                name,
                rotation=np.degrees(angle) + (180 if is_left else 0),
                rotation_mode="anchor",
                ha="right" if is_left else "left",
                va="center",
                fontsize=fontsize,
                color=_readable(colors[leaf]),
                parse_math=False,
            )
        )

    def place(node: int) -> tuple[float, float]:
        radius = 1 - tree.heights[node] / (tree.height or 1.0)
        angle = np.pi / 2 - (position[node] + 1.5) * turn
        return radius * np.cos(angle), radius * np.sin(angle)

    return texts, place


def _readable(color: tuple) -> tuple:
    """Return the colour, darker: thin letters need more contrast than lines."""
    if color == _GREY:
        return (0.25, 0.25, 0.25)
    return tuple(0.6 * channel for channel in color[:3])


def _shorten(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"
