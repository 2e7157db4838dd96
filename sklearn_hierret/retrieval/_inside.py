"""Estimators that have a retriever inside."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import clone

from sklearn_hierret.retrieval._retriever import HierarchicalRetriever


def fit_inside(estimator: Any, X: ArrayLike, y: ArrayLike | None) -> Any:
    """Fit a clone of an estimator's `retriever`, by default a `HierarchicalRetriever`; note what it saw.

    Parameters
    ----------
    estimator : estimator with a parameter `retriever`
    X, y : array-like
    """
    retriever = HierarchicalRetriever() if estimator.retriever is None else clone(estimator.retriever)
    estimator.retriever_ = retriever.fit(X, y)
    estimator.n_features_in_ = retriever.n_features_in_
    if hasattr(retriever, "feature_names_in_"):
        estimator.feature_names_in_ = retriever.feature_names_in_
    elif hasattr(estimator, "feature_names_in_"):
        del estimator.feature_names_in_
    return retriever
