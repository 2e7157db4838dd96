"""Estimators that have a retriever inside."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from sklearn_hierret._sklearn import routing_enabled
from sklearn_hierret._training import take_features_of
from sklearn_hierret.retrieval._hierarchical import HierarchicalRetriever


def fit_inside(estimator: Any, X: ArrayLike, y: ArrayLike | None, params: dict[str, Any]) -> Any:
    """Fit a clone of an estimator's `retriever`, by default a `HierarchicalRetriever`; note what it saw.

    `params` are further arguments of its `fit`, such as groups; with metadata routing those that it asks for.
    """
    retriever = HierarchicalRetriever() if estimator.retriever is None else clone(estimator.retriever)
    if routing_enabled():
        params = process_routing(estimator, "fit", **params).retriever.fit
    estimator.retriever_ = retriever.fit(X, y, **params)
    take_features_of(estimator, retriever)
    return retriever


def routing_inside(estimator: Any) -> MetadataRouter:
    """Route what `fit` is given to the retriever inside."""
    retriever = HierarchicalRetriever() if estimator.retriever is None else estimator.retriever
    to_fit = MethodMapping().add(caller="fit", callee="fit")
    return MetadataRouter(owner=estimator).add(retriever=retriever, method_mapping=to_fit)
