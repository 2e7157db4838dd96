"""From a fitted estimator to ranked labels, and from those to the values of metrics."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_hierret._arrays import rows_of, without_own
from sklearn_hierret._groups import Groups
from sklearn_hierret.metrics import (
    METRICS,
    Ranking,
    count_relevant,
    labels_of_queries,
    query_chunks,
    ranks_needed,
    scores_of,
)


class Search:
    """Queries with labels, and the estimator that will rank a gallery for them.

    Parameters
    ----------
    estimator : retriever, scikit-learn neighbours estimator, or Pipeline ending with one
    X, y : array-like
        The queries and their labels.
    gallery : {"fit", "query"}
    ties : {"index", "average"}
    groups : array-like of shape (n_queries,), or mapping from a column to one, optional
        A query does not find samples of its group. With gallery "fit" the column of the gallery's metadata
        that holds the groups there, and the queries' groups.
    gallery_groups : array-like of shape (n_gallery,), optional
        In place of such a column.
    """

    def __init__(
        self,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        gallery: str,
        ties: str = "index",
        groups: Any = None,
        gallery_groups: ArrayLike | None = None,
    ) -> None:
        check_gallery(gallery)
        model, self._X = retriever_of(estimator, X)
        self.y_query = labels_of_queries(self._X, y)
        self.exclude_query = gallery == "query"
        self._ties = ties
        if self.exclude_query:
            self.y_gallery = self.y_query
            if hasattr(model, "with_gallery"):
                # Labels of the gallery would be those of the queries.
                model = model.with_gallery(self._X, self.y_query, gallery_leaves="predicted")
            elif hasattr(model, "set_gallery"):
                model = copy.copy(model).set_gallery(self._X, self.y_query)
            elif hasattr(model, "kneighbors"):  # scikit-learn's: fitting is setting the gallery
                model = clone(model).fit(self._X, self.y_query)
            else:
                raise TypeError(f"{type(model).__name__} has neither set_gallery nor kneighbors.")
        else:
            labels = getattr(model, "gallery_labels_", None)
            if labels is None:
                raise ValueError(
                    f"gallery='fit' needs a gallery with labels, and {type(model).__name__} has none; "
                    "set one with set_gallery(X, y) or use gallery='query'."
                )
            self.y_gallery = labels
        #: What ranks; with gallery "query" a copy, and parameters that may be set after fit may be set.
        self.model = model
        self.n_relevant = count_relevant(self.y_query, self.y_gallery) - int(self.exclude_query)
        #: Length of a whole ranking.
        self.n_ranked = len(self.y_gallery) - int(self.exclude_query)
        self._groups = None if groups is None else self._checked_groups(groups, gallery_groups)
        if self._groups is not None:
            if ties == "average":
                raise ValueError("groups and ties='average' do not go together.")
            self.n_relevant = _n_relevant(self._groups, self.y_query, self.y_gallery)
            self.n_ranked = len(self.y_gallery) - self._groups.largest

    def scores(self, names: list[str], ks: list[int], params: dict) -> dict[str, NDArray[np.float64]]:
        """(n_queries, n_ks) values of each metric; (n_queries, 1) of those without k."""
        if isinstance(params.get("hierarchy"), str):  # "fitted"
            hierarchy = getattr(self.model, "hierarchy_", None)
            if hierarchy is None:
                raise ValueError("hierarchy='fitted' needs an estimator with a hierarchy_.")
            params = {**params, "hierarchy": hierarchy}
        if self._ties == "average" and getattr(self.model, "alpha", 0.0) == np.inf:
            raise ValueError(
                "With alpha=inf distances are those of leaves alone, and do not tell what is tied; "
                "alpha=1e6 ranks alike."
            )
        groups = self._groups
        if groups is None:
            return scores_of(self.rankings(ranks_needed(names, ks, self.n_relevant)), names, ks, params)
        self._check_depth(max(ks, default=1))
        queries: list[NDArray[np.intp]] = []

        def rankings() -> Iterator[Ranking]:
            for positions, ranking in self._rankings_of_others(names, ks, groups):
                queries.append(positions)
                yield ranking

        results = scores_of(rankings(), names, ks, params)
        order = np.argsort(np.concatenate(queries))
        return {name: values[order] for name, values in results.items()}

    def _check_depth(self, k: int) -> None:
        if k > self.n_ranked:
            apart = "" if self._groups is None else f", {self._groups.largest} of the largest group left out"
            raise ValueError(
                f"k={k} is larger than the gallery, which holds {self.n_ranked} items for a query{apart}."
            )

    def _checked_groups(self, groups: Any, gallery_groups: ArrayLike | None) -> Groups:
        """Find the groups of queries and gallery."""
        if gallery_groups is not None:
            return self._groups_of(groups, gallery_groups)
        if self.exclude_query:
            if isinstance(groups, Mapping):
                raise TypeError("With gallery='query' groups are those of the queries, not of a column.")
            return self._groups_of(groups, groups)
        model = self.model
        while hasattr(model, "retriever_"):  # a step around it
            model = model.retriever_
        if isinstance(groups, Mapping) and len(groups) == 1 and hasattr(model, "searcher"):
            [(name, of_queries)] = groups.items()
            of_gallery = model.searcher().gallery.columns([name])[name]
            return self._groups_of(of_queries, of_gallery)
        raise TypeError(
            "With gallery='fit' groups must map a column of the gallery's metadata to the groups of the "
            "queries, as in groups={'series': values}, for a retriever of this package."
        )

    def rankings(self, k: int) -> Iterator[Ranking]:
        """Rankings of k items, for as many queries at a time as memory allows."""
        self._check_depth(k)
        for rows, distances, neighbours in self._neighbours(k):
            yield Ranking(
                self.y_query[rows],
                self.y_gallery[neighbours],
                self.n_relevant[rows],
                self.y_gallery,
                self.exclude_query,
                distances if self._ties == "average" else None,
            )

    def _groups_of(self, of_queries: ArrayLike, of_gallery: ArrayLike) -> Groups:
        """Check groups: each query has one."""
        queries, gallery = (pd.Series(values, dtype=object).to_numpy() for values in (of_queries, of_gallery))
        if len(queries) != len(self.y_query):
            raise ValueError(f"{len(self.y_query)} queries, but {len(queries)} groups.")
        if pd.isna(queries).any():
            raise ValueError("Some groups are missing (NaN or None): give such samples groups of their own.")
        return Groups.of(queries, gallery)

    def _rankings_of_others(
        self, names: list[str], ks: list[int], groups: Groups
    ) -> Iterator[tuple[NDArray[np.intp], Ranking]]:
        """Yield queries and rankings without their groups, one group at a time if the gallery has to tell."""
        metrics, n_gallery = [METRICS[name] for name in names], len(self.y_gallery)
        one_by_one = any(metric.takes_hierarchy or metric.depth == "R" for metric in metrics)
        # Whole lists of relevant items differ in length from query to query.
        k = ranks_needed(names, ks, self.n_relevant)
        depth = min(k + groups.largest, n_gallery - int(self.exclude_query))
        for rows in query_chunks(len(self.y_query), depth):
            neighbours = self._kneighbors(rows, depth)[1]
            order = np.argsort(groups.some(rows).is_same(neighbours), axis=1, kind="stable")
            ranked = self.y_gallery[np.take_along_axis(neighbours, order, axis=1)]
            positions = np.arange(len(self.y_query))[rows]
            of_queries = groups.of_queries[rows] if one_by_one else np.zeros(len(positions), dtype=np.intp)
            for group in np.unique(of_queries):
                chosen = of_queries == group
                at, others = positions[chosen], self.y_gallery
                if one_by_one and group >= 0:
                    others = self.y_gallery[groups.of_gallery != group]
                n = ranks_needed(names, ks, self.n_relevant[at])
                yield (
                    at,
                    Ranking(self.y_query[at], ranked[chosen, :n], self.n_relevant[at], others, False, None),
                )

    def _neighbours(self, k: int) -> Iterator[tuple[slice, NDArray, NDArray[np.intp]]]:
        """Yield queries, distances, indices; with averaged ties those of all groups that k touches."""
        first = min(k + 1, self.n_ranked) if self._ties == "average" else k
        left = [(rows, first) for rows in query_chunks(len(self.y_query), first)][::-1]
        while left:
            rows, depth = left.pop()
            distances, neighbours = self._kneighbors(rows, depth)
            # The group at rank k is known to end where a larger distance follows.
            is_whole = distances[:, -1] > distances[:, k - 1]
            if self._ties == "index" or depth == self.n_ranked or is_whole.all():
                yield rows, distances, neighbours
                continue
            # Deeper, and fewer queries at a time.
            depth = min(2 * depth, self.n_ranked)
            parts = query_chunks(rows.stop - rows.start, depth)
            left += [(slice(rows.start + p.start, rows.start + p.stop), depth) for p in parts][::-1]

    def _kneighbors(self, rows: slice, k: int) -> tuple[NDArray, NDArray[np.intp]]:
        n_queries = len(self.y_query)
        if not self.exclude_query:
            return self._ask(rows_of(self._X, rows, n_queries), k)
        if rows == slice(0, n_queries):
            return self._ask(None, k)
        # One more than needed; then without the query, or without the last.
        distances, neighbours = self._ask(rows_of(self._X, rows, n_queries), k + 1)
        return without_own(np.arange(n_queries)[rows], distances, neighbours)

    def _ask(self, X: Any, k: int) -> tuple[NDArray, NDArray[np.intp]]:
        """Neighbours, at distances that rounding does not tie where ties count."""
        if self._ties == "average" and hasattr(self.model, "exact_neighbors"):
            return self.model.exact_neighbors(X, k)
        return self.model.kneighbors(X, n_neighbors=k)


def retriever_of(estimator: Any, X: ArrayLike | None = None) -> tuple[Any, Any]:
    """Unwrap pipelines and searches: return the retriever, and the features it sees.

    Parameters
    ----------
    estimator : fitted retriever, Pipeline or search (`GridSearchCV`)
    X : array-like, optional
        Input of `estimator`.
    """
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        elif isinstance(estimator, Pipeline):
            if X is not None and len(estimator) > 1:
                X = estimator[:-1].transform(X)
            estimator = estimator[-1]
        else:
            return estimator, X


def _n_relevant(groups: Groups, y_query: NDArray, y_gallery: NDArray) -> NDArray[np.intp]:
    """Count the gallery samples with each query's label that are not of its group."""
    labels, of_gallery = np.unique(y_gallery, return_inverse=True)
    of_queries = pd.Index(labels).get_indexer(y_query)
    n_groups = int(groups.of_gallery.max(initial=-1)) + 1
    together = pd.Series(of_gallery * (n_groups + 1) + groups.of_gallery).value_counts()
    counts = np.append(np.bincount(of_gallery, minlength=len(labels)), 0)[of_queries]
    own = together.reindex(of_queries * (n_groups + 1) + groups.of_queries, fill_value=0).to_numpy()
    return counts - np.where((groups.of_queries >= 0) & (of_queries >= 0), own, 0)


def check_gallery(gallery: str) -> None:
    if gallery not in ("fit", "query"):
        raise ValueError(f"gallery must be 'fit' or 'query', got {gallery!r}.")
