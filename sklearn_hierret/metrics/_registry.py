"""The metrics by their names, computed from the same rankings for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.metrics._curves import (
    DENOMINATORS,
    DISCOUNTS,
    INTEGRATIONS,
    average_hierarchical_precision_curve,
    average_precision_curve,
    average_set_intersection_curve,
    found_share_curve,
    hierarchical_average_precision_curve,
    hierarchical_precision_curve,
    ndcg_curve,
    precision_curve,
    recall_curve,
    reciprocal_rank_curve,
)
from sklearn_hierret.metrics._hierarchical import GAINS, check_truth, gains_of, mistake_severities
from sklearn_hierret.metrics._judged import Binary, Graded, Ranked
from sklearn_hierret.metrics._ranking import RECALLS, at_r

TIES = ("index", "average")


class Ranking(NamedTuple):
    """Labels that were retrieved for some queries, and what metrics need to judge them."""

    y_query: NDArray
    y_retrieved: NDArray
    n_relevant: NDArray[np.intp]
    y_gallery: NDArray
    exclude_query: bool
    #: Only where ties are averaged.
    distances: NDArray | None


class Judge:
    """Some queries' rankings, judged once for all metrics."""

    def __init__(self, ranking: Ranking, k: int, hierarchy: Any, similarities: NDArray | None) -> None:
        self.ranking, self.k, self.hierarchy, self._similarities = ranking, k, hierarchy, similarities

    @cached_property
    def binary(self) -> Binary:
        return self._binary(self.k)

    @cached_property
    def whole(self) -> Binary:
        return self._binary(None)

    @cached_property
    def graded(self) -> Graded:
        return self.gains("linear")

    @cached_property
    def ranked(self) -> Ranked:
        return Ranked(self.ranking.y_query, self.ranking.y_retrieved, self.k, None)

    @cached_property
    def whole_graded(self) -> Graded:
        return self.gains("linear", self.ranking.y_retrieved.shape[1])

    def gains(self, gain: Any, k: int | None = None) -> Graded:
        r = self.ranking
        table = gains_of(self._similarities, gain)  # type: ignore[arg-type]
        return Graded(
            r.y_query,
            r.y_retrieved,
            k or self.k,
            self.hierarchy,
            table,
            r.y_gallery,
            r.exclude_query,
            r.distances,
        )

    def _binary(self, k: int | None) -> Binary:
        r = self.ranking
        return Binary(r.y_query, r.y_retrieved, k, r.n_relevant, r.distances)


class Metric(NamedTuple):
    #: (judge, **params) -> values at 1, 2, ... k; or one a query, where `depth` is "R".
    values: Callable[..., NDArray]
    params: tuple[str, ...] = ()
    #: "k", or "R" for metrics that look at as many ranks as the query has relevant items.
    depth: str = "k"
    takes_ties: bool = True

    @property
    def takes_hierarchy(self) -> bool:
        return "hierarchy" in self.params


def _severity(judge: Judge, **params: Any) -> NDArray:
    return mistake_severities(judge.ranked, judge.hierarchy, **params)


_TREE = ("hierarchy", "similarity")
METRICS = {
    "map": Metric(lambda j, **p: average_precision_curve(j.binary, **p), ("denominator",)),
    "precision": Metric(lambda j: precision_curve(j.binary)),
    "recall": Metric(
        lambda j, kind="any": recall_curve(j.binary) if kind == "any" else found_share_curve(j.binary),
        ("kind",),
    ),
    "reciprocal_rank": Metric(lambda j: reciprocal_rank_curve(j.binary), takes_ties=False),
    "r_precision": Metric(lambda j: at_r(j.whole, precision_curve(j.whole)), depth="R"),
    "map_at_r": Metric(lambda j: at_r(j.whole, average_precision_curve(j.whole, "relevant")), depth="R"),
    "hp": Metric(lambda j: hierarchical_precision_curve(j.graded), _TREE),
    "ahp": Metric(
        lambda j, **p: average_hierarchical_precision_curve(j.graded, **p), (*_TREE, "integration")
    ),
    "ndcg": Metric(
        lambda j, gain="linear", **p: ndcg_curve(j.graded if gain == "linear" else j.gains(gain), **p),
        (*_TREE, "gain", "discount", "average"),
    ),
    "hap": Metric(
        lambda j, **p: hierarchical_average_precision_curve(j.graded, **p), (*_TREE, "denominator")
    ),
    "asi": Metric(lambda j: average_set_intersection_curve(j.graded), _TREE, takes_ties=False),
    "hap_at_r": Metric(
        lambda j, denominator="min": at_r(
            j.whole, hierarchical_average_precision_curve(j.whole_graded, denominator)
        ),
        (*_TREE, "denominator"),
        depth="R",
    ),
    "asi_at_r": Metric(
        lambda j: at_r(j.whole, average_set_intersection_curve(j.whole_graded)), _TREE, "R", takes_ties=False
    ),
    "mistake_severity": Metric(_severity, ("hierarchy", "normalize"), takes_ties=False),
    "neg_mistake_severity": Metric(
        lambda j, **p: -_severity(j, **p), ("hierarchy", "normalize"), takes_ties=False
    ),
}


def ranks_needed(names: list[str], ks: list[int], n_relevant: NDArray[np.intp]) -> int:
    """Length of the rankings that these metrics look at."""
    k = max(ks, default=1)
    return max(int(n_relevant.max()), k) if any(METRICS[name].depth == "R" for name in names) else k


def scores_of(
    rankings: Iterable[Ranking], names: list[str], ks: list[int], params: dict
) -> dict[str, NDArray[np.float64]]:
    """(n_queries, n_ks) values of each metric; (n_queries, 1) of those without k.

    The rankings have the length that `ranks_needed` says.
    """
    hierarchy, similarities = params.get("hierarchy"), None
    if any(METRICS[name].takes_hierarchy for name in names):
        similarities = hierarchy.similarity_matrix(params.get("similarity", "lca"))  # type: ignore[union-attr]
    k = max(ks, default=1)
    columns = np.array(ks, dtype=np.intp) - 1
    results: dict[str, list] = {name: [] for name in names}
    for ranking in rankings:
        judge = Judge(ranking, k, hierarchy, similarities)
        for name in names:
            metric = METRICS[name]
            own = {key: v for key, v in params.items() if key in metric.params and key not in _TREE}
            values = metric.values(judge, **own)
            results[name].append(values[:, columns] if metric.depth == "k" else values[:, None])
    return {name: np.concatenate(parts) for name, parts in results.items()}


_CHOICES: dict[str, Any] = {
    "kind": RECALLS,
    "denominator": DENOMINATORS,
    "similarity": ("lca", "wup", "levels"),
    "integration": INTEGRATIONS,
    "gain": tuple(GAINS),
    "discount": tuple(DISCOUNTS),
}


def check_metric(name: str, params: dict, ties: str, is_one_of_many: bool = False) -> None:
    if name not in METRICS:
        raise ValueError(f"metric must be one of {sorted(METRICS)}, got {name!r}.")
    if ties not in TIES:
        raise ValueError(f"ties must be one of {TIES}, got {ties!r}.")
    metric = METRICS[name]
    if ties == "average" and not metric.takes_ties:
        raise ValueError(f"Metric {name!r} has no average over tied orders: use ties='index'.")
    known = {p for m in METRICS.values() for p in m.params} if is_one_of_many else set(metric.params)
    unknown = [key for key in params if key not in known]
    if unknown:
        raise TypeError(f"Metric {name!r} takes no parameter {unknown[0]!r}.")
    for key, allowed in _CHOICES.items():
        value = params.get(key, allowed[0])
        if value not in allowed and not (key in ("gain", "discount") and callable(value)):
            raise ValueError(f"{key} must be one of {allowed}, got {value!r}.")
    hierarchy = params.get("hierarchy")
    if hierarchy is not None and not (isinstance(hierarchy, str) and hierarchy == "fitted"):
        check_truth(hierarchy)
    if name in ("hap", "hap_at_r") and params.get("denominator", "min") not in ("relevant", "min"):
        raise ValueError(
            f"denominator of {name!r} must be 'relevant' or 'min', got {params['denominator']!r}."
        )
    if metric.takes_hierarchy and hierarchy is None:
        raise ValueError(f"Metric {name!r} needs hierarchy=, the ClassHierarchy that tells what is similar.")
