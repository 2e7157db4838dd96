"""What an estimator with leaves is fitted with: a hierarchy and a class model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sklearn_hierret.building._builder import HierarchyBuilder
from sklearn_hierret.building._combined import named
from sklearn_hierret.gaussian import MahalanobisClassifier
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy


def fit_leaf_model(
    hierarchy: Any, class_model: Any, X: NDArray, y: NDArray, default_model: Any = None
) -> tuple[ClassHierarchy | CombinedHierarchy, Any, Any]:
    """Fit clones of a builder and a class model.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None
        None means a default `HierarchyBuilder`; a list, a `CombinedHierarchyBuilder` of it.
    class_model : classifier or None
        None means the builder's class model, or else the default.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    default_model : classifier, default=None
        None means `MahalanobisClassifier`.

    Returns
    -------
    hierarchy : ClassHierarchy or CombinedHierarchy
    builder : fitted builder, or None if a hierarchy was given
    class_model : fitted classifier
    """
    builder = None
    if isinstance(hierarchy, (list, tuple)):
        hierarchy = named(hierarchy)
    if isinstance(hierarchy, (ClassHierarchy, CombinedHierarchy)):
        hierarchy.index(np.unique(y))  # before the expensive part
    else:
        builder = HierarchyBuilder() if hierarchy is None else clone(hierarchy)
        hierarchy = getattr(builder.fit(X, y), "hierarchy_", None)
        if hierarchy is None:
            raise TypeError(
                f"hierarchy must be a builder or a ClassHierarchy, and {type(builder).__name__} "
                "builds no hierarchy_."
            )
    if class_model is not None:
        class_model = clone(class_model).fit(X, y)
    else:
        class_model = getattr(builder, "class_model_", None)
        if class_model is None:
            class_model = MahalanobisClassifier() if default_model is None else default_model
            class_model = class_model.fit(X, y)
    return hierarchy, builder, class_model


def assign_leaves(class_model: Any, X: NDArray, assignment: str) -> NDArray:
    """Positions of leaves in the class model's classes, or probabilities of them.

    Parameters
    ----------
    class_model : fitted classifier
    X : ndarray of shape (n_samples, n_features)
    assignment : {"hard", "soft"}

    Returns
    -------
    leaves : ndarray of int of shape (n_samples,) or of floats of shape (n_samples, n_classes)
    """
    if assignment == "hard":
        return _leaf_index(class_model, class_model.predict(X))
    name = type(class_model).__name__
    if not hasattr(class_model, "predict_proba"):
        raise ValueError(
            f"assignment='soft' needs class probabilities, and {name} has no predict_proba; use "
            "assignment='hard' or another class_model."
        )
    proba = np.asarray(class_model.predict_proba(X))
    if proba.shape != (len(X), len(class_model.classes_)) or not np.all(np.isfinite(proba)):
        raise ValueError(
            f"{name} gave probabilities of shape {proba.shape} for {len(X)} samples of "
            f"{len(class_model.classes_)} classes, or some that are not finite."
        )
    return proba.astype(X.dtype, copy=False)


def _leaf_index(class_model: Any, labels: NDArray) -> NDArray[np.intp]:
    """Positions of predicted labels in the class model's classes, in whatever order those are."""
    classes = class_model.classes_
    sorter = np.argsort(classes, kind="stable")
    found = np.searchsorted(classes, labels, sorter=sorter)
    leaves = sorter[np.minimum(found, len(classes) - 1)]
    wrong = np.flatnonzero(classes[leaves] != labels)
    if len(wrong):
        name = type(class_model).__name__
        raise ValueError(f"{name} predicted {labels[wrong[0]]!r}, which is not in its classes_.")
    return leaves
