"""One request: where to search, by which weight, which page of the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer
from sklearn_hierret._groups import Groups
from sklearn_hierret.retrieval._metadata import column_values
from sklearn_hierret.retrieval._searcher import Result, Searcher
from sklearn_hierret.retrieval._tables import table_of

#: Neighbours that a search by radius begins with, and how many times more the next one takes.
FIRST, FACTOR = 64, 4


@dataclass(frozen=True)
class Request:
    """What is asked for beside the queries; see `HierarchicalRetriever.kneighbors`.

    Attributes
    ----------
    n_neighbors : int or None
    within : array-like, mapping or None
    where : str or None
    alpha : float or None
    offset : int
    not_same : str, mapping or None
    """

    n_neighbors: int | None = None
    within: ArrayLike | Mapping | None = None
    where: str | None = None
    alpha: float | None = None
    offset: int = 0
    not_same: str | Mapping[str, ArrayLike] | None = None

    def weighed(self, searcher: Searcher) -> Searcher:
        """Return what searches by the weight of this request."""
        if self.alpha is None:
            return searcher
        if not isinstance(self.alpha, Real) or isinstance(self.alpha, bool) or not self.alpha >= 0:
            raise ValueError(f"alpha must be a number from 0 to infinity, got {self.alpha!r}.")
        if self.alpha and searcher.leaf_model is None:
            raise ValueError("alpha needs leaves, and this retriever was fitted without labels or hierarchy.")
        options = replace(searcher.options, alpha=float(self.alpha), alpha_is_chosen=False)
        return replace(searcher, options=options)

    def size(self, searcher: Searcher, own: Groups | None, *, of_gallery: bool) -> int | None:
        """Return how many neighbours have to be found, with those before the page and those left out.

        With an offset the last page may be shorter, and one beyond the gallery is empty.
        """
        n_candidates = len(searcher.gallery) - of_gallery
        if not isinstance(self.offset, Integral) or isinstance(self.offset, bool) or self.offset < 0:
            raise ValueError(f"offset must be an integer from 0 on, got {self.offset!r}.")
        if not self.offset and own is None:
            return self.n_neighbors
        k = searcher.options.n_neighbors if self.n_neighbors is None else self.n_neighbors
        check_positive_integer(k, "n_neighbors")
        found = min(int(self.offset + k + (0 if own is None else own.largest)), n_candidates)
        return max(1, found) if self.offset else max(k, found)

    def answer(
        self,
        searcher: Searcher,
        X: NDArray | None,
        positions: NDArray[np.intp] | None = None,
        with_leaves: bool = False,
    ) -> Result:
        """Search for rows, for all gallery samples, or for those at some positions."""
        how = self.how(with_leaves)
        if X is None:
            own = self.own_groups(searcher, slice(None) if positions is None else positions, None)
            k = self.size(searcher, own, of_gallery=True)
            if positions is None:
                result = searcher.neighbors(None, k, **how)
            else:
                result = searcher.of_samples(positions, k, **how)
        else:
            own = self.own_groups(searcher, None, len(X))
            result = searcher.neighbors(X, self.size(searcher, own, of_gallery=False), **how)
        return self.page(searcher, result, own)

    def how(self, with_leaves: bool) -> dict[str, Any]:
        """Return the options of `Searcher.neighbors` that this request sets."""
        return {"within": self.within, "where": self.where, "with_leaves": with_leaves}

    def own_groups(
        self, searcher: Searcher, positions: NDArray[np.intp] | slice | None, n_queries: int | None
    ) -> Groups | None:
        """Find the groups of the gallery and of queries, if some are left out."""
        if self.not_same is None:
            return None
        if isinstance(self.not_same, str):
            if positions is None:
                raise ValueError(
                    f"not_same={self.not_same!r} names a column of the gallery: pass "
                    f"not_same={{{self.not_same!r}: values}} with the values of the queries."
                )
            values = searcher.gallery.columns([self.not_same])[self.not_same]
            return Groups.of(values[positions], values, f"Values of {self.not_same!r}")
        if not isinstance(self.not_same, Mapping) or len(self.not_same) != 1:
            raise TypeError(
                "not_same must be the name of a column, or a mapping from one to the queries' values."
            )
        [(name, given)] = self.not_same.items()
        wanted = column_values(pd.Series(given))
        if n_queries is None:
            raise ValueError(f"Queries of the gallery have their own values: pass not_same={name!r}.")
        if len(wanted) != n_queries:
            raise ValueError(f"{n_queries} queries, but {len(wanted)} values of {name!r}.")
        values = searcher.gallery.columns([name])[name]
        return Groups.of(wanted, values, f"Values of {name!r}")

    def page(self, searcher: Searcher, result: Result, own: Groups | None) -> Result:
        """Leave out what is of the query's group, and what is before the page."""
        first = self.offset
        distances, indices, is_copy = result.distances, result.indices, result.is_copy
        last: int | None = None
        if own is not None:
            is_other = (indices >= 0) & ~own.is_same(indices)
            order = np.argsort(~is_other, axis=1, kind="stable")
            is_other = np.take_along_axis(is_other, order, axis=1)
            distances = np.where(is_other, np.take_along_axis(distances, order, axis=1), np.inf)
            indices = np.where(is_other, np.take_along_axis(indices, order, axis=1), -1)
            is_copy = is_other & np.take_along_axis(is_copy, order, axis=1)
            last = first + (searcher.options.n_neighbors if self.n_neighbors is None else self.n_neighbors)
        page = slice(first, last)
        return result._replace(
            distances=distances[:, page], indices=indices[:, page], is_copy=is_copy[:, page]
        )

    def table(
        self,
        searcher: Searcher,
        X: NDArray | None,
        positions: NDArray[np.intp] | None = None,
        columns: Sequence[str] = (),
    ) -> tuple[pd.DataFrame, Result | None]:
        """Return neighbours as a table, and for rows the result that it was made of."""
        has_leaves, more = searcher.leaf_model is not None, searcher.gallery.columns(columns)
        if X is not None:
            result = self.answer(searcher, X, with_leaves=has_leaves)
            return table_of(searcher, result, self.offset, more), result
        wanted = np.arange(len(searcher.gallery)) if positions is None else positions
        own, tables = self.own_groups(searcher, wanted, None), []
        k = self.size(searcher, own, of_gallery=True)
        for half, of_half in searcher.halves:
            place = np.flatnonzero(np.isin(wanted, of_half))
            if len(place):
                result = half.neighbors(None, k, positions=wanted[place], **self.how(has_leaves))
                page = self.page(searcher, result, None if own is None else own.some(place))
                table = table_of(half, page, self.offset, more)
                tables.append(table.assign(query=place[table["query"].to_numpy()]))
        if not tables:  # an empty gallery, which is an error
            self.answer(searcher, None)
        table = tables[0] if len(tables) == 1 else pd.concat(tables)
        return table.sort_values(["query", "rank"], kind="stable", ignore_index=True), None


def within_radius(
    searcher: Searcher, X: NDArray | None, radius: float, request: Request
) -> Iterator[tuple[NDArray, NDArray[np.intp]]]:
    """Find all neighbours up to some distance, query by query: distances, rising, and positions.

    The number of neighbours that are searched for grows until the last one is farther away, so that the time
    follows what is found.
    """
    if not isinstance(radius, Real) or isinstance(radius, bool) or not radius >= 0:
        raise ValueError(f"radius must be a number from 0 on, got {radius!r}.")
    n_queries = len(searcher.gallery) if X is None else len(X)
    n_candidates = len(searcher.gallery) - (X is None)
    found: list[tuple[NDArray, NDArray[np.intp]]] = [(np.empty(0), np.empty(0, dtype=np.intp))] * n_queries
    pending, k = np.arange(n_queries), min(FIRST, n_candidates)
    while len(pending) and k:
        asked = replace(request, n_neighbors=k, offset=0)
        result = asked.answer(searcher, None, pending) if X is None else asked.answer(searcher, X[pending])
        distances = searcher.rounded(result.distances)
        is_near = (distances <= radius) & (result.indices >= 0)
        is_open = is_near[:, -1] & (k < n_candidates)
        for i in np.flatnonzero(~is_open).tolist():
            found[pending[i]] = distances[i, is_near[i]], result.indices[i, is_near[i]]
        pending, k = pending[is_open], min(FACTOR * k, n_candidates)
    yield from found
