"""A class model, and the new classes of a gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from sklearn_hierret._arrays import places_in, row_chunks
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.class_models import ClassModel, HeldOutLeaves
from sklearn_hierret.leaves import N_KEPT, hard_leaves, soft_leaves
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
    parts = kept = None

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

    def leaves(self, X: NDArray, assignment: str, visual: NDArray | None = None) -> NDArray:
        """Compute leaves; they are positions in the gallery's tree.

        `visual` are the visual rows of X, where they are at hand.
        """
        known = self.inner.leaves(X, assignment)
        if not len(self.positions):
            return known
        parts = []
        for part in row_chunks(len(X), 16 * X.shape[1], at_most=CHUNK):
            rows = self._visual(X[part], None if visual is None else visual[part])
            parts.append(self._joined(known[part], rows, self.evidence.scores(rows), assignment))
        return np.concatenate([known[:0], *parts]) if len(parts) != 1 else parts[0]

    def leaves_and_known(
        self,
        X: NDArray,
        assignment: str,
        serials: NDArray[np.intp] | None = None,
        visual: NDArray | None = None,
    ) -> tuple[NDArray, NDArray[np.float64]]:
        """Compute leaves, and the probability that classes are known, in a discovered gallery.

        `serials` are numbers of gallery rows, if the samples are such; `visual` are their visual rows, where
        they are at hand.
        """
        new, evidence = self.new, self.evidence
        assert isinstance(new, DiscoveredClasses)
        rows = self._visual(X, visual)
        scores = evidence.scores(rows)
        leaves = self.inner.leaves(X, assignment)
        signs = evidence.signs(rows, scores, leaves["probability"][:, 0], new.gallery, self._own(serials))
        known = expit(evidence.known_log_odds(signs) + logit(new.share))
        return self._joined(leaves, rows, scores, assignment), known

    def proba(self, X: NDArray) -> NDArray:
        """Compute probabilities of all classes."""
        of_new = self._posterior(X)
        left = np.maximum(1 - of_new.sum(axis=1, keepdims=True), 0)
        return np.concatenate([self.inner.proba(X) * left, of_new], axis=1)

    def known_log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """Compute the log-odds that classes are known, where half of them are."""
        return self.inner.known_log_odds(X)

    def held_out(self, training: TrainingSet, assignment: str, *, with_sample: bool = False) -> HeldOutLeaves:
        """Compute cross-fitted leaves of samples of the fit, which are of known classes."""
        return self.inner.held_out(training, assignment, with_sample=with_sample)

    def dealt(self, X: NDArray) -> TrainingSet:
        """Deal samples to the folds of the known classes' model."""
        return self.inner.dealt(X)

    def release(self) -> None:
        """Drop what only a fit asks for."""
        self.inner.release()

    def _visual(self, X: NDArray, visual: NDArray | None) -> NDArray[np.float32]:
        return self.evidence.visual(X) if visual is None else visual.astype(np.float32, copy=False)

    def _posterior(self, X: NDArray) -> NDArray[np.float32]:
        rows = self.evidence.visual(X)
        return self.new.posterior(rows, self.evidence.scores(rows), self.evidence)

    def _joined(
        self, known: NDArray, rows: NDArray[np.float32], scores: NDArray[np.float32], assignment: str
    ) -> NDArray:
        """Make leaves of those of the known classes and of the new ones."""
        if not len(self.positions):
            return known
        of_new = self.new.posterior(rows, scores, self.evidence)
        left = np.maximum(1 - of_new.sum(axis=1, keepdims=True), 0)
        n = min(N_KEPT, of_new.shape[1])
        best = np.argsort(-of_new, axis=1, kind="stable")[:, :n]
        codes = np.concatenate([known["leaf"], self.positions[best]], axis=1)
        of_both = (known["probability"] * left, np.take_along_axis(of_new, best, axis=1))
        proba = np.concatenate(of_both, axis=1)
        width = min(N_KEPT, codes.shape[1]) if assignment == "soft" else 1
        order = np.argsort(-proba, axis=1, kind="stable")[:, :width]
        codes, dtype = np.take_along_axis(codes, order, axis=1), known.dtype["probability"]
        if assignment == "hard":
            return hard_leaves(codes[:, 0].astype(np.intp), dtype)
        return soft_leaves(codes, np.take_along_axis(proba, order, axis=1), dtype)

    def _own(self, serials: NDArray[np.intp] | None) -> NDArray[np.intp] | None:
        """Return the reference row of the gallery that each sample is itself; -1 for none."""
        if serials is None or not isinstance(self.new, DiscoveredClasses):
            return None
        return places_in(self.new.serials, serials)
