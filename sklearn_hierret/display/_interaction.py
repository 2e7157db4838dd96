"""Pictures of a conversation: facets of a query's results, and scores round by round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_hierret._frames import as_frame
from sklearn_hierret.display._curves import _MARKERS
from sklearn_hierret.display._figure import name_of, new_axes
from sklearn_hierret.display._retrieval import draw_image
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.interaction import facets


class FacetDisplay:
    """A row of images for each facet of a query's results, with the node's name.

    Make one with `from_estimator`.

    Parameters
    ----------
    table : DataFrame
        What `facets` gives for one query.
    gallery_images : ndarray of shape (n_gallery, height, width[, 3])
    query_image : ndarray of shape (height, width[, 3]), optional
    class_names : mapping from class label to str, optional

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import FacetDisplay, HierarchicalRetriever
    >>> digits = load_digits()
    >>> retriever = HierarchicalRetriever().fit(digits.data[:900], digits.target[:900])
    >>> display = FacetDisplay.from_estimator(
    ...     retriever, digits.data[901:902], gallery_images=digits.images[:900], n_facets=3
    ... )
    >>> len(display.table) <= 3
    True
    """

    def __init__(
        self,
        table: pd.DataFrame,
        gallery_images: ArrayLike,
        *,
        query_image: ArrayLike | None = None,
        class_names: Mapping | None = None,
    ) -> None:
        self.table = as_frame(table)
        self.gallery_images = gallery_images
        self.query_image = query_image
        self.class_names = class_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        gallery_images: ArrayLike,
        query_image: ArrayLike | None = None,
        n_neighbors: int = 100,
        n_facets: int = 6,
        n_examples: int = 6,
        class_names: Mapping | None = None,
        ax: Any = None,
        cmap: str = "gray",
    ) -> FacetDisplay:
        """Search, group the results, and draw.

        Parameters
        ----------
        estimator : HierarchicalRetriever or Pipeline
        X : array-like of shape (1, n_features)
        gallery_images : array-like of shape (n_gallery, height, width[, 3])
            In the order of the gallery.
        query_image : array-like of shape (height, width[, 3]), optional
        n_neighbors, n_facets, n_examples
            See `facets`.
        class_names : mapping from class label to str, optional
        ax : matplotlib Axes, optional
        cmap : str, default="gray"
            Colour map of images without colour channels; "gray_r" for ink on white whose numbers are ink.

        Returns
        -------
        display : FacetDisplay
        """
        table = facets(estimator, X, n_neighbors, n_facets=n_facets, n_examples=n_examples)
        tree = retriever_of(estimator, X)[0].searcher().leaves.tree
        titles = dict(zip(tree.node_names, tree.node_titles(class_names), strict=True))
        table["title"] = [titles[node] for node in table["node"]]
        if table["query"].nunique() > 1:
            raise ValueError("The facets of one query are drawn: pass one row of features.")
        images = np.asarray(gallery_images)
        if max(positions.max() for positions in table["positions"]) >= len(images):
            raise ValueError(f"{len(images)} gallery_images for a larger gallery.")
        return cls(table, images, query_image=query_image, class_names=class_names).plot(ax, cmap=cmap)

    def plot(self, ax: Any = None, *, cmap: str = "gray") -> FacetDisplay:
        """Draw the rows, the facet of the nearest result first.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.
        cmap : str, default="gray"
            Colour map of images without colour channels.

        Returns
        -------
        display : FacetDisplay
        """
        images = np.asarray(self.gallery_images)
        n_rows, width = len(self.table), max(len(positions) for positions in self.table["positions"])
        left = 0.0 if self.query_image is None else 1.5
        ax = new_axes(ax, (left + 2.4 + 1.1 * width) * 0.8, max(1, n_rows) * 0.9 + 0.2)
        if self.query_image is not None:
            draw_image(ax, np.asarray(self.query_image), 0.0, 0.0, cmap)
            ax.text(0.5, 1.05, "query", ha="center", va="bottom", fontsize=8)
        for i, row in enumerate(self.table.itertuples()):
            y = -1.12 * i
            name = name_of(row.node, self.class_names)
            name = row.title if name == str(row.node) else name
            name = name if len(name) < 26 else name[:25] + "\N{HORIZONTAL ELLIPSIS}"
            ax.text(left, y + 0.6, name, fontsize=9, va="center", parse_math=False)
            ax.text(left, y + 0.25, f"{row.n_results} results", fontsize=8, va="center", color="0.4")
            for j, position in enumerate(row.positions):
                draw_image(ax, images[position], left + 2.4 + 1.1 * j, y, cmap)
        ax.set_xlim(-0.1, left + 2.4 + 1.1 * width)
        ax.set_ylim(-1.12 * (n_rows - 1) - 0.1, 1.3)
        ax.set_aspect("equal")
        ax.axis("off")
        self.ax_, self.figure_ = ax, ax.figure
        return self


class InteractionDisplay:
    """Scores of relevance feedback against the round.

    Parameters
    ----------
    table : DataFrame
        What `evaluate_interaction` gives, of either kind.
    metric : {"ahp", "map", "precision"}, default="ahp"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict from method to matplotlib Line2D

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_hierret import InteractionDisplay
    >>> rows = [("Rocchio", 0, 1, 10, 0.5), ("Rocchio", 1, 1, 10, 0.7)]
    >>> table = pd.DataFrame(rows, columns=["method", "round", "level", "n_queries", "ahp"])
    >>> InteractionDisplay(table).plot().lines_["Rocchio"].get_ydata().tolist()
    [0.5, 0.7]
    """

    def __init__(self, table: pd.DataFrame, *, metric: str = "ahp") -> None:
        self.table = as_frame(table)
        self.metric = metric

    def plot(self, ax: Any = None, *, level: int | None = None, **line_params: Any) -> InteractionDisplay:
        """Draw a line for each method.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.
        level : int, optional
            Objectives so many edges above the class only; default: all.
        **line_params
            Passed to `Axes.plot`.

        Returns
        -------
        display : InteractionDisplay
        """
        names = {"ahp": "AHP@100", "map": "mAP@100", "precision": "precision@10"}
        if self.metric not in names or self.metric not in self.table:
            raise ValueError(f"The table has no {self.metric!r}; metric is 'ahp', 'map' or 'precision'.")
        table = self.table if level is None else self.table[self.table["level"] == level]
        table = table.dropna(subset=[self.metric])
        if table.empty:
            raise ValueError(f"No objective is {level} edges above its class.")
        weights = table["n_queries"] if "n_queries" in table else pd.Series(1, index=table.index)
        table = table.assign(weight=weights, total=weights * table[self.metric])
        sums = table.groupby(["method", "round"], sort=False)[["weight", "total"]].sum()
        means = sums["total"] / sums["weight"]
        ax = new_axes(ax, 6.4, 4.0)
        self.lines_ = {}
        for i, method in enumerate(table["method"].unique()):
            line = means[method].sort_index()
            style = {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 4.5, "linewidth": 1.6}
            x, y = line.index.to_numpy(), line.to_numpy()
            (self.lines_[method],) = ax.plot(x, y, label=method, **{**style, **line_params})
        ax.set_xticks(sorted(table["round"].unique()))
        ax.set_xlabel("round of marks")
        ax.set_ylabel(names[self.metric])
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=9)
        self.ax_, self.figure_ = ax, ax.figure
        return self
