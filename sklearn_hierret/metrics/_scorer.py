"""Scoring retrieval estimators: for `GridSearchCV`, and as a table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.metrics import _hierarchical, _ranking
from sklearn_hierret.metrics._retrieved import Ranking, check_gallery, rank_labels


class _Metric(NamedTuple):
    function: Callable
    #: "k", or "R" for metrics that look at as many ranks as the query has relevant items.
    depth: str
    takes_hierarchy: bool


METRICS = {
    "map": _Metric(_ranking.average_precision_at_k, "k", False),
    "precision": _Metric(_ranking.precision_at_k, "k", False),
    "recall": _Metric(_ranking.recall_at_k, "k", False),
    "r_precision": _Metric(_ranking.r_precision, "R", False),
    "map_at_r": _Metric(_ranking.average_precision_at_r, "R", False),
    "hp": _Metric(_hierarchical.hierarchical_precision_at_k, "k", True),
    "ahp": _Metric(_hierarchical.average_hierarchical_precision_at_k, "k", True),
}


def make_retrieval_scorer(
    metric: str = "map", k: int = 10, gallery: str = "fit", *, empty: str = "skip", **metric_params: Any
) -> RetrievalScorer:
    """Make a scorer of retrieval, for `GridSearchCV`, `cross_val_score` and by hand.

    Parameters
    ----------
    metric : {"map", "precision", "recall", "r_precision", "map_at_r", "hp", "ahp"}, \
default="map"
        The mean over the queries of the metric of that name; "hp" and "ahp" need
        ``hierarchy=``. "r_precision" and "map_at_r" do not use `k`.
    k : int, default=10
        Results that count.
    gallery : {"fit", "query"}, default="fit"
        "fit": the scored samples query the estimator's gallery (its training set, unless
        replaced). Scoring the training samples themselves so is meaningless: each finds
        itself. "query": the scored samples query each other, leave-one-out, as in the
        papers; the estimator's own gallery stays as it is.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries that have no relevant item.
    **metric_params
        Passed to the metric: ``denominator``, ``hierarchy``, ``similarity``.

    Returns
    -------
    scorer : callable(estimator, X, y) -> float
        Takes a retriever, a scikit-learn neighbours estimator, or a `Pipeline` that ends
        with one, fitted; greater is better. It can be pickled.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_hierret import HierarchicalRetriever, make_retrieval_scorer
    >>> X, y = load_digits(n_class=5, return_X_y=True)
    >>> search = GridSearchCV(
    ...     HierarchicalRetriever(),
    ...     {"alpha": [0, 1]},
    ...     scoring=make_retrieval_scorer("map", k=20, gallery="query"),
    ...     cv=3,
    ... )
    >>> search.fit(X, y).best_params_
    {'alpha': 1}
    """
    return RetrievalScorer(metric, k, gallery, empty, metric_params)


class RetrievalScorer:
    """What `make_retrieval_scorer` returns: a callable(estimator, X, y) -> float."""

    def __init__(self, metric: str, k: int, gallery: str, empty: str, metric_params: dict) -> None:
        _check_metric(metric, metric_params)
        check_gallery(gallery)
        _ranking.check_empty(empty)
        check_positive_integer(k, "k")
        self.metric = metric
        self.k = k
        self.gallery = gallery
        self.empty = empty
        self.metric_params = metric_params

    def __call__(self, estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
        depth = self.k if METRICS[self.metric].depth == "k" else "R"
        ranking = rank_labels(estimator, X, y, depth, self.gallery)
        scores = _score(self.metric, ranking, self.k, self.metric_params)
        return _ranking.mean_over_queries(scores, self.empty)

    def __repr__(self) -> str:
        given = {**({} if self.empty == "skip" else {"empty": self.empty}), **self.metric_params}
        params = "".join(f", {name}={value!r}" for name, value in given.items())
        return f"make_retrieval_scorer({self.metric!r}, k={self.k}, gallery={self.gallery!r}{params})"


def evaluate_retrieval(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    ks: int | Iterable[int] = (1, 5, 10, 20, 50, 100),
    metrics: str | Iterable[str] = ("map",),
    gallery: str = "query",
    *,
    empty: str = "skip",
    per_query: bool = False,
    **metric_params: Any,
) -> pd.DataFrame:
    """Metrics of a fitted retrieval estimator at several k, from one search.

    Parameters
    ----------
    estimator : retriever, scikit-learn neighbours estimator, or Pipeline ending with one
    X : array-like of shape (n_queries, n_features)
    y : array-like of shape (n_queries,)
    ks : int or iterable of int, default=(1, 5, 10, 20, 50, 100)
        Those beyond the gallery are dropped with a warning.
    metrics : str or iterable of str, default=("map",)
        Names as in `make_retrieval_scorer`.
    gallery : {"query", "fit"}, default="query"
        See `make_retrieval_scorer`.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries that have no relevant item.
    per_query : bool, default=False
        One row for each query instead of the mean, for bootstrap intervals and tests;
        NaN for queries without relevant items.
    **metric_params
        Passed to the metrics that take them: ``denominator``, ``hierarchy``,
        ``similarity``.

    Returns
    -------
    table : DataFrame
        Columns metric, k and score, and query before score with `per_query`; k is
        missing for "r_precision" and "map_at_r".

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import HierarchicalRetriever, evaluate_retrieval
    >>> X, y = load_iris(return_X_y=True)
    >>> table = evaluate_retrieval(HierarchicalRetriever().fit(X, y), X, y, ks=[1, 5])
    >>> table.columns.tolist()
    ['metric', 'k', 'score']
    """
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    wanted = [ks] if isinstance(ks, (int, np.integer)) else sorted(set(ks))
    for name in names:
        _check_metric(name, metric_params, is_one_of_many=True)
    if any(not isinstance(k, (int, np.integer)) or k < 1 for k in wanted):
        raise ValueError(f"ks must be positive integers, got {wanted}.")
    needs_r = any(METRICS[name].depth == "R" for name in names)
    ranking = rank_labels(estimator, X, y, "R" if needs_r else None, gallery, at_least=wanted)
    kept = [k for k in wanted if k <= ranking.n_ranked]
    if len(kept) < len(wanted):
        beyond = [k for k in wanted if k > ranking.n_ranked]
        warnings.warn(f"ks beyond the gallery of {ranking.n_ranked} are dropped: {beyond}.", UserWarning, 2)
    rows: list[tuple] = []
    for name in names:
        for k in kept if METRICS[name].depth == "k" else [None]:
            scores = _score(name, ranking, k, _params_for(name, metric_params))
            if per_query:
                rows += [(name, k, i, score) for i, score in enumerate(scores.tolist())]
            else:
                rows.append((name, k, _ranking.mean_over_queries(scores, empty)))
    columns = ["metric", "k", "query", "score"] if per_query else ["metric", "k", "score"]
    return pd.DataFrame(rows, columns=columns).astype({"k": "Int64"})


def _score(name: str, ranking: Ranking, k: int | None, params: dict) -> NDArray[np.float64]:
    metric = METRICS[name]
    if metric.takes_hierarchy:
        return metric.function(
            ranking.y_query,
            ranking.y_retrieved,
            k=k,
            y_gallery=ranking.y_gallery,
            exclude_query=ranking.exclude_query,
            **params,
        )
    depth = {"k": k} if metric.depth == "k" else {}
    return metric.function(
        ranking.y_query, ranking.y_retrieved, n_relevant=ranking.n_relevant, **depth, **params
    )


_CHOICES = {"denominator": _ranking.DENOMINATORS, "similarity": ("lca", "wup")}
_HIERARCHY_PARAMS = ("hierarchy", "similarity")
_PARAMS = {"map": ("denominator",), "hp": _HIERARCHY_PARAMS, "ahp": _HIERARCHY_PARAMS}


def _params_for(name: str, params: dict) -> dict:
    return {key: value for key, value in params.items() if key in _PARAMS.get(name, ())}


def _check_metric(name: str, params: dict, is_one_of_many: bool = False) -> None:
    if name not in METRICS:
        raise ValueError(f"metric must be one of {sorted(METRICS)}, got {name!r}.")
    known = {p for names in _PARAMS.values() for p in names} if is_one_of_many else _PARAMS.get(name, ())
    unknown = [key for key in params if key not in known]
    if unknown:
        raise TypeError(f"Metric {name!r} takes no parameter {unknown[0]!r}.")
    for key, allowed in _CHOICES.items():
        if params.get(key, allowed[0]) not in allowed:
            raise ValueError(f"{key} must be one of {allowed}, got {params[key]!r}.")
    hierarchy = params.get("hierarchy")
    if hierarchy is not None and not isinstance(hierarchy, ClassHierarchy):
        raise TypeError(f"hierarchy must be a ClassHierarchy, got {type(hierarchy).__name__}.")
    if METRICS[name].takes_hierarchy and hierarchy is None:
        raise ValueError(f"Metric {name!r} needs hierarchy=, the ClassHierarchy that tells what is similar.")
