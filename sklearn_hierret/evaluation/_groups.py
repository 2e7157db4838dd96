"""Groups of samples, such as photographs of one series, that are not to find each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_same_kind


@dataclass(frozen=True)
class Groups:
    """Numbers of the groups of queries and gallery samples.

    Attributes
    ----------
    of_queries : ndarray of shape (n_queries,)
        -1 of a group that the gallery lacks.
    of_gallery : ndarray of shape (n_gallery,)
        -1 of a sample without a group.
    largest : int
        Gallery samples of the largest group that a query is of.
    """

    of_queries: NDArray[np.intp]
    of_gallery: NDArray[np.intp]
    largest: int

    @classmethod
    def of(cls, of_queries: ArrayLike, of_gallery: ArrayLike, n_queries: int) -> Groups:
        """Give the groups numbers.

        Raises
        ------
        ValueError
            For groups of another length or kind, and queries without one.
        """
        queries, gallery = (pd.Series(values, dtype=object).to_numpy() for values in (of_queries, of_gallery))
        if len(queries) != n_queries:
            raise ValueError(f"{n_queries} queries, but {len(queries)} groups.")
        if any(isinstance(group, (list, tuple, set, dict, np.ndarray)) for group in queries[:1]):
            raise TypeError("Groups must be single values, such as names, not lists.")
        if pd.isna(queries).any():
            raise ValueError("Some groups are missing (NaN or None): give such samples groups of their own.")
        check_same_kind(queries, gallery[~pd.isna(gallery)], "groups", "the gallery's groups")
        codes, distinct = pd.factorize(gallery)
        numbers = pd.Index(distinct).get_indexer(queries)
        counts = np.bincount(codes[codes >= 0], minlength=len(distinct) + 1)
        return cls(numbers, codes, int(counts[numbers].max(initial=0)))

    def is_same(self, rows: slice, neighbours: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which neighbours of some queries are of the query's group."""
        of_queries = self.of_queries[rows, None]
        return (self.of_gallery[neighbours] == of_queries) & (of_queries >= 0)

    def n_relevant(self, y_query: NDArray, y_gallery: NDArray) -> NDArray[np.intp]:
        """Count the gallery samples with each query's label that are not of its group."""
        labels, of_gallery = np.unique(y_gallery, return_inverse=True)
        of_queries = pd.Index(labels).get_indexer(y_query)
        n_groups = int(self.of_gallery.max(initial=-1)) + 1
        together = pd.Series(of_gallery * (n_groups + 1) + self.of_gallery).value_counts()
        counts = np.append(np.bincount(of_gallery, minlength=len(labels)), 0)[of_queries]
        has_both = (self.of_queries >= 0) & (of_queries >= 0)
        own = together.reindex(of_queries * (n_groups + 1) + self.of_queries, fill_value=0).to_numpy()
        return counts - np.where(has_both, own, 0)
