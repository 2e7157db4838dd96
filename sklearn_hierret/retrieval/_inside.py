"""Estimators that have a retriever inside."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import clone

from sklearn_hierret._training import take_features_of
from sklearn_hierret.retrieval._hierarchical import HierarchicalRetriever


def fit_inside(estimator: Any, X: ArrayLike, y: ArrayLike | None) -> Any:
    """Fit a clone of an estimator's `retriever`, by default a `HierarchicalRetriever`; note what it saw."""
    retriever = HierarchicalRetriever() if estimator.retriever is None else clone(estimator.retriever)
    estimator.retriever_ = retriever.fit(X, y)
    take_features_of(estimator, retriever)
    return retriever
