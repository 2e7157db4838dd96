"""Curves of a metric against k, several methods in one picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from sklearn_hierret._frames import as_frame
from sklearn_hierret.display._figure import new_axes
from sklearn_hierret.evaluation import evaluate_retrieval

_NAMES = {
    "map": "mAP@k",
    "precision": "precision@k",
    "recall": "recall@k",
    "hp": "hierarchical precision@k",
    "ahp": "average hierarchical precision@k",
    "ndcg": "nDCG@k",
    "hap": "H-AP@k",
    "asi": "average set intersection@k",
    "mistake_severity": "mean LCA height of wrong results@k",
}
_MARKERS = "osD^vPX*<>"


class PrecisionCurveDisplay:
    """Show curves of mAP@k, or of another metric, over k.

    Make one with `from_estimator`, `from_estimators` or `from_tables`.

    Parameters
    ----------
    tables : mapping from name to DataFrame
        Results of `evaluate_retrieval` for each method.
    metric : str, default="map"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : dict from name to matplotlib Line2D

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import HierarchicalRetriever, PrecisionCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> retriever = HierarchicalRetriever().fit(X, y)
    >>> display = PrecisionCurveDisplay.from_estimator(retriever, X, y, ks=[1, 10, 40])
    >>> display.ax_.get_ylabel()
    'mAP@k'
    """

    def __init__(self, tables: Mapping[str, pd.DataFrame], *, metric: str = "map") -> None:
        self.tables = {name: as_frame(table) for name, table in tables.items()}
        self.metric = metric

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, y: ArrayLike, *, name: str | None = None, **params: Any
    ) -> PrecisionCurveDisplay:
        """Evaluate one fitted estimator and draw its curve.

        Parameters
        ----------
        estimator, X, y
            See `evaluate_retrieval`.
        name : str, optional
            For the legend; default: the class of the estimator.
        **params
            See `from_estimators`.

        Returns
        -------
        display : PrecisionCurveDisplay
        """
        return cls.from_estimators({name or type(estimator).__name__: estimator}, X, y, **params)

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, Any],
        X: ArrayLike,
        y: ArrayLike,
        *,
        ks: Iterable[int] = (1, 5, 10, 20, 50, 100),
        metric: str = "map",
        gallery: str = "query",
        ax: Any = None,
        **metric_params: Any,
    ) -> PrecisionCurveDisplay:
        """Evaluate several fitted estimators on the same queries and draw their curves.

        Parameters
        ----------
        estimators : mapping from name to fitted estimator
        X, y, ks
            See `evaluate_retrieval`.
        metric : str, default="map"
        gallery
            See `evaluate_retrieval`.
        ax : matplotlib Axes, optional
        **metric_params
            See `evaluate_retrieval`.

        Returns
        -------
        display : PrecisionCurveDisplay
        """
        ks = list(ks)
        tables = {
            name: evaluate_retrieval(estimator, X, y, ks, [metric], gallery, **metric_params)
            for name, estimator in estimators.items()
        }
        return cls.from_tables(tables, metric=metric, ax=ax)

    @classmethod
    def from_tables(
        cls, tables: Mapping[str, pd.DataFrame], *, metric: str = "map", ax: Any = None
    ) -> PrecisionCurveDisplay:
        """Draw results of `evaluate_retrieval`.

        Parameters
        ----------
        tables : mapping from name to DataFrame
        metric : str, default="map"
        ax : matplotlib Axes, optional

        Returns
        -------
        display : PrecisionCurveDisplay
        """
        return cls(tables, metric=metric).plot(ax)

    def plot(self, ax: Any = None, **line_params: Any) -> PrecisionCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Default: a new figure. Curves that are there already stay, and get their place in the legend.
        **line_params
            Passed to `Axes.plot`.

        Returns
        -------
        display : PrecisionCurveDisplay
        """
        ax = new_axes(ax, 7.2, 4.2)
        self.lines_, before = {}, list(ax.get_lines())
        for i, (name, table) in enumerate(self.tables.items(), start=len(before)):
            rows = table[table["metric"] == self.metric].dropna(subset=["k"])
            rows = rows.groupby("k", as_index=False)["score"].mean()  # of queries, if it has them
            if rows.empty:
                raise ValueError(f"The table of {name!r} has no {self.metric!r} at any k.")
            style = {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 4.5, "linewidth": 1.6}
            k, score = rows["k"].to_numpy(dtype=float), rows["score"].to_numpy(dtype=float)
            (self.lines_[name],) = ax.plot(k, score, label=name, **{**style, **line_params})
        lines = [*before, *self.lines_.values()]
        ticks = sorted({float(k) for line in lines for k in line.get_xdata()})
        if len(ticks) > 1 and ticks[-1] / ticks[0] > 20:
            ax.set_xscale("log")
        if len(ticks) <= 10:
            ax.set_xticks(ticks, [f"{k:g}" for k in ticks])
            ax.minorticks_off()
        ax.set_xlabel("k")
        ax.set_ylabel(_NAMES.get(self.metric, self.metric))
        ax.grid(alpha=0.3)
        if len(lines) > 1:  # beside the curves, in the order of their right ends
            ax.legend(
                handles=sorted(lines, key=lambda line: line.get_ydata()[-1], reverse=True),
                loc="center left",
                bbox_to_anchor=(1.01, 0.5),
                frameon=False,
                fontsize=9,
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self
