"""Groups of samples, such as photographs of one series, that are not to find each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_hierret._arrays import check_same_kind


@dataclass(frozen=True)
class Groups:
    """Numbers of the groups of queries and gallery samples.

    Attributes
    ----------
    of_queries : ndarray of shape (n_queries,)
        -1 of no group, and of one that the gallery lacks.
    of_gallery : ndarray of shape (n_gallery,)
        -1 of a sample without a group.
    largest : int
        Gallery samples of the largest group that a query is of.
    """

    of_queries: NDArray[np.intp]
    of_gallery: NDArray[np.intp]
    largest: int

    @classmethod
    def of(cls, of_queries: NDArray, of_gallery: NDArray, name: str = "groups") -> Groups:
        """Give the groups numbers; a missing value is no group.

        Raises
        ------
        ValueError
            For groups of kinds that never match.
        TypeError
            For lists.
        """
        there = [side[~pd.isna(side)] for side in (of_queries, of_gallery)]
        check_same_kind(there[0], there[1], name, "those of the gallery")
        try:
            codes, distinct = pd.factorize(of_gallery)
            numbers = pd.Index(distinct).get_indexer(of_queries)
        except TypeError:
            raise TypeError(f"{name} must be single values, such as names, not lists.") from None
        numbers[pd.isna(of_queries)] = -1
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct) + 1)
        return cls(numbers, codes, int(counts[numbers].max(initial=0)))

    def some(self, rows: Any) -> Groups:
        """Return the same for some queries."""
        return replace(self, of_queries=self.of_queries[rows])

    def is_same(self, neighbours: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which neighbours, (n_queries, n_neighbors), are of their query's group."""
        of_queries = self.of_queries[:, None]
        return (self.of_gallery[neighbours] == of_queries) & (of_queries >= 0)
