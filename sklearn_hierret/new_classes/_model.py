"""A class model, and the new classes of a gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.class_models import ClassModel, HeldOutLeaves
from sklearn_hierret.leaves import N_KEPT, float_dtype, hard_leaves, likeliest, soft_leaves
from sklearn_hierret.new_classes._evidence import Evidence
from sklearn_hierret.new_classes._leaves import DiscoveredClasses, TaughtClasses

#: Rows that are asked about at once.
CHUNK = 4096


@dataclass(frozen=True)
class OpenModel:
    """A class model of known classes, extended by those that a gallery brought; it keeps the contract.

    The class model shares out what the new classes leave.

    Attributes
    ----------
    inner : ClassModel
    evidence : Evidence
    new : TaughtClasses or DiscoveredClasses
    positions : ndarray of shape (n_new,)
        Position in the gallery's tree of each new class.
    """

    inner: ClassModel
    evidence: Evidence
    new: TaughtClasses | DiscoveredClasses
    positions: NDArray[np.intp]
    keeps_folds = False
    parts = None

    @property
    def classes(self) -> NDArray:
        """Labels of known and of new classes."""
        return np.concatenate([self.inner.classes, self.new.labels])

    @property
    def runs_in_threads(self) -> bool:
        """Whether several threads may ask it at once."""
        return self.inner.runs_in_threads

    @property
    def tells_known(self) -> bool:
        """Whether it says how likely the class of a sample is to be known."""
        return self.inner.tells_known or isinstance(self.new, DiscoveredClasses)

    @property
    def tells_proba(self) -> bool:
        """Whether it has probabilities of all classes."""
        return self.inner.tells_proba

    def leaves(self, X: NDArray, assignment: str) -> NDArray:
        """Compute leaves; they are positions in the gallery's tree."""
        known = self.inner.leaves(X, assignment)
        if not len(self.positions):
            return known
        dtype = float_dtype(X)
        width = min(N_KEPT, known.shape[1] + len(self.positions)) if assignment == "soft" else 1
        result = soft_leaves(np.zeros((len(X), width), np.intp), np.zeros((len(X), width)), dtype)
        for part in row_chunks(len(X), 16 * X.shape[1], at_most=CHUNK):
            of_new = self._posterior(X[part])
            left = 1 - of_new.sum(axis=1, keepdims=True)
            n = min(N_KEPT, of_new.shape[1])
            best = np.argsort(-of_new, axis=1, kind="stable")[:, :n]
            codes = np.concatenate([known["leaf"][part], self.positions[best]], axis=1)
            of_known = known["probability"][part] * np.maximum(left, 0)
            proba = np.concatenate([of_known, np.take_along_axis(of_new, best, axis=1)], axis=1)
            order = np.argsort(-proba, axis=1, kind="stable")[:, :width]
            codes = np.take_along_axis(codes, order, axis=1)
            result[part] = soft_leaves(codes, np.take_along_axis(proba, order, axis=1), dtype)
        return hard_leaves(likeliest(result), dtype) if assignment == "hard" else result

    def proba(self, X: NDArray) -> NDArray:
        """Compute probabilities of all classes."""
        of_new = self._posterior(X)
        left = np.maximum(1 - of_new.sum(axis=1, keepdims=True), 0)
        return np.concatenate([self.inner.proba(X) * left, of_new], axis=1)

    def known_log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """Compute the log-odds that classes are known, where half of them are."""
        return self.inner.known_log_odds(X)

    def known_proba(self, X: NDArray, serials: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Compute the probability that the classes of samples in a discovered gallery are known.

        `serials` are numbers of gallery rows, if the samples are such.
        """
        new, evidence = self.new, self.evidence
        assert isinstance(new, DiscoveredClasses)
        rows = evidence.visual(X)
        own = None
        if serials is not None:
            order = np.argsort(new.serials)
            place = np.minimum(np.searchsorted(new.serials[order], serials), len(order) - 1)
            own = np.where(new.serials[order][place] == serials, order[place], -1)
        largest = self.inner.leaves(X, "soft" if self.tells_proba else "hard")["probability"][:, 0]
        signs = evidence.signs(rows, evidence.scores(rows), largest, new.gallery, own)
        return expit(evidence.known_log_odds(signs) + logit(new.share))

    def held_out(self, training: TrainingSet, assignment: str, *, with_sample: bool = False) -> HeldOutLeaves:
        """Compute cross-fitted leaves of samples of the fit, which are of known classes."""
        return self.inner.held_out(training, assignment, with_sample=with_sample)

    def release(self) -> None:
        """Drop what only a fit asks for."""
        self.inner.release()

    def _posterior(self, X: NDArray) -> NDArray[np.float32]:
        rows = self.evidence.visual(X)
        return self.new.posterior(rows, self.evidence.scores(rows), self.evidence)
