"""The contract of a class model: leaves, P(known), held-out samples, statistics.

`DiscriminantClassifier` keeps it by its method ``__hierret_class_model__``; `ClassifierModel` keeps it for
every other classifier. All arrays are checked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._state import value
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.leaves import hard_leaves, likeliest
from sklearn_hierret.statistics import Parts

#: Samples whose held-out probabilities are kept whole, and numbers in them.
MOST_SAMPLES, MOST_NUMBERS = 8192, 1 << 20


@value("held-out leaves")
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
        """Return leaves of some kind, if they can be had from these."""
        if assignment == "hard":
            return hard_leaves(likeliest(self.leaves), self.leaves.dtype["probability"])
        return self.leaves if self.leaves.shape[1] > 1 else None


class ClassModel(Protocol):
    """What a retriever asks of a fitted class model."""

    @property
    def classes(self) -> NDArray:
        """Labels, in the order in which leaves are numbered."""
        ...

    @property
    def keeps_folds(self) -> bool:
        """Whether it was fitted without each fold of its own, so that `held_out` costs no further fit."""
        ...

    @property
    def runs_in_threads(self) -> bool:
        """Whether several threads may ask it at once."""
        ...

    @property
    def tells_known(self) -> bool:
        """Whether it says how likely the class of a sample is to be known."""
        ...

    @property
    def tells_proba(self) -> bool:
        """Whether it has probabilities of all classes, and not only a prediction."""
        ...

    def leaves(self, X: NDArray, assignment: str) -> NDArray:
        """Compute "soft" or "hard" leaves, (n_samples, n_kept)."""
        ...

    def proba(self, X: NDArray) -> NDArray:
        """Compute probabilities of all classes, (n_samples, n_classes); 0 and 1 where it only predicts."""
        ...

    def known_log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """Compute the log-odds that classes are known, where half of them are, (n_samples,)."""
        ...

    def held_out(self, training: TrainingSet, assignment: str, *, with_sample: bool = False) -> HeldOutLeaves:
        """Compute cross-fitted leaves of the samples of the fit, with all probabilities of some samples."""
        ...

    @property
    def parts(self) -> Parts | None:
        """Statistics of the fit that others may learn from, decomposed; None if it keeps none."""
        ...

    @property
    def kept(self) -> TrainingSet | None:
        """Samples that stand for all of the fit, if it keeps some."""
        ...

    def dealt(self, X: NDArray) -> TrainingSet:
        """Deal samples to the folds that they were in, or would be in; only where it keeps samples."""
        ...

    def release(self) -> None:
        """Drop what only a fit asks for; it is made again when asked for."""
        ...


def held_out_sample(n_samples: int, n_classes: int) -> NDArray[np.intp]:
    """Choose the samples whose held-out probabilities are kept whole."""
    n = min(n_samples, MOST_SAMPLES, MOST_NUMBERS // n_classes)
    return np.unique(np.linspace(0, n_samples - 1, n).astype(np.intp))
