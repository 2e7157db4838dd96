"""Any classifier of scikit-learn as a class model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.class_models._contract import ClassModel, HeldOutLeaves, held_out_sample
from sklearn_hierret.leaves import N_KEPT, float_dtype, hard_leaves, leaf_dtype, soft_leaves

#: Folds for class models that have none of their own.
N_FOLDS = 3


def class_model_of(classifier: Any) -> ClassModel:
    """Return what a fitted classifier brings by ``__hierret_class_model__``, or else adapt it."""
    if isinstance(classifier, FrozenEstimator):
        inner = class_model_of(classifier.estimator)
        return ClassifierModel(classifier, None if isinstance(inner, ClassifierModel) else inner)
    if hasattr(classifier, "__hierret_class_model__"):
        return classifier.__hierret_class_model__()
    return ClassifierModel(classifier)


@dataclass(frozen=True)
class ClassifierModel:
    """A fitted classifier, asked by its public methods.

    Held-out leaves are those of clones without each of three stratified folds. Where a clone cannot be
    fitted, as where classes are too small to do without a sample, the leaves of its fold are the classifier's
    own. A frozen classifier was not fitted to these samples, unless it keeps folds, which tell.

    Attributes
    ----------
    classifier : fitted classifier
    inner : ClassModel or None
        That of a frozen classifier which brings one.
    """

    classifier: Any
    inner: ClassModel | None = None
    parts = kept = None

    @property
    def keeps_folds(self) -> bool:
        """Return whether a frozen classifier was fitted without each fold of its own."""
        return self.inner is not None and self.inner.keeps_folds

    @property
    def classes(self) -> NDArray:
        """Labels, in the classifier's order."""
        return self.classifier.classes_

    @property
    def runs_in_threads(self) -> bool:
        """Return whether several threads may ask it; other classifiers may have threads of their own."""
        return self.inner is not None

    @property
    def tells_known(self) -> bool:
        """Return whether the classifier has ``known_proba``."""
        return hasattr(self.classifier, "known_proba")

    @property
    def tells_proba(self) -> bool:
        """Return whether the classifier has ``predict_proba``."""
        return hasattr(self.classifier, "predict_proba")

    def leaves(self, X: NDArray, assignment: str) -> NDArray:
        """Compute leaves in chunks of rows."""
        if self.inner is not None:
            return self.inner.leaves(X, assignment)
        dtype, name, n_classes = float_dtype(X), type(self.classifier).__name__, len(self.classes)
        if assignment == "hard":
            return hard_leaves(self._index(self.classifier.predict(X)), dtype)
        if not self.tells_proba:
            raise ValueError(
                f"assignment='soft' needs class probabilities, and {name} has no predict_proba; use "
                "assignment='hard' or another class_model."
            )
        n_kept = min(N_KEPT, n_classes)
        leaves = np.empty((len(X), n_kept), dtype=leaf_dtype(dtype))
        for rows in row_chunks(len(X), 24 * n_classes):
            proba = np.asarray(self.classifier.predict_proba(X[rows]))
            if proba.shape != (rows.stop - rows.start, n_classes) or not np.all(np.isfinite(proba)):
                raise ValueError(
                    f"{name} gave probabilities of shape {proba.shape} for {rows.stop - rows.start} samples "
                    f"of {n_classes} classes, or some that are not finite."
                )
            order = np.argsort(-proba, axis=1, kind="stable")[:, :n_kept]
            leaves[rows] = soft_leaves(order, np.take_along_axis(proba, order, axis=1), dtype)
        return leaves

    def proba(self, X: NDArray) -> NDArray:
        """Compute probabilities, or ones at what is predicted."""
        if self.tells_proba:
            return np.asarray(self.classifier.predict_proba(X))
        return np.eye(len(self.classes))[self._index(self.classifier.predict(X))]

    def known_log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """Compute log-odds of ``known_proba``."""
        if self.inner is not None:
            return self.inner.known_log_odds(X)
        return logit(np.asarray(self.classifier.known_proba(X), dtype=np.float64))

    def held_out(self, training: TrainingSet, assignment: str, *, with_sample: bool = False) -> HeldOutLeaves:
        """Compute leaves by clones that do not see a fold."""
        if self.inner is not None and self.inner.keeps_folds:
            return self.inner.held_out(training, assignment, with_sample=with_sample)
        X, y, n_classes = training.X, training.y, len(self.classes)
        folds, leaves, proba = np.zeros(len(X), dtype=np.int8), self.leaves(X, assignment), None
        sample = held_out_sample(len(X), n_classes)
        if with_sample and self.tells_proba:
            proba = np.asarray(self.classifier.predict_proba(X[sample]), dtype=np.float32)
        for fold, (train, test) in enumerate(_splits(training)):
            folds[test] = fold
            if isinstance(self.classifier, FrozenEstimator):
                continue
            try:
                model = ClassifierModel(clone(self.classifier).fit(X[train], y[train]))
            except ValueError:
                continue
            of_fold, place = model.leaves(X[test], assignment), self._index(model.classes)
            leaves[test] = 0
            leaves["leaf"][test, : of_fold.shape[1]] = place[of_fold["leaf"]]
            leaves["probability"][test, : of_fold.shape[1]] = of_fold["probability"]
            if proba is not None:
                in_fold = np.isin(sample, test)
                dense = np.zeros((int(in_fold.sum()), n_classes))
                if len(dense):
                    dense[:, place] = model.proba(X[sample[in_fold]])
                proba[in_fold] = dense
        return HeldOutLeaves(leaves, folds, None if proba is None else sample, proba)

    def dealt(self, X: NDArray) -> TrainingSet:
        """Raise an error: there are no folds."""
        raise NotImplementedError

    def release(self) -> None:
        """Drop nothing: a classifier is kept as it is."""

    def _index(self, labels: NDArray) -> NDArray[np.intp]:
        """Return positions of labels in the classes, in whatever order those are."""
        classes = self.classes
        sorter = np.argsort(classes, kind="stable")
        place = np.searchsorted(classes, labels, sorter=sorter)
        positions = sorter[np.minimum(place, len(classes) - 1)]
        wrong = np.flatnonzero(classes[positions] != labels)
        if len(wrong):
            name = type(self.classifier).__name__
            raise ValueError(f"{name} predicted {labels[wrong[0]]!r}, which is not in its classes_.")
        return positions


def _splits(training: TrainingSet) -> list[tuple[NDArray, NDArray]]:
    """Split samples into stratified folds; into none where no class can do without a fold."""
    n_samples = len(training.codes)
    if np.bincount(training.codes).max() < N_FOLDS or n_samples < 2 * N_FOLDS:
        return []
    return training.stratified_folds(N_FOLDS)
