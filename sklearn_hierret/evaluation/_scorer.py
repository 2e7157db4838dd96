"""Scoring retrieval estimators: for `GridSearchCV`, and as a table."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn import get_config
from sklearn.utils.metadata_routing import UNCHANGED, MetadataRequest

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret._frames import tabular
from sklearn_hierret._sklearn import check_sample_weight
from sklearn_hierret.evaluation._search import Search, check_gallery
from sklearn_hierret.metrics import METRICS, check_empty, check_metric, mean_over_queries


def make_retrieval_scorer(
    metric: str = "map",
    k: int | None = 10,
    gallery: str = "query",
    *,
    empty: str = "skip",
    ties: str = "index",
    macro: bool = False,
    **metric_params: Any,
) -> RetrievalScorer:
    """Make a scorer of retrieval, for `GridSearchCV`, `cross_val_score` and by hand.

    Parameters
    ----------
    metric : str, default="map"
        The mean over the queries of the metric of that name; see the table below.
    k : int or None, default=10
        Results that count; None: the whole ranking.
    gallery : {"query", "fit"}, default="query"
        "query": the scored samples query each other, leave-one-out, as in the
        papers; the estimator's own gallery stays as it is. "fit": the scored samples query the
        estimator's gallery (its training set, unless replaced), as its method `score` does. Scoring the
        training samples this way is meaningless, since each finds itself.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries that have no relevant item.
    ties : {"index", "average"}, default="index"
        "index": results at equal distances count in the order of the gallery, as they are
        returned. "average": the expected score over all their orders; use it where many results tie,
        as with Hamming distances. Not for "asi" and "neg_mistake_severity".
    macro : bool, default=False
        Mean over the classes of the means over their queries, so that rare classes count as much as others.
    **metric_params
        Passed to the metric, as the table says. ``hierarchy`` is the truth about the classes: a
        `ClassHierarchy`, `ClassGraph` or `CombinedHierarchy`; or "fitted" for the one that
        did the ranking, which flatters it.

    Returns
    -------
    scorer : callable(estimator, X, y, sample_weight=None, groups=None) -> float
        Takes a retriever, a scikit-learn neighbours estimator, or a `Pipeline` that ends
        with one, fitted; greater is better. Weights are those of the queries in the mean; no query finds
        samples of its group, see `evaluate_retrieval`. With metadata
        routing enabled, ``scorer.set_score_request(sample_weight=True, groups=True)`` asks `GridSearchCV` and
        `cross_validate` for them. It can be pickled.

    Notes
    -----
    ======================  ==========================================  =================================
    metric                  function                                    parameters
    ======================  ==========================================  =================================
    "map"                   `average_precision_at_k`                    denominator
    "precision"             `precision_at_k`
    "recall"                `recall_at_k`                               kind
    "reciprocal_rank"       `reciprocal_rank_at_k`
    "r_precision"           `r_precision` (k is not used)
    "map_at_r"              `average_precision_at_r` (k is not used)
    "hp"                    `hierarchical_precision_at_k`               hierarchy, similarity
    "ahp"                   `average_hierarchical_precision_at_k`       the same and integration
    "ndcg"                  `ndcg_at_k`                                 hierarchy, similarity, gain,
                                                                        discount, average
    "hap"                   `hierarchical_average_precision`            hierarchy, similarity, denominator
    "asi"                   `average_set_intersection_at_k`             hierarchy, similarity
    "hap_at_r", "asi_at_r"  those at R, the query's relevant items      the same; denominator is "min"
                            (k is not used)
    "neg_mistake_severity"  `mistake_severity_at_k`, times -1           hierarchy, normalize
    ======================  ==========================================  =================================

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
    return RetrievalScorer(metric, k, gallery, empty, ties, macro, metric_params)


class RetrievalScorer:
    """What `make_retrieval_scorer` returns: a callable(estimator, X, y, sample_weight, groups) -> float."""

    def __init__(
        self,
        metric: str,
        k: int | None,
        gallery: str,
        empty: str,
        ties: str,
        macro: bool,
        metric_params: dict,
    ) -> None:
        check_metric(metric, metric_params, ties)
        if metric == "mistake_severity":
            raise ValueError("Scorers are maximised: use metric='neg_mistake_severity'.")
        check_gallery(gallery)
        check_empty(empty)
        if k is not None:
            check_positive_integer(k, "k")
        self.metric = metric
        self.k = k
        self.gallery = gallery
        self.empty = empty
        self.ties = ties
        self.macro = macro
        self.metric_params = metric_params
        self._metadata_request = MetadataRequest(owner=type(self).__name__)
        for name in ("sample_weight", "groups"):
            self._metadata_request.score.add_request(param=name, alias=None)

    def __call__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        groups: Any = None,
    ) -> float:
        search = self.search(estimator, X, y, groups)
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, search.y_query)
            if sample_weight.min() < 0 or not sample_weight.any():
                raise ValueError("sample_weight must not be negative, nor zero everywhere.")
        return self.mean(scores_of_queries([self], search)[0], search.y_query, sample_weight)

    def set_score_request(
        self, *, sample_weight: bool | str | None = UNCHANGED, groups: bool | str | None = UNCHANGED
    ) -> RetrievalScorer:
        """Say which metadata the scorer wants; it has an effect with metadata routing only.

        Parameters
        ----------
        sample_weight, groups : bool, str or None
            True to be given them, False not to, None to raise an error if there are any; a text is the
            name under which they are passed. Default: as it was.

        Returns
        -------
        self : RetrievalScorer

        Raises
        ------
        RuntimeError
            If metadata routing is not enabled: ``sklearn.set_config(enable_metadata_routing=True)``.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_score_request needs metadata routing: sklearn.set_config(enable_metadata_routing=True)."
            )
        for name, alias in (("sample_weight", sample_weight), ("groups", groups)):
            if alias != UNCHANGED:
                self._metadata_request.score.add_request(param=name, alias=alias)
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what the scorer asks for, as scikit-learn's metadata routing wants to know it."""
        return copy.deepcopy(self._metadata_request)

    def mean(
        self, scores: NDArray[np.float64], y_query: NDArray, sample_weight: NDArray | None = None
    ) -> float:
        """Mean over queries, or over classes."""
        return mean_over_queries(scores, self.empty, y_query if self.macro else None, sample_weight)

    def search(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        groups: Any = None,
        gallery_groups: ArrayLike | None = None,
    ) -> Search:
        """Return the rankings that are scored."""
        return Search(estimator, X, y, self.gallery, self.ties, groups, gallery_groups)

    def shares_search(self, other: RetrievalScorer) -> bool:
        """Whether both can score one search, in one go."""
        members, its = ((s.gallery, s.ties, s.metric_params) for s in (self, other))
        return members == its

    def __repr__(self) -> str:
        shared = {"empty": (self.empty, "skip"), "ties": (self.ties, "index"), "macro": (self.macro, False)}
        given = {name: value for name, (value, default) in shared.items() if value != default}
        params = "".join(f", {name}={value!r}" for name, value in {**given, **self.metric_params}.items())
        return f"make_retrieval_scorer({self.metric!r}, k={self.k}, gallery={self.gallery!r}{params})"


def scores_of_queries(scorers: Sequence[RetrievalScorer], search: Search) -> list[NDArray[np.float64]]:
    """Compute the metric of each scorer for each query, from one search; NaN where nothing is relevant."""
    depths = [search.n_ranked if scorer.k is None else scorer.k for scorer in scorers]
    ks = sorted(set(depths))
    names = list(dict.fromkeys(scorer.metric for scorer in scorers))
    results = search.scores(names, ks, scorers[0].metric_params)
    return [
        results[scorer.metric][:, ks.index(k) if METRICS[scorer.metric].depth == "k" else 0]
        for scorer, k in zip(scorers, depths, strict=True)
    ]


@tabular
def evaluate_retrieval(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    ks: int | Iterable[int | None] | None = (1, 5, 10, 20, 50, 100),
    metrics: str | Iterable[str] = ("map",),
    gallery: str = "query",
    *,
    empty: str = "skip",
    ties: str = "index",
    macro: bool = False,
    per_query: bool = False,
    groups: Any = None,
    **metric_params: Any,
) -> pd.DataFrame:
    """Compute metrics of a fitted retrieval estimator at several k, from one search.

    Parameters
    ----------
    estimator : retriever, scikit-learn neighbours estimator, or Pipeline ending with one
    X : array-like of shape (n_queries, n_features)
    y : array-like of shape (n_queries,)
    ks : int, None or iterable of them, default=(1, 5, 10, 20, 50, 100)
        Those beyond the gallery are dropped with a warning. None is the whole ranking.
    metrics : str or iterable of str, default=("map",)
        Names as in `make_retrieval_scorer`, and "mistake_severity", where less is better.
    gallery : {"query", "fit"}, default="query"
        See `make_retrieval_scorer`.
    empty : {"skip", "zero", "error"}, default="skip"
        What to do with queries that have no relevant item.
    ties : {"index", "average"}, default="index"
        See `make_retrieval_scorer`.
    macro : bool, default=False
        See `make_retrieval_scorer`.
    per_query : bool, default=False
        One row for each query instead of the mean, for bootstrap intervals and tests;
        NaN for queries without relevant items.
    groups : array-like of shape (n_queries,), or mapping from str to one, optional
        Such as the series of a photograph, its camera or its patient: no query finds samples of its own
        group, and they are not relevant. With ``gallery="fit"``, ``groups={"series": values}`` names the
        column of the gallery's metadata that holds the groups there. The time follows the largest group.
    **metric_params
        Passed to the metrics that take them, see `make_retrieval_scorer`.

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
    names = list(dict.fromkeys([metrics] if isinstance(metrics, str) else metrics))
    wanted: list = [ks] if ks is None or not isinstance(ks, Iterable) else list(ks)
    for name in names:
        check_metric(name, metric_params, ties, is_one_of_many=True)
    check_empty(empty)
    if any(k is not None and (isinstance(k, bool) or not isinstance(k, Integral) or k < 1) for k in wanted):
        raise ValueError(f"ks must be positive integers or None, got {wanted}.")
    if macro and per_query:
        raise ValueError("macro is for means, and per_query=True takes none: group the table by class.")
    search = Search(estimator, X, y, gallery, ties, groups)
    y_of_means = search.y_query if macro else None
    wanted = sorted({search.n_ranked if k is None else int(k) for k in wanted})
    kept = [k for k in wanted if k <= search.n_ranked]
    if len(kept) < len(wanted):
        beyond = [k for k in wanted if k > search.n_ranked]
        warnings.warn(f"ks beyond the gallery of {search.n_ranked} are dropped: {beyond}.", UserWarning, 2)
    scores = search.scores(names, kept, metric_params)
    rows: list[tuple] = []
    for name, columns in scores.items():
        for k, column in zip(kept if METRICS[name].depth == "k" else [None], columns.T, strict=True):
            if per_query:
                rows += [(name, k, i, score) for i, score in enumerate(column.tolist())]
            else:
                rows.append((name, k, mean_over_queries(column, empty, y_of_means)))
    names_of_columns = ["metric", "k", "query", "score"] if per_query else ["metric", "k", "score"]
    return pd.DataFrame(rows, columns=names_of_columns).astype({"k": "Int64"})
