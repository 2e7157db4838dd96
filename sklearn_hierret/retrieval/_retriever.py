"""The retriever: neighbours by cosine and hierarchical distance together."""

from __future__ import annotations

import copy
import time
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import validate_data

from sklearn_hierret._arrays import check_nested, feature_dtype, unchanged_on_error, validate_classes
from sklearn_hierret.building import FittedMetric, LeafModel, fit_metric
from sklearn_hierret.retrieval._base import BaseRetriever
from sklearn_hierret.retrieval._gallery_leaves import LeafOrigin


class HierarchicalRetriever(BaseRetriever):
    """Retrieve by ``D = visual distance + alpha * hierarchical distance``.

    The visual distance is the cosine distance, by default of features that were whitened within classes
    where that helps held-out samples. The hierarchical distance of two samples is that of their leaves, the
    classes that the class model assigns them to [1]_. For new queries, the leaf of a labelled gallery
    sample is its label. True labels of queries are never part of a distance, nor are labels of the
    gallery where gallery samples are the queries.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None, default=None
        A builder (`HierarchyBuilder`, `LinkageHierarchyBuilder`, `CombinedHierarchyBuilder`) is
        cloned and fitted; a `ClassHierarchy` is used as it is; None means the visual hierarchy of a
        `DiscriminantClassifier`: average linkage of the cosine distances of its class means, heights
        by rank. A list adds their distances with equal weights. The paper's is
        ``HierarchyBuilder(class_model=MahalanobisClassifier("tied", n_components=0.95,
        decision="mahalanobis"))``, with ``metric="cosine", assignment="hard", stem=0,
        gallery_leaves="predicted"``.
    alpha : "auto" or float in [0, inf], default="auto"
        Weight of the hierarchical distance. 0 is the visual distance alone; infinity orders by the
        hierarchical distance, then by the visual one. "auto" chooses at fit, by what held-out samples
        retrieve at rank 1, and then at rank 20. Where `novelty` finds unknown classes in a gallery, the
        weight is 8 at least if leaves are predicted, and 1 at most if they are labels. `alpha` may be
        changed after fitting.
    metric : {"auto", "cosine", "whitened"} or transformer, default="auto"
        The visual distance: cosine of the features, or of features whitened within classes (see
        `WithinClassWhitening`), with a shrinkage that held-out samples choose. "auto" takes whichever of
        the two held-out samples of known and of held-out classes retrieve better with; with ten classes at
        most it is cosine. A transformer is cloned and fitted; cosine of its results is the distance, and the
        gallery keeps the features as well. ``metric="cosine", alpha=0`` is plain cosine search.
    assignment : {"soft", "hard"}, default="soft"
        "hard" gives each sample one leaf, as the paper does; "soft" takes the expected
        hierarchical distance under the class model's 16 largest probabilities; the rest counts as
        no class, at distance 1. It may be changed after fitting.
    stem : "auto" or float in [0, 1], default="auto"
        Different leaves are at least so far apart: ``D_H' = stem + (1 - stem) D_H``. "auto" is 0.7 for
        hierarchies that are learned from features, 0.5 for given ones, and 0.6 where class names or given
        hierarchies are a part. It may be changed after fitting;
        `hierarchy_` is the tree without a stem.
    gallery_leaves : {"auto", "predicted", "labels"}, default="auto"
        Leaves of the gallery for new queries: "auto" takes the label of each sample whose label
        the hierarchy knows, and what the class model predicts for the others; "labels" raises for
        labels that it lacks (but see `novelty`); "predicted" never looks at labels. Searches with
        gallery samples as queries, ``kneighbors(None)``, and leave-one-out scorers always take predicted
        leaves; the leaves of training samples are cross-fitted.
    novelty : {"auto"} or bool, default="auto"
        Whether queries of unknown classes rely on their leaves less: ``D = D_V + alpha (1 - k (1 - D_H))``,
        where ``k = P(known)^4`` says how well the class model knows the query, given the share of known
        classes in the gallery. The share is counted where labels are the gallery's leaves; elsewhere it
        is estimated [2]_, with 0.35 as the lower limit. In a gallery of known classes alone k is 1; where
        labels say that all classes are unknown, the ranking is that of the visual distance. With
        ``gallery_leaves="labels"`` a gallery sample whose label the hierarchy lacks then raises no error,
        but is at distance 1 from every leaf. "auto"
        does so where the class model has a method ``known_proba``, as `DiscriminantClassifier` has. It
        may be changed after fitting.
    n_neighbors : int, default=5
        Default of `kneighbors`, voters in `predict`, and k of the mAP in `score`.
    class_model : classifier, default=None
        Gives the leaves; for "soft" it needs ``predict_proba``. It is given arrays. It is
        cloned and fitted (wrap a fitted one in `sklearn.frozen.FrozenEstimator`); if it keeps no folds,
        cross-fitted leaves take three more fits. None means the class model of the hierarchy's
        builder, or else a default `DiscriminantClassifier`.
    n_jobs : int, default=None
        Threads of the search and of the leaves that it needs; default: as many as NumPy's products use.
    verbose : bool, default=False
        Print what was done, how far a long search is and how long it will take.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels that `predict` can return: the training set's, and the gallery's where
        `set_gallery` brought others.
    hierarchy_ : ClassHierarchy or CombinedHierarchy
    hierarchy_builder_ : fitted builder, or None if a hierarchy was given
    class_model_ : fitted classifier
    alpha_ : float
        What was chosen for known classes, or the number that was given, at fit.
    metric_ : "cosine", "whitened" or fitted transformer
        What was chosen, or given.
    shrinkage_ : float or None
        Of the covariance within classes, where `metric_` is "whitened".
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Notes
    -----
    Neighbours are in the order of (distance, position in the gallery), where distances
    are compared in float64; they are returned in the dtype of the gallery, which is
    float32 for half and single precision features and float64 for all others. Unless the metric is a
    transformer, a zero vector has visual distance 1 to everything; its soft leaf is about the class
    frequencies. Visual distances of a query are bit for bit the same whatever other queries it comes with,
    and those of equal
    rows are equal; leaves are made by products of the class model, which may round their last digit
    differently.

    Where whitening is used, the whitening has seen the labels of the training set. So ``kneighbors(None)`` on
    the gallery of `fit` is somewhat too good, above all with fewer samples than features (docs/defaults.md).

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, eqs. 3-6.
    .. [2] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the Outputs of a Classifier to New a
       Priori Probabilities: A Simple Procedure", Neural Computation 14, 2002.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sklearn_hierret import HierarchicalRetriever
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> retriever = HierarchicalRetriever().fit(X_train, y_train)
    >>> distances, indices = retriever.kneighbors(X_test, n_neighbors=3)
    >>> indices.shape
    (450, 3)
    """

    _distance_name = "visual_distance"

    _parameter_constraints: dict = {
        **BaseRetriever._parameter_constraints,
        "metric": [StrOptions({"auto", "cosine", "whitened"}), HasMethods(["fit", "transform"])],
        "novelty": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        alpha: float | str = "auto",
        metric: Any = "auto",
        assignment: str = "soft",
        stem: float | str = "auto",
        gallery_leaves: str = "auto",
        novelty: bool | str = "auto",
        n_neighbors: int = 5,
        class_model: Any = None,
        n_jobs: int | None = None,
        verbose: bool | int = False,
    ) -> None:
        self.hierarchy = hierarchy
        self.alpha = alpha
        self.metric = metric
        self.assignment = assignment
        self.stem = stem
        self.gallery_leaves = gallery_leaves
        self.novelty = novelty
        self.n_neighbors = n_neighbors
        self.class_model = class_model
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike) -> HierarchicalRetriever:
        """Fit hierarchy and class model; the training set becomes the gallery.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            Among others, for labels that a given hierarchy lacks; they are named.
        """
        with unchanged_on_error(self):
            X, classes, codes = validate_classes(self, X, y)
            self._fit_checked(X, classes[codes], classes)
        return self

    # ----------------------------------------------------------------------- inside

    def _fit_metric(self, leaf_model: LeafModel, X: NDArray, y: NDArray) -> FittedMetric:
        start = time.perf_counter()
        fitted = fit_metric(self.metric, leaf_model.class_model, X, y)
        self._visual, self._metric_at_fit = fitted.visual, self.metric
        self.metric_, self.shrinkage_ = fitted.chosen, fitted.shrinkage
        name = fitted.chosen if isinstance(fitted.chosen, str) else type(fitted.chosen).__name__
        by = "" if fitted.shrinkage is None else f", shrinkage {fitted.shrinkage:g}"
        self._print(f"metric {name}{by}, in {time.perf_counter() - start:.1f} s")
        return fitted

    def _with_metric(self, metric: Any, X: NDArray, y: NDArray) -> HierarchicalRetriever:
        """Fit another metric to the samples of the fit; class model and tree are shared, alpha stays."""
        other = copy.copy(self)
        other.metric = metric
        other._fit_metric(self._leaf_model, X, y)
        other._index(X, y, None, self._gallery.origin)
        return other

    def set_params(self, **params: Any) -> Any:
        """Set parameters, nested ones as ``hierarchy__threshold`` or ``metric__n_components``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        is_nested = any(name.startswith("metric__") for name in params)
        if is_nested and "metric" in self.get_params(deep=False):
            check_nested(self, params, "metric", "metric=WithinClassWhitening()")
        super().set_params(**params)
        if is_nested and hasattr(self, "_metric_at_fit"):
            self._metric_at_fit = None
        return self

    def _validate_late_params(self) -> None:
        super()._validate_late_params()
        if self._metric_at_fit is None:
            raise ValueError("Parameters of metric changed after fit, where they are read: fit again.")
        if self.metric is not self._metric_at_fit and not (
            isinstance(self.metric, str) and self.metric == self._metric_at_fit
        ):
            raise ValueError(
                f"metric is {self.metric!r} and was {self._metric_at_fit!r} at fit, where it is read: fit "
                "again to use it."
            )

    def _fit_checked(self, X: NDArray, y: NDArray, classes: NDArray) -> None:
        self._fit_classes, self._gallery_leaves = classes, self.gallery_leaves
        held_out = self._fit_leaves(X, y)
        self._index(X, y, None, LeafOrigin(self.gallery_leaves, len(X), held_out))

    def _checked(self, X: ArrayLike, dtype: Any = None) -> NDArray:
        return validate_data(self, X, dtype=feature_dtype(X, dtype), order="C", reset=False)
