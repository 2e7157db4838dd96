"""Hierarchies by agglomerative clustering of the class means: the Ward baseline."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import unchanged_on_error
from sklearn_hierret._sklearn import HasMethods, StrOptions, fit_context
from sklearn_hierret._training import (
    NestedParams,
    SupervisedEstimator,
    TrainingSet,
    fit_to,
    take_features_of,
)
from sklearn_hierret.building._class_distances import distances_of_vectors, linked
from sklearn_hierret.gaussian import ClassStatistics


class LinkageHierarchyBuilder(NestedParams, SupervisedEstimator):
    """Hierarchy by agglomerative clustering of the class means.

    The Ward hierarchy is a baseline of [1]_. A node's height is its merge distance.

    Parameters
    ----------
    method : {"ward", "average", "complete", "single", "weighted"}, default="ward"
        As in `scipy.cluster.hierarchy.linkage`.
    metric : {"euclidean", "cosine", "cityblock"}, default="euclidean"
        Distance between class means; "ward" takes "euclidean" only.
    heights : {"distance", "rank"}, default="distance"
        A node's height is its merge distance, or the rank of that among the distinct ones, so that
        heights are spread evenly whatever the distances.
    class_model : classifier, default=None
        One with `means_` of the classes, such as `DiscriminantClassifier`. It is cloned and fitted, and its
        means are clustered; None takes the means of the features. If it cannot tell the classes apart
        at all, the hierarchy is flat.

    Attributes
    ----------
    hierarchy_ : ClassHierarchy
    classes_ : ndarray of shape (n_classes,)
    means_ : ndarray of shape (n_classes, n_features), or as wide as those of the class model
    class_model_ : fitted classifier
        Only if `class_model` is given.
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

    _nested: ClassVar[dict[str, str]] = {
        "class_model": "LinkageHierarchyBuilder(class_model=DiscriminantClassifier())"
    }
    _parameter_constraints: dict = {
        "method": [StrOptions({"ward", "average", "complete", "single", "weighted"})],
        "metric": [StrOptions({"euclidean", "cosine", "cityblock"})],
        "heights": [StrOptions({"distance", "rank"})],
        "class_model": [None, HasMethods(["fit", "predict"])],
    }

    def __init__(
        self,
        method: str = "ward",
        *,
        metric: str = "euclidean",
        heights: str = "distance",
        class_model: Any = None,
    ) -> None:
        self.method = method
        self.metric = metric
        self.heights = heights
        self.class_model = class_model

    def _fit(self, training: TrainingSet) -> None:
        classes = training.classes
        self.__dict__.pop("class_model_", None)
        if self.class_model is None:
            means = ClassStatistics.from_samples(training.X, training.codes, len(classes), "diag").means
        else:
            self.class_model_ = fit_to(clone(self.class_model), training)
            means = self.class_model_.means_
        self._link(means, classes)

    @available_if(lambda builder: hasattr(builder.class_model, "partial_fit"))
    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> LinkageHierarchyBuilder:
        """Add samples to the class model, and cluster its means anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels; labels that were not seen before are added. Together with those before there must
            be two.
        classes, groups : array-like, optional
            As in the class model's `partial_fit`.

        Returns
        -------
        self : object
            The builder.
        """
        model = self.__dict__.get("class_model_")
        # The model of the fit stays as it is: others may hold it.
        model = clone(self.class_model) if model is None else copy.copy(model)
        with unchanged_on_error(self):
            model.partial_fit(X, y, classes, **({} if groups is None else {"groups": groups}))
            self._link(model.means_, model.classes_)
            self.class_model_ = model
            take_features_of(self, model)
        return self

    @available_if(lambda builder: hasattr(builder.class_model, "relabel_training_set"))
    def relabel_training_set(self, before: TrainingSet, after: TrainingSet) -> LinkageHierarchyBuilder:
        """Move samples of the fit from class to class in the class model, and cluster its means anew.

        Parameters
        ----------
        before, after : TrainingSet
            The same samples, with their former and their right labels.

        Returns
        -------
        self : object
            The builder.
        """
        with unchanged_on_error(self):
            # The model of the fit stays as it is: others may hold it.
            model = copy.copy(self.class_model_).relabel_training_set(before, after)
            self._link(model.means_, model.classes_)
            self.class_model_ = model
        return self

    def _link(self, means: NDArray, classes: NDArray) -> None:
        if self.method == "ward" and self.metric != "euclidean":
            raise ValueError(f"method='ward' needs metric='euclidean', got metric={self.metric!r}.")
        self.classes_, self.means_, self._fit_metric = classes, means, self.metric
        distances = self.class_distances()
        self.linkage_matrix_, tree = linked(distances, classes, self.method, self.heights)
        self.hierarchy_ = tree.with_origin("features")

    def class_distances(self) -> NDArray[np.float64]:
        """Compute the distances of all pairs of classes.

        Returns
        -------
        distances : ndarray of shape (n_classes * (n_classes - 1) / 2,)
            In the order of `scipy.spatial.distance.pdist`.
        """
        check_is_fitted(self)
        n = len(self.means_)
        if hasattr(self, "class_model_") and np.all(self.means_ == self.means_[0]):
            return np.ones(n * (n - 1) // 2)  # a flat tree
        return distances_of_vectors(self.means_, self._fit_metric, self.classes_)
