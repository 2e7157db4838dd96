"""What an estimator with leaves is fitted with: a hierarchy and a class model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from sklearn_hierret.building._combined import named
from sklearn_hierret.building._linkage import LinkageHierarchyBuilder
from sklearn_hierret.discriminant import DiscriminantClassifier
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy

#: Stem of hierarchies that are learned, and of those that are given (docs/defaults.md).
LEARNED_STEM, GIVEN_STEM = 0.7, 0.5


def default_builder(verbose: bool | int = False) -> LinkageHierarchyBuilder:
    """The visual hierarchy of a retriever that is given none."""
    return LinkageHierarchyBuilder(
        "average",
        metric="cosine",
        heights="rank",
        class_model=DiscriminantClassifier(verbose=verbose),
    )


def fit_leaf_model(
    hierarchy: Any, class_model: Any, X: NDArray, y: NDArray, verbose: bool | int = False
) -> tuple[ClassHierarchy | CombinedHierarchy, Any, Any]:
    """Fit clones of a builder and a class model.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None
        None means `default_builder`; a list, a `CombinedHierarchyBuilder` of it.
    class_model : classifier or None
        None means the builder's class model, or else a `DiscriminantClassifier`.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    verbose : bool, default=False
        Of class models that are made here.

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
        builder = default_builder(verbose) if hierarchy is None else clone(hierarchy)
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
            class_model = DiscriminantClassifier(verbose=verbose).fit(X, y)
    return hierarchy, builder, class_model


def with_stem(
    hierarchy: ClassHierarchy | CombinedHierarchy, stem: float | str, is_learned: bool
) -> ClassHierarchy | CombinedHierarchy:
    """The hierarchy that distances are taken from: of different leaves they are at least the stem."""
    if isinstance(stem, str):
        stem = LEARNED_STEM if is_learned else GIVEN_STEM
    return hierarchy.with_stem(float(stem))
