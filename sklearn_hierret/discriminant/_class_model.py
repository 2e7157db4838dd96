"""The class model of fold statistics: the model of all samples, those without a fold, and P(known)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import places_in, row_chunks
from sklearn_hierret._state import value
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.class_models import HeldOutLeaves, held_out_sample
from sklearn_hierret.discriminant._fit import FittedModel, Settings, fit_models
from sklearn_hierret.discriminant._model import DiscriminantModel
from sklearn_hierret.discriminant._novelty import Novelty, fit_novelty
from sklearn_hierret.leaves import N_KEPT, float_dtype, hard_leaves, soft_leaves
from sklearn_hierret.statistics import FoldStatistics, Parts, Report, folds_of, row_keys


@value("discriminant rule")
@dataclass(frozen=True)
class Rule(Settings):
    """What the user asked for, and how a class model is made by it."""

    def model(self, statistics: FoldStatistics, report: Report) -> FoldedClassModel:
        """Fit all models, and keep what was made on the way."""
        parts = Parts(statistics)
        fitted, models = fit_models(parts, self, report)
        made = FoldedClassModel(statistics, self, fitted)
        made.__dict__.update(parts=parts, models=models)
        return made


@value("discriminant class model")
@dataclass
class FoldedClassModel:
    """What a `DiscriminantClassifier` fits, which keeps the contract of a class model.

    Attributes
    ----------
    statistics : FoldStatistics
    rule : Rule
    fitted : FittedModel
    novelty : Novelty or None
        Made when it is asked for.
    """

    statistics: FoldStatistics
    rule: Rule
    fitted: FittedModel
    novelty: Novelty | None = None
    keeps_folds = runs_in_threads = tells_known = tells_proba = True

    @property
    def classes(self) -> NDArray:
        """Sorted labels."""
        return self.statistics.classes

    @property
    def prior(self) -> NDArray[np.float64]:
        """Share of each class in the samples."""
        counts = self.statistics.class_counts
        return counts / counts.sum()

    @cached_property
    def parts(self) -> Parts:
        """The statistics, decomposed."""
        return Parts(self.statistics)

    @property
    def kept(self) -> TrainingSet:
        """Unit rows that the statistics keep, in their folds."""
        return self.statistics.training_set(self.rule.seed)

    def dealt(self, X: NDArray) -> TrainingSet:
        """Deal samples to the folds that they were in, or would be in by their hash."""
        folds = folds_of(X, self.rule.n_folds, self.rule.seed)
        kept = self.statistics
        place = places_in(row_keys(kept.rows), row_keys(X))
        is_kept = place >= 0
        folds[is_kept] = kept.folds[place[is_kept]]  # there may have been groups
        groups = kept.group_of_folds(self.rule.seed)[folds]
        return TrainingSet(X, self.classes, np.zeros(len(X), dtype=np.intp), groups)

    @cached_property
    def models(self) -> list[DiscriminantModel | None]:
        """Models without one fold each; None where less than two classes would be left."""
        return fit_models(self.parts, self.rule, lambda message, share: None)[1]

    def release(self) -> None:
        """Drop decompositions and the models without a fold; they are made again when asked for."""
        for name in ("parts", "models"):
            self.__dict__.pop(name, None)

    def leaves(self, X: NDArray, assignment: str) -> NDArray:
        """Compute leaves; hard ones are the most probable classes."""
        codes, proba = self.fitted.model.top(X, N_KEPT if assignment == "soft" else 1)
        if assignment == "hard":
            return hard_leaves(codes[:, 0].astype(np.intp), float_dtype(X))
        return soft_leaves(codes, proba, float_dtype(X))

    def proba(self, X: NDArray) -> NDArray:
        """Compute probabilities of all classes."""
        return self.fitted.model.proba(X)

    def known_log_odds(self, X: NDArray) -> NDArray[np.float64]:
        """Compute the log-odds that classes are known, where half of them are."""
        if self.novelty is None:
            self.novelty = fit_novelty(self.parts, self.rule, self.fitted)
        return self.novelty.log_odds(X)

    def held_out(self, training: TrainingSet, assignment: str, *, with_sample: bool = False) -> HeldOutLeaves:
        """Compute leaves by the models without a fold."""
        codes, proba, folds = self.held_out_top(training.X, N_KEPT, training.groups)
        leaves = soft_leaves(codes, proba, float_dtype(training.X))
        if not with_sample:
            return HeldOutLeaves(leaves, folds)
        sample = held_out_sample(len(folds), len(self.classes))
        of_sample = self.held_out_proba(training.X[sample], folds[sample]).astype(np.float32)
        return HeldOutLeaves(leaves, folds, sample, of_sample)

    def held_out_top(
        self, X: NDArray, n_kept: int, groups: NDArray[np.uint64] | None = None
    ) -> tuple[NDArray[np.int32], NDArray, NDArray[np.int8]]:
        """Compute the most probable classes, their probabilities and the folds of samples."""
        folds = folds_of(X, self.rule.n_folds, self.rule.seed, groups)
        n_kept = min(n_kept, len(self.classes))
        codes, proba = np.empty((len(X), n_kept), dtype=np.int32), np.empty((len(X), n_kept), dtype=X.dtype)
        frequent = np.argsort(-self.prior, kind="stable")[:n_kept]
        for rows, model in self._by_fold(X, folds):
            if model is None:
                codes[rows], proba[rows] = frequent, self.prior[frequent]
            else:
                codes[rows], proba[rows] = model.top(X[rows], n_kept)
        return codes, proba, folds

    def held_out_proba(self, X: NDArray, folds: NDArray[np.int8]) -> NDArray:
        """Compute probabilities of all classes by the models without the samples' folds."""
        proba = np.empty((len(X), len(self.classes)), dtype=X.dtype)
        for rows, model in self._by_fold(X, folds):
            proba[rows] = self.prior if model is None else model.proba(X[rows])
        return proba

    def _by_fold(
        self, X: NDArray, folds: NDArray
    ) -> Iterator[tuple[NDArray[np.intp], DiscriminantModel | None]]:
        """Yield rows, a chunk at a time, and the model that did not see their fold."""
        for fold, model in enumerate(self.models):
            rows_of_fold = np.flatnonzero(folds == fold)
            for chunk in row_chunks(len(rows_of_fold), 2 * X.itemsize * X.shape[1]):
                yield rows_of_fold[chunk], model
