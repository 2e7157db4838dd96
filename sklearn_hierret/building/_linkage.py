"""Hierarchies by agglomerative clustering of the class means: the Ward baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import StrOptions

from sklearn_hierret._arrays import unchanged_on_error, validate_classes
from sklearn_hierret.gaussian import ClassStatistics
from sklearn_hierret.hierarchy import ClassHierarchy


class LinkageHierarchyBuilder(BaseEstimator):
    """Hierarchy by agglomerative clustering of the class means.

    The Ward hierarchy is a baseline of [1]_. A node's height is its merge distance.

    Parameters
    ----------
    method : {"ward", "average", "complete", "single", "weighted"}, default="ward"
        As in `scipy.cluster.hierarchy.linkage`.
    metric : {"euclidean", "cosine", "cityblock"}, default="euclidean"
        Distance between class means; "ward" takes "euclidean" only.

    Attributes
    ----------
    hierarchy_ : ClassHierarchy
    classes_ : ndarray of shape (n_classes,)
    means_ : ndarray of shape (n_classes, n_features)
    linkage_matrix_ : ndarray of shape (n_classes - 1, 4)
        SciPy's linkage matrix over the classes in their order.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, section 4.1 (vi).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import LinkageHierarchyBuilder
    >>> X, y = load_iris(return_X_y=True)
    >>> LinkageHierarchyBuilder("ward").fit(X, y).hierarchy_.cut(n_clusters=2)
    array([0, 1, 1])
    """

    _parameter_constraints: dict = {
        "method": [StrOptions({"ward", "average", "complete", "single", "weighted"})],
        "metric": [StrOptions({"euclidean", "cosine", "cityblock"})],
    }

    def __init__(self, method: str = "ward", *, metric: str = "euclidean") -> None:
        self.method = method
        self.metric = metric

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> LinkageHierarchyBuilder:
        """Cluster the class means.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object
        """
        if self.method == "ward" and self.metric != "euclidean":
            raise ValueError(f"method='ward' needs metric='euclidean', got metric={self.metric!r}.")
        with unchanged_on_error(self):
            X, classes, codes = validate_classes(self, X, y)
            means = ClassStatistics.from_samples(X, codes, len(classes), "diag").means
            without = np.flatnonzero(~means.any(axis=1))
            if self.metric == "cosine" and len(without):
                raise ValueError(
                    f"The mean of class {classes.tolist()[without[0]]!r} is zero: it has no cosine."
                )
            distances = pdist(means, self.metric)
            # Cosines of parallel means differ from 1 by rounding.
            if not distances.max() > (1e-12 if self.metric == "cosine" else 0):
                raise ValueError("All class means are equal (are the features constant?): no tree to build.")
            Z = linkage(distances, method=self.method)
            self.hierarchy_ = ClassHierarchy.from_linkage(Z, classes)
            self.classes_ = classes
            self.means_ = means
            self.linkage_matrix_ = Z
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
