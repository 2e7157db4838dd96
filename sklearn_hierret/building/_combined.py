"""Several hierarchies as one: visual and semantic distances added."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._sklearn import BaseComposition, StrOptions
from sklearn_hierret._training import SupervisedEstimator, TrainingSet, fit_to
from sklearn_hierret.building._class_distances import distances_of_hierarchy, linked, of_classes
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy, check_weights


class CombinedHierarchyBuilder(BaseComposition, SupervisedEstimator):
    """Weighted mean of the distances of several hierarchies, or one hierarchy of several class distances.

    A taxonomy, or the names of the classes, says what things are; a visual hierarchy says what they look
    like. This builder adds the two distances.

    Parameters
    ----------
    hierarchies : list of (str, builder or ClassHierarchy) tuples
        Builders are cloned and fitted, hierarchies restricted to the classes of `y`.
        Parameters of builders are set as ``name__parameter``, whole entries as ``name``.
    weights : array-like of shape (n_hierarchies,), default=None
        Non-negative, not all zero; divided by their sum. None: equal weights.
    linkage : {"average", "complete", "single", "weighted"}, default=None
        None adds the distances of the finished hierarchies. Otherwise class distances are added first, each
        divided by its mean, and one tree is made of the sums by that linkage, with heights by rank.
        The class distances are those that `LinkageHierarchyBuilder` and `TextHierarchyBuilder` cluster, and
        the hierarchical distances of others.

    Attributes
    ----------
    hierarchy_ : CombinedHierarchy, or ClassHierarchy with a `linkage`
    builders_ : list of (str, fitted builder or ClassHierarchy) tuples
    class_model_ : fitted classifier
        That of the first builder that has one; missing if none has.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import ClassHierarchy, CombinedHierarchyBuilder, HierarchyBuilder
    >>> X, y = load_iris(return_X_y=True)
    >>> taxonomy = ClassHierarchy.from_levels([[0, 1, 2], [0, 1, 0], [0, 0, 0]])
    >>> builder = CombinedHierarchyBuilder(
    ...     [("visual", HierarchyBuilder(0.1)), ("taxonomy", taxonomy)], weights=[1, 1]
    ... )
    >>> builder.fit(X, y).hierarchy_.distance(0, [1, 2])
    array([1.  , 0.75])
    """

    _parameter_constraints: dict = {
        "hierarchies": [list, tuple],
        "weights": ["array-like", None],
        "linkage": [StrOptions({"average", "complete", "single", "weighted"}), None],
    }

    def __init__(
        self, hierarchies: Any, weights: ArrayLike | None = None, *, linkage: str | None = None
    ) -> None:
        self.hierarchies = hierarchies
        self.weights = weights
        self.linkage = linkage

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return parameters, with ``deep`` those of the entries, too.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        params : dict
        """
        return self._get_params("hierarchies", deep=deep)

    def set_params(self, **params: Any) -> CombinedHierarchyBuilder:
        """Set parameters, nested ones as ``name__threshold``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        self._set_params("hierarchies", **params)
        return self

    def _fit(self, training: TrainingSet) -> None:
        parts = self._checked_parts()
        weights = check_weights(self.weights, len(parts))
        for _, part in parts:
            if isinstance(part, ClassHierarchy):
                part.index(training.classes)  # before the expensive part
        self.builders_ = [
            (name, part if isinstance(part, ClassHierarchy) else fit_to(clone(part), training))
            for name, part in parts
        ]
        self.classes_, self._fit_linkage = training.classes, self.linkage
        self.hierarchy_ = self.combined(weights)
        self.__dict__.pop("class_model_", None)
        models = [part.class_model_ for _, part in self.builders_ if hasattr(part, "class_model_")]
        if models:
            self.class_model_ = models[0]

    def combined(self, weights: ArrayLike) -> CombinedHierarchy | ClassHierarchy:
        """Combine the fitted builders with other weights.

        Parameters
        ----------
        weights : array-like of shape (n_hierarchies,)

        Returns
        -------
        hierarchy : CombinedHierarchy or ClassHierarchy
        """
        check_is_fitted(self, "builders_")
        weights = check_weights(weights, len(self.builders_))
        parts, n = [part for _, part in self.builders_], len(self.classes_)
        trees = [getattr(part, "hierarchy_", part).restrict(self.classes_) for part in parts]
        if self._fit_linkage is None:
            return CombinedHierarchy(trees, weights)
        total = np.zeros(n * (n - 1) // 2)
        for part, tree, weight in zip(parts, trees, weights, strict=True):
            if isinstance(part, ClassHierarchy) or not hasattr(part, "class_distances"):
                distances = distances_of_hierarchy(tree)
            else:  # a frozen builder may know more classes
                distances = of_classes(part.class_distances(), part.classes_, self.classes_)
            total += weight / distances.mean() * distances
        of_features = all(tree.origin == "features" for tree in trees)
        tree = linked(total, self.classes_, self._fit_linkage, "rank")[1]
        return tree.with_origin("features" if of_features else "mixed")

    def _checked_parts(self) -> list[tuple[str, Any]]:
        parts = list(self.hierarchies)
        if not parts:
            raise ValueError("hierarchies is empty: it needs at least one (name, builder or ClassHierarchy).")
        for part in parts:
            if not isinstance(part, tuple) or len(part) != 2 or not isinstance(part[0], str):
                raise ValueError(f"hierarchies holds (name, builder or ClassHierarchy) tuples, got {part!r}.")
            if not isinstance(part[1], ClassHierarchy) and not hasattr(part[1], "fit"):
                raise TypeError(f"{part[0]!r} must be a builder or a ClassHierarchy, got {part[1]!r}.")
        self._validate_names([name for name, _ in parts])
        return parts


def named(hierarchies: list | tuple) -> CombinedHierarchyBuilder:
    """Return a builder of hierarchies, those without a name numbered."""
    parts = [h if isinstance(h, tuple) else (f"hierarchy{i}", h) for i, h in enumerate(hierarchies)]
    return CombinedHierarchyBuilder(parts)
