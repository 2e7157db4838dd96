"""The visual hierarchy: classes whose features overlap are merged, level by level."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_hierret._arrays import check_nested
from sklearn_hierret.gaussian import ClassStatistics, MahalanobisClassifier
from sklearn_hierret.hierarchy import ClassHierarchy, levels_from_linkage

#: `threshold_decay` lowers the threshold to this and no further.
LOWEST_THRESHOLD = 0.01


class HierarchyBuilder(BaseEstimator):
    """Learn a visual hierarchy of the classes from features and labels.

    Classes are Gaussians. Those whose Bhattacharyya coefficient reaches `threshold` are
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

    Attributes
    ----------
    hierarchy_ : ClassHierarchy
    classes_ : ndarray of shape (n_classes,)
    class_model_ : MahalanobisClassifier
        The fitted class model.
    overlap_ : ndarray of shape (n_classes, n_classes)
        Bhattacharyya coefficients of the classes: what one looks at to choose t.
    levels_ : ndarray of shape (n_levels, n_classes)
        Cluster of each class at each level, numbered by their smallest member. Row 0 is
        ``arange(n_classes)``, the last row all zeros (the root). With "single" linkage
        the heights are the row numbers, with the others the distinct node heights.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
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

    _parameter_constraints: dict = {
        "threshold": [Interval(Real, 0, 1, closed="right")],
        "linkage": [StrOptions({"single", "average", "complete"})],
        "threshold_decay": [Interval(Real, 0, 1, closed="left")],
        "class_model": [None, MahalanobisClassifier],
    }

    def __init__(
        self,
        threshold: float = 0.05,
        *,
        linkage: str = "single",
        threshold_decay: float = 0.0,
        class_model: MahalanobisClassifier | None = None,
    ) -> None:
        self.threshold = threshold
        self.linkage = linkage
        self.threshold_decay = threshold_decay
        self.class_model = class_model

    def set_params(self, **params: Any) -> HierarchyBuilder:
        """Set parameters, nested ones as ``class_model__temperature``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        check_nested(self, params, "class_model", "HierarchyBuilder(class_model=MahalanobisClassifier())")
        return super().set_params(**params)

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike) -> HierarchyBuilder:
        """Build the hierarchy.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object
        """
        model = MahalanobisClassifier() if self.class_model is None else clone(self.class_model)
        model.fit(X, y)
        overlap = model.overlap_of(model.statistics_)
        heights = None
        if self.linkage == "single":
            levels = merge_overlapping(model, self.threshold, self.threshold_decay, overlap)
        else:
            levels, heights = cluster_overlap(overlap, self.threshold, self.linkage)
        self.hierarchy_ = ClassHierarchy.from_levels(levels, model.classes_, heights)
        self.levels_ = levels
        self.overlap_ = overlap
        self.class_model_ = model
        self.classes_ = model.classes_
        self.n_features_in_ = model.n_features_in_
        if hasattr(model, "feature_names_in_"):
            self.feature_names_in_ = model.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def merge_overlapping(
    model: MahalanobisClassifier,
    threshold: float,
    threshold_decay: float = 0.0,
    overlap: NDArray[np.float64] | None = None,
) -> NDArray[np.intp]:
    """Merge classes of overlapping Gaussians level by level (venkataramanan2023, 3.1).

    Parameters
    ----------
    model : MahalanobisClassifier
        Fitted: its statistics, and the rule that makes covariances of them.
    threshold, threshold_decay : float
        See `HierarchyBuilder`.
    overlap : ndarray of shape (n_classes, n_classes), optional
        Level-0 overlaps if they are known already.

    Returns
    -------
    levels : ndarray of shape (n_levels, n_classes)
    """
    statistics: ClassStatistics = model.statistics_
    clusters = np.arange(statistics.n_classes, dtype=np.intp)
    levels = [clusters]
    while statistics.n_classes > 1:
        if overlap is None:
            overlap = model.overlap_of(statistics)
        t = max(threshold - (len(levels) - 1) * threshold_decay, min(threshold, LOWEST_THRESHOLD))
        n_clusters, labels = connected_components(csr_array(overlap >= t), directed=False)
        if n_clusters == statistics.n_classes:
            break
        # SciPy numbers components in the order of their first member, and so are the
        # clusters that go in: labels stay numbered by smallest member.
        clusters = labels[clusters].astype(np.intp)
        levels.append(clusters)
        statistics, overlap = statistics.merge(labels), None
    if np.any(clusters):
        levels.append(np.zeros_like(clusters))
    return np.stack(levels)


def cluster_overlap(
    overlap: NDArray[np.float64], threshold: float, linkage: str
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """One dendrogram over 1 - overlap, joined at the root above 1 - threshold.

    Parameters
    ----------
    overlap : ndarray of shape (n_classes, n_classes)
    threshold : float
    linkage : {"average", "complete", "single"}
        Method of `scipy.cluster.hierarchy.linkage`.

    Returns
    -------
    levels : ndarray of shape (n_levels, n_classes)
    heights : ndarray of shape (n_levels,)
    """
    distances = 1.0 - overlap
    np.fill_diagonal(distances, 0.0)
    Z = scipy_linkage(squareform(distances, checks=False), method=linkage)
    return levels_from_linkage(Z, max_height=1.0 - threshold, root_height=1.0)
