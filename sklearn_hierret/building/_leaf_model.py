"""What an estimator with leaves is fitted with: a hierarchy and a class model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from sklearn.base import clone

from sklearn_hierret.building._alpha import choose_alpha, expected_distances
from sklearn_hierret.building._combined import CombinedHierarchyBuilder, named
from sklearn_hierret.building._leaves import HeldOutLeaves, assign_leaves, has_folds, held_out_leaves
from sklearn_hierret.building._linkage import LinkageHierarchyBuilder
from sklearn_hierret.building._metric import FittedMetric
from sklearn_hierret.building._text import TextHierarchyBuilder
from sklearn_hierret.discriminant import DiscriminantClassifier
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy, shorten

#: Stem of hierarchies learned from features, of those that names or given ones are part of, and of given ones
#: (docs/defaults.md).
LEARNED_STEM, MIXED_STEM, GIVEN_STEM = 0.7, 0.6, 0.5


def auto_stem(builder: Any) -> float:
    """Stem of the hierarchy that a fitted builder made, or that was given."""
    if builder is None:
        return GIVEN_STEM
    parts = [part for _, part in getattr(builder, "builders_", [("", builder)])]
    parts = [getattr(part, "estimator", part) for part in parts]  # of frozen ones
    of_meaning = any(isinstance(part, (ClassHierarchy, TextHierarchyBuilder)) for part in parts)
    return MIXED_STEM if of_meaning else LEARNED_STEM


def default_builder(verbose: bool | int = False) -> LinkageHierarchyBuilder:
    """The visual hierarchy of a retriever that is given none."""
    return LinkageHierarchyBuilder(
        "average",
        metric="cosine",
        heights="rank",
        class_model=DiscriminantClassifier(verbose=verbose),
    )


@dataclass(frozen=True)
class LeafModel:
    """What a fit makes of a hierarchy and a class model.

    Attributes
    ----------
    hierarchy : ClassHierarchy or CombinedHierarchy
    builder : fitted builder, or None if a hierarchy was given
    class_model : fitted classifier
    tree : ClassHierarchy or CombinedHierarchy
        The hierarchy with its classes in the order in which leaves are numbered: those of the class
        model, and then those that only the hierarchy knows.
    stem : float or "auto"
    """

    hierarchy: ClassHierarchy | CombinedHierarchy
    builder: Any
    class_model: Any
    tree: ClassHierarchy | CombinedHierarchy
    stem: float | str = "auto"

    def with_stem(self, stem: float | str) -> LeafModel:
        """The same with another stem."""
        return self if stem == self.stem else replace(self, stem=stem)

    def with_weights(self, weights: ArrayLike) -> LeafModel:
        """The same with other weights of a combined hierarchy's parts."""
        if isinstance(self.builder, CombinedHierarchyBuilder):
            hierarchy = self.builder.combined(weights)
        else:
            assert isinstance(self.hierarchy, CombinedHierarchy)
            hierarchy = CombinedHierarchy(self.hierarchy.hierarchies, weights)
        return replace(self, hierarchy=hierarchy, tree=hierarchy.restrict(self.tree.classes))

    @cached_property
    def ranking_tree(self) -> ClassHierarchy | CombinedHierarchy:
        """The tree that distances are taken from: those of different leaves are at least the stem."""
        return self.tree.with_stem(self.stem_used)

    @property
    def stem_used(self) -> float:
        """The stem as a number."""
        return auto_stem(self.builder) if isinstance(self.stem, str) else float(self.stem)

    def distances(self, leaves: NDArray) -> NDArray[np.float64]:
        """Expected D_H of leaves to all classes, (n_samples, n_classes)."""
        return expected_distances(leaves, self.ranking_tree)

    def assign(self, X: NDArray, assignment: str) -> NDArray:
        """Leaves of samples, see `assign_leaves`."""
        return assign_leaves(self.class_model, X, assignment)

    def held_out(self, X: NDArray, y: NDArray, assignment: str, with_sample: bool = False) -> HeldOutLeaves:
        """Leaves of training samples, see `held_out_leaves`."""
        return held_out_leaves(self.class_model, X, y, assignment, with_sample)

    @property
    def tells_known(self) -> bool:
        """Whether the class model says how well a sample is known."""
        return hasattr(self.class_model, "known_proba")

    def known_log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """Log-odds that the class model knows the classes of samples, where it knows half of them."""
        if hasattr(self.class_model, "_known_log_odds_of_checked"):
            return self.class_model._known_log_odds_of_checked(X)
        return logit(np.asarray(self.class_model.known_proba(X), dtype=np.float64))

    def release(self) -> None:
        """Drop what only a fit asks the class model for."""
        if has_folds(self.class_model) and hasattr(self.class_model, "release"):
            self.class_model.release()

    def of_labels(self, labels: NDArray | None, gallery_leaves: str) -> NDArray[np.intp]:
        """Leaf of each label; -1 for those that the hierarchy lacks.

        Raises
        ------
        ValueError
            If `gallery_leaves` is "labels" and there are such labels, or none at all.
        """
        if labels is None:
            raise ValueError("gallery_leaves='labels' needs labels: pass y with the gallery.")
        leaf_of = {label: i for i, label in enumerate(self.tree.classes.tolist())}
        distinct, inverse = np.unique(labels, return_inverse=True)
        leaves = np.array([leaf_of.get(label, -1) for label in distinct.tolist()], dtype=np.intp)
        if gallery_leaves == "labels" and np.any(leaves < 0):
            raise ValueError(
                "gallery_leaves='labels', and the hierarchy lacks these labels: "
                f"{shorten(distinct[leaves < 0].tolist())}. With 'auto' such samples get predicted leaves."
            )
        return leaves[inverse]


def fit_leaf_model(
    hierarchy: Any,
    class_model: Any,
    X: NDArray,
    y: NDArray,
    stem: float | str = "auto",
    verbose: bool | int = False,
) -> LeafModel:
    """Fit clones of a builder and a class model.

    Parameters
    ----------
    hierarchy : builder, ClassHierarchy, CombinedHierarchy, list of these or None
        None means `default_builder`; a list, a `CombinedHierarchyBuilder` of it.
    class_model : classifier or None
        None means the builder's class model, or else a `DiscriminantClassifier`.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    stem : float or "auto", default="auto"
    verbose : bool, default=False
        Of class models that are made here.
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
    if not hasattr(class_model, "classes_"):
        name = type(class_model).__name__
        raise TypeError(f"class_model must be a classifier, and {name} has no classes_.")
    extra = class_model.classes_[~np.isin(class_model.classes_, hierarchy.classes)]
    if len(extra):  # it is frozen
        raise ValueError(
            f"{type(class_model).__name__} knows classes that the hierarchy lacks: "
            f"{shorten(extra.tolist())}. Give a ClassHierarchy of them all, or a class model that is fitted "
            "to these labels."
        )
    others = hierarchy.classes[~np.isin(hierarchy.classes, class_model.classes_)]
    tree = hierarchy.restrict(np.concatenate([class_model.classes_, others]))
    return LeafModel(hierarchy, builder, class_model, tree, stem)


def fit_alpha(
    alpha: float | str,
    leaf_model: LeafModel,
    X: NDArray,
    y: NDArray,
    assignment: str,
    scale: float = 1.0,
    metric: FittedMetric | None = None,
) -> tuple[float, HeldOutLeaves | None]:
    """Choose the weight of the hierarchical distance; return cross-fitted leaves, too, if there are some.

    They are for class models with folds of their own, and where alpha is to be chosen by them.

    Parameters
    ----------
    alpha : float or "auto"
    leaf_model : LeafModel
    X : ndarray of shape (n_samples, n_features)
        As the class model was given them.
    y : ndarray of shape (n_samples,)
    assignment : {"hard", "soft"}
    scale, metric
        See `choose_alpha`.
    """
    held_out = None
    if isinstance(alpha, str) or has_folds(leaf_model.class_model):
        held_out = leaf_model.held_out(X, y, assignment, with_sample=True)
    if not isinstance(alpha, str):
        return float(alpha), held_out
    assert held_out is not None
    kept = held_out.of_kind(assignment)
    assert kept is not None
    codes = np.unique(y, return_inverse=True)[1]
    held_out_kind = HeldOutLeaves(kept, held_out.folds)
    return choose_alpha(X, codes, held_out_kind, leaf_model.ranking_tree, scale, metric), held_out
