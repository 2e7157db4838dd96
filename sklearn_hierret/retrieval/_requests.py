"""One request: where to search, by which weight, which page of the results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer
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
    within : array-like or None
    where : str or None
    alpha : float or None
    offset : int
    """

    n_neighbors: int | None = None
    within: ArrayLike | None = None
    where: str | None = None
    alpha: float | None = None
    offset: int = 0

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

    def size(self, searcher: Searcher, n_candidates: int) -> int | None:
        """Return how many neighbours have to be found, those before the offset included.

        With an offset the last page may be shorter, and one beyond the gallery is empty.
        """
        if not isinstance(self.offset, Integral) or isinstance(self.offset, bool) or self.offset < 0:
            raise ValueError(f"offset must be an integer from 0 on, got {self.offset!r}.")
        if not self.offset:
            return self.n_neighbors
        k = searcher.options.n_neighbors if self.n_neighbors is None else self.n_neighbors
        check_positive_integer(k, "n_neighbors")
        return max(1, min(int(self.offset + k), n_candidates))

    def answer(
        self,
        searcher: Searcher,
        X: NDArray | None,
        positions: NDArray[np.intp] | None = None,
        with_leaves: bool = False,
    ) -> Result:
        """Search for rows, for all gallery samples, or for those at some positions."""
        k = self.size(searcher, len(searcher.gallery) - (X is None))
        how: dict[str, Any] = {"within": self.within, "where": self.where, "with_leaves": with_leaves}
        if positions is None:
            result = searcher.neighbors(X, k, **how)
        else:
            result = searcher.of_samples(positions, k, **how)
        return self._page(result)

    def _page(self, result: Result) -> Result:
        page = slice(self.offset, None)
        return result._replace(
            distances=result.distances[:, page],
            indices=result.indices[:, page],
            is_copy=result.is_copy[:, page],
        )

    def table(
        self, searcher: Searcher, X: NDArray | None, positions: NDArray[np.intp] | None = None
    ) -> tuple[pd.DataFrame, Result | None]:
        """Return neighbours as a table, and for rows the result that it was made of."""
        has_leaves = searcher.leaf_model is not None
        if X is not None:
            result = self.answer(searcher, X, with_leaves=has_leaves)
            return table_of(searcher, result, self.offset), result
        wanted = np.arange(len(searcher.gallery)) if positions is None else positions
        k, tables = self.size(searcher, len(searcher.gallery) - 1), []
        how: dict[str, Any] = {"within": self.within, "where": self.where, "with_leaves": has_leaves}
        for half, of_half in searcher.halves:
            place = np.flatnonzero(np.isin(wanted, of_half))
            if len(place):
                result = half.neighbors(None, k, positions=wanted[place], **how)
                table = table_of(half, self._page(result), self.offset)
                tables.append(table.assign(query=place[table["query"].to_numpy()]))
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
