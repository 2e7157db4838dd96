"""Leaves of samples: one class each, or the few most probable classes of each.

A leaf is a row of (leaf, probability) pairs: one pair of probability 1 if it is hard. Whatever
probability is left lies on the root, whose distance from every class is 1.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold

from sklearn_hierret._arrays import row_chunks

#: Classes that a soft leaf keeps (docs/defaults.md).
N_KEPT = 16
#: Less than this is rounding of probabilities that should sum to 1.
NO_MASS = 1e-6
#: Folds for class models that have none of their own.
N_FOLDS = 3
#: Samples whose held-out probabilities are kept whole, and numbers in them.
MOST_SAMPLES, MOST_NUMBERS = 8192, 1 << 20


def float_dtype(X: Any) -> np.dtype:
    """Of what is computed from features or what holds them: theirs, or float64 if they are no floats."""
    return X.dtype if X.dtype.kind == "f" else np.dtype(np.float64)


def leaf_dtype(dtype: np.dtype) -> np.dtype:
    """Of soft leaves, with probabilities in some dtype."""
    return np.dtype([("leaf", np.int32), ("probability", dtype)])


def soft_leaves(codes: NDArray, probabilities: NDArray, dtype: np.dtype) -> NDArray:
    """Soft leaves from positions of classes and their probabilities, both (n_samples, n_kept)."""
    leaves = np.zeros(codes.shape, dtype=leaf_dtype(dtype))
    leaves["leaf"], leaves["probability"] = codes, probabilities
    return leaves


def hard_leaves(classes: NDArray[np.intp], dtype: np.dtype) -> NDArray:
    """Leaves that lie on one class each, (n_samples, 1)."""
    return soft_leaves(classes[:, None], np.ones((len(classes), 1)), dtype)


def likeliest(leaves: NDArray) -> NDArray[np.intp]:
    """The most probable class of each sample."""
    return leaves["leaf"][:, 0].astype(np.intp)


def unassigned(leaves: NDArray) -> NDArray[np.float64]:
    """Probability that leaves leave to the root; 0 where it may be rounding."""
    left = np.ones(len(leaves))
    for column in leaves["probability"].T:  # one order, whatever the batch
        left -= column
    return np.where(left > NO_MASS, left, 0.0)


def joined_leaves(parts: list[NDArray]) -> NDArray:
    """Leaves of several parts, which may keep different numbers of classes."""
    width = max(part.shape[1] for part in parts)
    leaves = np.zeros((sum(map(len, parts)), width), dtype=parts[0].dtype)
    start = 0
    for part in parts:
        leaves[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return leaves


def assign_leaves(class_model: Any, X: NDArray, assignment: str) -> NDArray:
    """Leaves of samples by a class model, in chunks of rows.

    Parameters
    ----------
    class_model : fitted classifier
    X : ndarray of shape (n_samples, n_features)
    assignment : {"hard", "soft"}

    Returns
    -------
    leaves : ndarray of shape (n_samples, n_kept)
        Positions in the class model's classes, and probabilities.
    """
    dtype = float_dtype(X)
    if assignment == "hard":
        return hard_leaves(_leaf_index(class_model, class_model.predict(X)), dtype)
    if hasattr(class_model, "predict_leaves"):
        # To check a single sample once more takes longer than to find its leaf.
        of_checked = getattr(class_model, "_leaves_of_checked", class_model.predict_leaves)
        codes, proba = of_checked(X, N_KEPT)
        return soft_leaves(codes, proba, dtype)
    name, n_classes = type(class_model).__name__, len(class_model.classes_)
    if not hasattr(class_model, "predict_proba"):
        raise ValueError(
            f"assignment='soft' needs class probabilities, and {name} has no predict_proba; use "
            "assignment='hard' or another class_model."
        )
    n_kept = min(N_KEPT, n_classes)
    leaves = np.empty((len(X), n_kept), dtype=leaf_dtype(dtype))
    for rows in row_chunks(len(X), 24 * n_classes):
        proba = np.asarray(class_model.predict_proba(X[rows]))
        if proba.shape != (rows.stop - rows.start, n_classes) or not np.all(np.isfinite(proba)):
            raise ValueError(
                f"{name} gave probabilities of shape {proba.shape} for {rows.stop - rows.start} samples of "
                f"{n_classes} classes, or some that are not finite."
            )
        order = np.argsort(-proba, axis=1, kind="stable")[:, :n_kept]
        leaves[rows] = soft_leaves(order, np.take_along_axis(proba, order, axis=1), dtype)
    return leaves


@dataclass(frozen=True)
class HeldOutLeaves:
    """Leaves of training samples, each by a class model that did not see its fold.

    Attributes
    ----------
    leaves : ndarray
        Of either kind.
    folds : ndarray of shape (n_samples,)
        A retriever of held-out samples searches within a fold.
    sample : ndarray of shape (n_sample,) or None
        Some of the samples.
    proba : ndarray of shape (n_sample, n_classes) or None
        All of their probabilities.
    """

    leaves: NDArray
    folds: NDArray[np.integer]
    sample: NDArray[np.intp] | None = None
    proba: NDArray[np.float32] | None = None

    def of_kind(self, assignment: str) -> NDArray | None:
        """Leaves of some kind, if they can be had from these."""
        if assignment == "hard":
            return hard_leaves(likeliest(self.leaves), self.leaves.dtype["probability"])
        return self.leaves if self.leaves.shape[1] > 1 else None


def has_folds(class_model: Any) -> bool:
    """Whether a class model can be asked for its cross-fitted leaves."""
    return hasattr(class_model, "held_out_leaves") and not isinstance(class_model, FrozenEstimator)


def held_out_leaves(
    class_model: Any, X: NDArray, y: NDArray, assignment: str, with_sample: bool = False
) -> HeldOutLeaves:
    """Cross-fitted leaves of the samples that a class model was fitted to.

    A class model with folds of its own (`DiscriminantClassifier`) is asked; others are cloned and
    fitted without each of three stratified folds. Where that fails, as for classes too small to do
    without a sample, the leaves of a fold are those of the class model itself. A frozen class model
    was not fitted to these samples.

    Parameters
    ----------
    class_model : fitted classifier
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
    assignment : {"hard", "soft"}
    with_sample : bool, default=False
        Keep all probabilities of some samples, too, where the class model has them.
    """
    n_classes = len(class_model.classes_)
    n_sample = min(len(X), MOST_SAMPLES, MOST_NUMBERS // n_classes)
    sample = np.unique(np.linspace(0, len(X) - 1, n_sample).astype(np.intp))
    if has_folds(class_model):
        tells_all = with_sample and hasattr(class_model, "held_out_proba")
        codes, proba, folds = class_model.held_out_leaves(X, N_KEPT, keep_models=tells_all)
        leaves = soft_leaves(codes, proba, float_dtype(X))
        if not tells_all:
            return HeldOutLeaves(leaves, folds)
        proba = class_model.held_out_proba(X[sample], keep_models=False)
        return HeldOutLeaves(leaves, folds, sample, proba.astype(np.float32))
    folds = np.zeros(len(X), dtype=np.int8)
    leaves = assign_leaves(class_model, X, assignment)
    proba_of_sample = None
    if with_sample and hasattr(class_model, "predict_proba"):
        proba_of_sample = np.asarray(class_model.predict_proba(X[sample]), dtype=np.float32)
    with warnings.catch_warnings():
        # Of classes smaller than the folds: what is missing in one is in another.
        warnings.simplefilter("ignore", UserWarning)
        splits = list(_splits(X, y))
    for fold, (train, test) in enumerate(splits):
        folds[test] = fold
        if isinstance(class_model, FrozenEstimator):
            continue
        try:
            model = clone(class_model).fit(X[train], y[train])
        except ValueError:
            continue
        mine = assign_leaves(model, X[test], assignment)
        place = _leaf_index(class_model, model.classes_)
        leaves[test] = 0
        leaves["leaf"][test, : mine.shape[1]] = place[mine["leaf"]]
        leaves["probability"][test, : mine.shape[1]] = mine["probability"]
        if proba_of_sample is not None:
            is_mine = np.isin(sample, test)
            dense = np.zeros((int(is_mine.sum()), n_classes))
            if len(dense):
                dense[:, place] = model.predict_proba(X[sample[is_mine]])
            proba_of_sample[is_mine] = dense
    return HeldOutLeaves(leaves, folds, None if proba_of_sample is None else sample, proba_of_sample)


def _splits(X: NDArray, y: NDArray) -> Any:
    _, counts = np.unique(y, return_counts=True)
    if counts.max() < N_FOLDS or len(X) < 2 * N_FOLDS:
        return []  # no class can do without a fold
    return StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, y)


def _leaf_index(class_model: Any, labels: NDArray) -> NDArray[np.intp]:
    """Positions of predicted labels in the class model's classes, in whatever order those are."""
    classes = class_model.classes_
    sorter = np.argsort(classes, kind="stable")
    found = np.searchsorted(classes, labels, sorter=sorter)
    leaves = sorter[np.minimum(found, len(classes) - 1)]
    wrong = np.flatnonzero(classes[leaves] != labels)
    if len(wrong):
        name = type(class_model).__name__
        raise ValueError(f"{name} predicted {labels[wrong[0]]!r}, which is not in its classes_.")
    return leaves
