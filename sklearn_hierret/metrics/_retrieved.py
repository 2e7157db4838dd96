"""From a fitted estimator to ranked labels, which is all that metrics look at."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from sklearn_hierret._arrays import check_same_kind


class Ranking(NamedTuple):
    """Labels that an estimator retrieved, and what metrics need to judge them."""

    y_query: NDArray
    y_retrieved: NDArray
    n_relevant: NDArray[np.intp]
    y_gallery: NDArray
    exclude_query: bool

    @property
    def n_ranked(self) -> int:
        """Length of a whole ranking."""
        return len(self.y_gallery) - int(self.exclude_query)


def rank_labels(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    depth: int | str | None,
    gallery: str,
    *,
    at_least: Iterable[int] = (),
) -> Ranking:
    """Search with an estimator and look up the labels of what it finds.

    Parameters
    ----------
    estimator : retriever, scikit-learn neighbours estimator, or Pipeline ending with one
    X, y : array-like
        The queries and their labels.
    depth : int, "R" or None
        Ranks to retrieve; "R": as many as a query has relevant items.
    gallery : {"fit", "query"}
    at_least : iterable of int
        Ranks to retrieve besides, as far as the gallery goes.
    """
    check_gallery(gallery)
    model, X = retriever_of(estimator, X)
    y_query = np.asarray(y)
    if y_query.ndim != 1:
        raise ValueError(f"y must be one-dimensional, got shape {y_query.shape}.")
    if pd.isna(y_query).any():
        raise ValueError("Some labels of y are missing (NaN or None): leave those samples out.")
    exclude = gallery == "query"
    if exclude:
        y_gallery = y_query
        if hasattr(model, "set_gallery"):
            model = copy.copy(model).set_gallery(X, y_query)
        elif hasattr(model, "kneighbors"):  # scikit-learn's: fitting is setting the gallery
            model = clone(model).fit(X, y_query)
        else:
            raise TypeError(f"{type(model).__name__} has neither set_gallery nor kneighbors.")
    else:
        y_gallery = getattr(model, "gallery_labels_", None)
        if y_gallery is None:
            raise ValueError(
                f"gallery='fit' needs a gallery with labels, and {type(model).__name__} has none; "
                "set one with set_gallery(X, y) or use gallery='query'."
            )
    check_same_kind(y_query, y_gallery, "y", "the gallery's labels")
    n_relevant = _count_relevant(y_query, y_gallery) - int(exclude)
    n_ranked = len(y_gallery) - int(exclude)
    ranks = [k for k in at_least if k <= n_ranked]
    if depth == "R":
        ranks.append(max(1, int(n_relevant.max())))
    elif depth is not None:
        ranks.append(int(depth))
    k = max(ranks, default=1)
    if k > n_ranked:
        raise ValueError(f"k={k} is larger than the gallery, which holds {n_ranked} items for a query.")
    neighbours = model.kneighbors(None if exclude else X, n_neighbors=k, return_distance=False)
    return Ranking(y_query, y_gallery[neighbours], n_relevant, y_gallery, exclude)


def retriever_of(estimator: Any, X: ArrayLike | None = None) -> tuple[Any, Any]:
    """The retriever at the end of pipelines and searches, and the features it sees.

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


def _count_relevant(y_query: NDArray, y_gallery: NDArray) -> NDArray[np.intp]:
    """Items of the gallery with each query's label, the query itself included."""
    values, counts = np.unique(y_gallery, return_counts=True)
    count_of = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return np.array([count_of.get(label, 0) for label in y_query.tolist()], dtype=np.intp)


def check_gallery(gallery: str) -> None:
    if gallery not in ("fit", "query"):
        raise ValueError(f"gallery must be 'fit' or 'query', got {gallery!r}.")
