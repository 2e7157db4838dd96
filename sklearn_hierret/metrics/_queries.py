"""Queries that are to be judged: their labels, their relevant items, and how many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from sklearn_hierret._arrays import check_none_missing, check_same_kind, plain_labels, row_chunks

#: Bytes for each retrieved item while it is judged: distance, index, label, and some curves.
_ITEM_BYTES = 100


def labels_of_queries(X: Any, y: ArrayLike) -> NDArray:
    """Labels as an array, one for each row of X and none missing."""
    labels = np.asarray(plain_labels(y))
    if labels.ndim != 1:
        raise ValueError(f"y must be one-dimensional, got shape {labels.shape}.")
    check_none_missing(labels, "labels of y")
    check_consistent_length(X, labels)
    return labels


def count_relevant(y_query: NDArray, y_gallery: NDArray) -> NDArray[np.intp]:
    """Items of the gallery with each query's label."""
    check_same_kind(y_query, y_gallery, "y", "the gallery's labels")
    values, counts = np.unique(y_gallery, return_counts=True)
    count_of = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return np.array([count_of.get(label, 0) for label in y_query.tolist()], dtype=np.intp)


def query_chunks(n_queries: int, k: int) -> Iterator[slice]:
    """Yield queries whose k results can be judged at a time."""
    return row_chunks(n_queries, k * _ITEM_BYTES)
