"""From a training set to what ranks: hierarchy, class model, visual metric, alpha."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from sklearn_hierret._arrays import places_in
from sklearn_hierret._training import TrainingSet, fit_to
from sklearn_hierret.building import LinkageHierarchyBuilder, named
from sklearn_hierret.class_models import HeldOutLeaves
from sklearn_hierret.discriminant import DiscriminantClassifier
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy, shorten
from sklearn_hierret.new_classes import fit_evidence
from sklearn_hierret.retrieval._alpha import choose_alpha
from sklearn_hierret.retrieval._gallery import Gallery, LeafOrigin
from sklearn_hierret.retrieval._leaf_model import HeldOutSample, LeafModel
from sklearn_hierret.retrieval._metric import FittedMetric, fit_metric
from sklearn_hierret.statistics import row_keys


@dataclass(frozen=True)
class FittedRanking:
    """What a fit decides.

    Attributes
    ----------
    leaf_model : LeafModel
    metric : FittedMetric
    alpha : float
    held_out : HeldOutLeaves or None
        Cross-fitted leaves: where the class model keeps folds, and where alpha was chosen by them.
    """

    leaf_model: LeafModel
    metric: FittedMetric
    alpha: float
    held_out: HeldOutLeaves | None


def fit_ranking(
    training: TrainingSet,
    leaf_model: LeafModel,
    *,
    metric: Any,
    alpha: float | str,
    assignment: str,
    stem: float | str,
    scale: float = 1.0,
    keeps_evidence: bool = False,
    report: Callable[[str], None] = lambda message: None,
) -> FittedRanking:
    """Choose the metric and alpha for a hierarchy and a class model.

    The parameters are those of `HierarchicalRetriever`. `scale` is the factor of the cosine distance in the
    distance of the features; with `keeps_evidence` galleries may bring new classes.
    """
    start, model = time.perf_counter(), leaf_model.model
    fitted = fit_metric(metric, model, training)
    report(f"metric {fitted.name}, in {time.perf_counter() - start:.1f} s")
    start, held_out = time.perf_counter(), None
    if isinstance(alpha, str) or model.keeps_folds or training.groups is not None:
        held_out = model.held_out(training, assignment, with_sample=True)
    if isinstance(alpha, str):
        assert held_out is not None
        leaves = held_out.of_kind(assignment)
        assert leaves is not None
        kept = HeldOutLeaves(leaves, held_out.folds)
        tree = leaf_model.ranking_tree(stem)
        alpha = choose_alpha(training.X, training.codes, kept, tree, scale, fitted)
    report(f"alpha {alpha:g}, in {time.perf_counter() - start:.1f} s")
    if keeps_evidence:
        start = time.perf_counter()
        evidence = fit_evidence(training, fitted.visual, fitted.held_out, held_out)
        leaf_model = replace(leaf_model, evidence=evidence)
        report(f"evidence of new classes in {time.perf_counter() - start:.1f} s")
    if held_out is not None:
        if held_out.proba is not None:
            sample = HeldOutSample(held_out.proba, training.y[held_out.sample])
            leaf_model = replace(leaf_model, sample=sample)
        held_out = HeldOutLeaves(held_out.leaves, held_out.folds)
    return FittedRanking(leaf_model, fitted, float(alpha), held_out)


def fit_leaf_model(
    hierarchy: Any,
    class_model: Any,
    training: TrainingSet,
    verbose: bool | int = False,
    report: Callable[[str], None] = lambda message: None,
) -> LeafModel:
    """Fit clones of a builder and a class model.

    A list is a `CombinedHierarchyBuilder` of it. None means the linkage of a `DiscriminantClassifier`'s class
    means; without a class model that of the builder is taken, or else a `DiscriminantClassifier`.
    """
    builder, start = None, time.perf_counter()
    if isinstance(hierarchy, (list, tuple)):
        hierarchy = named(hierarchy)
    if isinstance(hierarchy, (ClassHierarchy, CombinedHierarchy)):
        hierarchy.index(training.classes)  # before the expensive part
    else:
        builder = default_builder(verbose) if hierarchy is None else clone(hierarchy)
        hierarchy = getattr(fit_to(builder, training), "hierarchy_", None)
        if hierarchy is None:
            raise TypeError(
                f"hierarchy must be a builder or a ClassHierarchy, and {type(builder).__name__} "
                "builds no hierarchy_."
            )
    if class_model is not None:
        classifier = fit_to(clone(class_model), training)
    else:
        classifier = getattr(builder, "class_model_", None)
        if classifier is None:
            classifier = fit_to(DiscriminantClassifier(verbose=verbose), training)
    leaf_model = _leaf_model(hierarchy, builder, classifier, training.X.shape[1])
    report(f"hierarchy and class model in {time.perf_counter() - start:.1f} s")
    return leaf_model


def can_learn_more(hierarchy: Any, class_model: Any, metric: Any) -> bool:
    """Tell whether samples can join those that such parameters are fitted to."""
    if not isinstance(metric, str):
        return False
    if hierarchy is not None and not isinstance(hierarchy, (ClassHierarchy, CombinedHierarchy)):
        if not hasattr(hierarchy, "partial_fit"):
            return False
        if class_model is None:
            class_model = getattr(hierarchy, "class_model", None)
            return isinstance(class_model, DiscriminantClassifier)
    return class_model is None or isinstance(class_model, DiscriminantClassifier)


def learned_more(
    model: LeafModel,
    X: NDArray,
    y: NDArray,
    groups: ArrayLike | None,
    y_before: NDArray | None = None,
) -> LeafModel:
    """Let samples join those that a hierarchy and a class model were fitted to; `model` stays as it is.

    With `y_before` they were among those, with these labels, and are moved to other classes; groups are
    hashed then.

    Raises
    ------
    ValueError
        For labels that a given hierarchy lacks.
    """
    hierarchy, builder, classifier = model.hierarchy, model.builder, model.classifier
    if builder is None:
        hierarchy.index(np.unique(y))  # before the expensive part
    else:
        is_shared = getattr(builder, "class_model_", None) is classifier
        builder = _with_more(builder, X, y, groups, y_before)
        hierarchy, classifier = builder.hierarchy_, builder.class_model_ if is_shared else classifier
    if classifier is model.classifier:
        classifier = _with_more(classifier, X, y, groups, y_before)
    return _leaf_model(hierarchy, builder, classifier, X.shape[1])


def moved_samples(model: LeafModel, gallery: Gallery) -> tuple[NDArray[np.intp], NDArray]:
    """Return the gallery samples that a class model has learned with other labels, and these labels.

    Of samples that joined the fit later, only those are known that the class model keeps.
    """
    origin = gallery.origin
    assert gallery.labels is not None
    if not origin.by_fold:
        rows = np.flatnonzero(gallery.samples.serials < origin.n_train)
        before = gallery.labels[rows] if origin.fit_labels is None else origin.fit_labels
    else:
        kept = model.known_model.kept
        assert kept is not None
        place = places_in(row_keys(kept.X), row_keys(gallery.features))
        rows = np.flatnonzero(place >= 0)
        before = kept.y[place[rows]]
    is_moved = before != gallery.labels[rows]
    return rows[is_moved], before[is_moved]


def origin_after_more(gallery: Gallery) -> LeafOrigin:
    """Return where the leaves of a gallery come from after its class model has learned more.

    Any sample may be one of those that were learned from, and those that are added later as well.
    """
    n_train = 0 if gallery.labels is None else len(gallery)
    origin = gallery.origin
    return LeafOrigin(origin.gallery_leaves, n_train, new_classes=origin.new_classes, by_fold=True)


def parents_after_more(before: LeafModel | None, model: LeafModel) -> dict | None:
    """Return where a user put classes that are new to a gallery still; learned trees are others now."""
    if before is None or model.builder is not None:
        return None
    known = set(model.tree.classes.tolist())
    return {label: name for label, name in before.parents if label not in known} or None


def _with_more(
    estimator: Any, X: NDArray, y: NDArray, groups: ArrayLike | None, y_before: NDArray | None
) -> Any:
    """Fit a copy of an estimator partially."""
    learner = copy.copy(estimator)
    if y_before is not None:
        hashes = None if groups is None else np.asarray(groups, dtype=np.uint64)
        before, after = (
            TrainingSet(X, *np.unique(labels, return_inverse=True), hashes) for labels in (y_before, y)
        )
        return learner.relabel_training_set(before, after)
    takes_groups = groups is not None and "groups" in signature(learner.partial_fit).parameters
    return learner.partial_fit(X, y, **({"groups": groups} if takes_groups else {}))


def _leaf_model(hierarchy: Any, builder: Any, classifier: Any, n_features_in: int) -> LeafModel:
    """Bring the classes of a hierarchy and a class model together.

    Raises
    ------
    TypeError, ValueError
        If what a user gave as a class model is none, or knows other classes or features.
    """
    name = type(classifier).__name__
    if not hasattr(classifier, "classes_"):
        raise TypeError(f"class_model must be a classifier, and {name} has no classes_.")
    n_features = getattr(classifier, "n_features_in_", n_features_in)
    if n_features != n_features_in:  # it is frozen
        raise ValueError(
            f"X has {n_features_in} features, but {name} is expecting {n_features} features as input."
        )
    extra = classifier.classes_[~np.isin(classifier.classes_, hierarchy.classes)]
    if len(extra):  # it is frozen
        raise ValueError(
            f"{name} knows classes that the hierarchy lacks: {shorten(extra.tolist())}. Give a "
            "ClassHierarchy of them all, or a class model that is fitted to these labels."
        )
    others = hierarchy.classes[~np.isin(hierarchy.classes, classifier.classes_)]
    tree = hierarchy.restrict(np.concatenate([classifier.classes_, others]))
    return LeafModel(hierarchy, builder, classifier, tree)


def default_builder(verbose: bool | int = False) -> LinkageHierarchyBuilder:
    """Return the builder of a retriever that is given none."""
    return LinkageHierarchyBuilder(
        "average", metric="cosine", heights="rank", class_model=DiscriminantClassifier(verbose=verbose)
    )
