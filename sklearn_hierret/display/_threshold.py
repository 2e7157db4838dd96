"""The shapes that a hierarchy takes at other thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from sklearn_hierret._frames import as_frame
from sklearn_hierret.display._figure import new_axes

#: Levels that get a line of their own.
MOST_LEVELS = 6


class ThresholdPathDisplay:
    """Clusters at each level against the threshold t.

    Make one with `from_estimator`.

    Parameters
    ----------
    path : DataFrame
        Result of `HierarchyBuilder.threshold_path`.
    threshold : float, optional
        Marked in the picture.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict from level to matplotlib Line2D

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import HierarchyBuilder, ThresholdPathDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> display = ThresholdPathDisplay.from_estimator(HierarchyBuilder().fit(X, y))
    >>> display.ax_.get_xlabel()
    'threshold t'
    """

    def __init__(self, path: pd.DataFrame, *, threshold: float | None = None) -> None:
        self.path = as_frame(path)
        self.threshold = threshold

    @classmethod
    def from_estimator(
        cls, builder: Any, thresholds: ArrayLike | None = None, *, ax: Any = None
    ) -> ThresholdPathDisplay:
        """Draw the path of a fitted builder.

        Parameters
        ----------
        builder : HierarchyBuilder
        thresholds : array-like, optional
            See `HierarchyBuilder.threshold_path`. Default: where the first level changes, 50 at most.
        ax : matplotlib Axes, optional

        Returns
        -------
        display : ThresholdPathDisplay
        """
        if thresholds is None:
            thresholds = _telling_thresholds(builder.overlap_)
        return cls(builder.threshold_path(thresholds), threshold=builder.threshold).plot(ax)

    def plot(self, ax: Any = None) -> ThresholdPathDisplay:
        """Draw it.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure.

        Returns
        -------
        display : ThresholdPathDisplay
        """
        ax = new_axes(ax, 7.2, 4.2)
        path = self.path
        # The root is no level of merging, unless everything merged at once.
        last = path.groupby("threshold")["level"].transform("max")
        table = path[(path["level"] < last) | (last == 1)].pivot(
            index="threshold", columns="level", values="n_clusters"
        )
        t = table.index.to_numpy()
        shown = list(table.columns[:MOST_LEVELS])
        shades = np.linspace(0.0, 0.75, len(shown))
        self.lines_ = {}
        for level, shade in zip(shown, shades, strict=True):
            (self.lines_[level],) = ax.plot(
                t,
                table[level].to_numpy(dtype=float),
                color=(shade, 0.25 + 0.6 * shade, 0.6),
                marker="o",
                markersize=3,
                linewidth=1.4,
                label=f"clusters of level {level}",
            )
        largest = self.path[self.path["level"] == 1].set_index("threshold")["largest"].reindex(t)
        ax.plot(
            t,
            largest,
            color="tab:red",
            linestyle=":",
            linewidth=1.6,
            label="classes in the\nlargest of level 1",
        )
        if self.threshold is not None and t.min() <= self.threshold <= t.max():
            ax.axvline(self.threshold, color="0.5", linewidth=1)
            ax.annotate(
                f"t = {self.threshold:g}",
                (self.threshold, 1.01),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                color="0.4",
                fontsize=9,
            )
        if t.min() > 0 and t.max() / t.min() > 20:
            ax.set_xscale("log")
        ax.set_xlabel("threshold t")
        ax.set_ylabel("clusters, classes")
        ax.set_ylim(bottom=0)
        ax.grid(alpha=0.3)
        ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _telling_thresholds(overlap: NDArray[np.float64], n: int = 50) -> NDArray[np.float64]:
    """Thresholds at which classes join at the first level."""
    distances = 1.0 - overlap
    np.fill_diagonal(distances, 0.0)
    joins = 1.0 - linkage(squareform(distances, checks=False), method="single")[:, 2]
    joins = np.unique(joins[joins > 1e-12]) * (1 - 1e-12)  # below what was rounded on the way
    if not len(joins):
        raise ValueError("No two classes overlap at all: every threshold gives a flat hierarchy.")
    return joins if len(joins) <= n else np.quantile(joins, np.linspace(0, 1, n), method="nearest")
