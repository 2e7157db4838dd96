"""The visual hierarchy: classes whose features overlap are merged, level by level."""

from __future__ import annotations

import copy
import os
import time
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import unchanged_on_error
from sklearn_hierret._blocks import is_dask
from sklearn_hierret._frames import tabular
from sklearn_hierret._sklearn import HasMethods, Interval, StrOptions, fit_context, memory_of
from sklearn_hierret._training import (
    NestedParams,
    SupervisedEstimator,
    TrainingSet,
    fit_to,
    take_features_of,
)
from sklearn_hierret.building._levelwise import cluster_overlap, merge_overlapping
from sklearn_hierret.gaussian import MahalanobisClassifier
from sklearn_hierret.hierarchy import ClassHierarchy


class HierarchyBuilder(NestedParams, SupervisedEstimator):
    """Learn a visual hierarchy of the classes from features and labels.

    Classes are Gaussians. Those whose :term:`overlap` reaches `threshold` are
    linked, connected components become the classes of the next level, their means and
    covariances those of their pooled samples; this repeats until nothing merges or one
    class is left, and a root joins what remains [1]_.

    Parameters
    ----------
    threshold : float in (0, 1], default=0.05
        The overlap at which classes merge: the paper's t. Larger means fewer merges. It
        depends on the data (`overlap_` shows it); the paper's values, 0.2 to 0.3, go with
        ``n_components=0.95``, since overlaps shrink as dimensions are added. With "full"
        covariances they also shrink between classes of very different sizes, even equal
        ones; "tied" does not have that bias.
    linkage : {"single", "average", "complete"}, default="single"
        "single" is the paper's construction; it chains when many classes overlap. The
        others cut one dendrogram over 1 - overlap of the classes: merges above
        1 - `threshold` are joined at the root, which has height 1, and a node's height
        is its merge distance. These do not chain.
    threshold_decay : float, default=0.0
        With "single" linkage, t falls by this much a level, not below 0.01, and building
        stops at the first level without a merge.
    class_model : MahalanobisClassifier, default=None
        The Gaussians; None means a default `MahalanobisClassifier`.
    memory : str, path or joblib.Memory, default=None
        Where fitted class models are cached: a search over `threshold` fits one a fold.
    verbose : bool, default=False
        Print what was done, level by level, and how long it took.

    Attributes
    ----------
    hierarchy_ : ClassHierarchy
    classes_ : ndarray of shape (n_classes,)
    class_model_ : MahalanobisClassifier
        The fitted class model.
    overlap_ : ndarray of shape (n_classes, n_classes)
        Bhattacharyya coefficients of the classes: what one looks at to choose t. They
        are computed when asked for; merging level by level does without most of them.
    levels_ : ndarray of shape (n_levels, n_classes)
        Cluster of each class at each level, numbered by their smallest member. Row 0 is
        ``arange(n_classes)``, the last row all zeros (the root). With "single" linkage
        the heights are the row numbers, with the others the distinct node heights.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    See Also
    --------
    LinkageHierarchyBuilder : Ward's and other hierarchies over the class means.

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, section 3.1.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import HierarchyBuilder
    >>> X, y = load_iris(return_X_y=True)
    >>> builder = HierarchyBuilder(threshold=0.1).fit(X, y)
    >>> builder.levels_
    array([[0, 1, 2],
           [0, 1, 1],
           [0, 0, 0]])
    >>> builder.hierarchy_
    <ClassHierarchy: 3 classes, 5 nodes, height 2>
    """

    _overlap: NDArray[np.float64] | None
    _built: tuple[NDArray[np.intp], ClassHierarchy] | None
    _nested: ClassVar[dict[str, str]] = {
        "class_model": "HierarchyBuilder(class_model=MahalanobisClassifier())"
    }
    _lazy: ClassVar[dict] = {
        "overlap_": lambda self: self._overlaps(),
        "levels_": lambda self: self._hierarchy()[0],
        "hierarchy_": lambda self: self._hierarchy()[1],
    }

    _parameter_constraints: dict = {
        "threshold": [Interval(Real, 0, 1, closed="right")],
        "linkage": [StrOptions({"single", "average", "complete"})],
        "threshold_decay": [Interval(Real, 0, 1, closed="left")],
        "class_model": [None, MahalanobisClassifier],
        "memory": [None, str, os.PathLike, HasMethods(["cache"])],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        threshold: float = 0.05,
        *,
        linkage: str = "single",
        threshold_decay: float = 0.0,
        class_model: MahalanobisClassifier | None = None,
        memory: Any = None,
        verbose: bool | int = False,
    ) -> None:
        self.threshold = threshold
        self.linkage = linkage
        self.threshold_decay = threshold_decay
        self.class_model = class_model
        self.memory = memory
        self.verbose = verbose

    def _fit(self, training: TrainingSet) -> None:
        self._learn(self._fitted_model(training))

    def fit(self, X: ArrayLike, y: ArrayLike) -> HierarchyBuilder:
        """Build the hierarchy.

        Parameters
        ----------
        X : array-like or dask array of shape (n_samples, n_features)
            A Dask array is read block by block on its workers and never as a whole.
        y : array-like or dask array of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object
            The fitted builder.
        """
        if not is_dask(X):
            return super().fit(X, y)
        self._validate_params()
        with unchanged_on_error(self):
            model = self._new_model().fit(X, y)
            take_features_of(self, model)
            self._learn(model)
        return self

    @available_if(lambda builder: builder.class_model is None or hasattr(builder.class_model, "partial_fit"))
    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> HierarchyBuilder:
        """Add samples; the hierarchy of all samples so far is built when asked for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels; labels that were not seen before are added.
        classes : array-like, optional
            As in `MahalanobisClassifier.partial_fit`.

        Returns
        -------
        self : object
            The builder.
        """
        model = self.__dict__.get("class_model_")
        # The model of the fit stays as it is: others may hold it.
        model = self._new_model() if model is None else copy.copy(model)
        self.class_model_ = model.partial_fit(X, y, classes)
        self.classes_ = model.classes_
        take_features_of(self, model)
        self._overlap = self._built = None
        return self

    @tabular
    def threshold_path(self, thresholds: ArrayLike | None = None) -> pd.DataFrame:
        """Describe the hierarchies that other thresholds would give, without a new fit.

        Parameters
        ----------
        thresholds : array-like, optional
            Default: 50 quantiles of the overlaps of different classes.

        Returns
        -------
        path : DataFrame
            One row for each threshold and level above 0, by falling threshold: threshold, level,
            n_clusters and largest (classes of the largest cluster). The last level is the root.
        """
        check_is_fitted(self)
        self._validate_params()
        overlap = self.overlap_
        if thresholds is None:
            apart = overlap[np.triu_indices(len(overlap), k=1)]
            thresholds = np.unique(np.quantile(apart, np.linspace(0, 1, 50)))
            thresholds = thresholds[thresholds > 0]
            if not len(thresholds):
                raise ValueError("No two classes overlap at all: every threshold gives a flat hierarchy.")
        values = np.unique(np.asarray(thresholds, dtype=np.float64).ravel())
        if not len(values) or not np.all((values > 0) & (values <= 1)):
            raise ValueError(f"thresholds must be in (0, 1], got {values.tolist()}.")
        rows = []
        for t in values[::-1]:
            if self.linkage == "single":
                levels = merge_overlapping(self.class_model_, t, self.threshold_decay, overlap)
            else:
                levels = cluster_overlap(overlap, t, self.linkage)[0]
            for level, clusters in enumerate(levels[1:], start=1):
                sizes = np.bincount(clusters)
                rows.append((t, level, len(sizes), int(sizes.max())))
        return pd.DataFrame(rows, columns=["threshold", "level", "n_clusters", "largest"])

    def _new_model(self) -> MahalanobisClassifier:
        return MahalanobisClassifier() if self.class_model is None else clone(self.class_model)

    def _fitted_model(self, training: TrainingSet) -> MahalanobisClassifier:
        start = time.perf_counter()
        if self.memory is None:
            model = fit_to(self._new_model(), training)
        else:
            model = memory_of(self.memory).cache(_fitted)(
                self._new_model(), training.X, training.y, training.groups
            )
        if self.verbose:
            passed = time.perf_counter() - start
            print(f"[HierarchyBuilder] {len(training.classes)} classes, their statistics in {passed:.1f} s")
        return model

    def _learn(self, model: MahalanobisClassifier) -> None:
        self._built, self._overlap = self._build(model), None
        self.class_model_, self.classes_ = model, model.classes_

    def _overlaps(self) -> NDArray[np.float64]:
        if self._overlap is None:
            self._overlap = self.class_model_.overlap_of()
        return self._overlap

    def _hierarchy(self) -> tuple[NDArray[np.intp], ClassHierarchy]:
        if self._built is None:
            self._validate_params()
            self._built = self._build(self.class_model_)
        return self._built

    def _build(self, model: MahalanobisClassifier) -> tuple[NDArray[np.intp], ClassHierarchy]:
        heights, start = None, time.perf_counter()

        def report(level: int, n_clusters: int) -> None:
            if self.verbose:
                passed = time.perf_counter() - start
                print(
                    f"[HierarchyBuilder] level {level}: {n_clusters} clusters after {passed:.1f} s",
                    flush=True,
                )

        if self.linkage == "single":
            levels = merge_overlapping(model, self.threshold, self.threshold_decay, report=report)
        else:
            levels, heights = cluster_overlap(model.overlap_of(), self.threshold, self.linkage)
        tree = ClassHierarchy.from_levels(levels, model.classes_, heights)
        return levels, tree.with_origin("features")


def _fitted(
    model: MahalanobisClassifier, X: NDArray, y: NDArray, groups: NDArray | None
) -> MahalanobisClassifier:
    return fit_to(model, TrainingSet(X, *np.unique(y, return_inverse=True), groups))
