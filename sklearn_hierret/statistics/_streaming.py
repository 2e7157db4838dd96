"""The life of an estimator that is made of statistics: one fit, streams, Dask."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import (
    check_none_missing,
    check_same_kind,
    check_two_classes,
    feature_dtype,
    plain_labels,
    unchanged_on_error,
)
from sklearn_hierret._blocks import is_dask, statistics_of_blocks
from sklearn_hierret._frames import rows_of_column
from sklearn_hierret._sklearn import Interval, fit_context
from sklearn_hierret._training import SupervisedEstimator, TrainingSet, forget_names, weighted
from sklearn_hierret.statistics._folds import FoldStatistics, check_size

#: Told what was done, and which share of the work that is, roughly.
Report = Callable[[str, float], None]


class Statistics(Protocol):
    """What samples leave behind; that of two blocks merges to that of all their samples."""

    classes: NDArray

    def merge(self, other: Self) -> Self:
        """Return the statistics of the samples of both; neither changes."""
        ...


class Rule(Protocol):
    """The parameters that are read at fit, and the two things that they decide."""

    def summarize(self, X: NDArray, y: NDArray, groups: NDArray[np.uint64] | None = None) -> Any:
        """Return the statistics of a block of samples; that of weighted ones takes weights, too."""
        ...

    def model(self, statistics: Any, report: Report) -> Any:
        """Make a model of statistics."""
        ...


@dataclass(frozen=True)
class FoldRule:
    """A rule by `FoldStatistics`."""

    n_folds: int
    seed: int

    def summarize(
        self,
        X: NDArray,
        y: NDArray,
        groups: NDArray[np.uint64] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> FoldStatistics:
        """Return the statistics of a block of samples, fold by fold."""
        check_size(len(X), X.shape[1], self.n_folds, len(np.unique(y)))
        return FoldStatistics.of_block(X, y, self.n_folds, self.seed, groups=groups, weights=weights)


def seed_of(random_state: Any) -> int:
    """Return the seed that a parameter `random_state` gives: an integer itself, or one that is drawn."""
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


#: Of the parameters of a `FoldRule`.
FOLD_CONSTRAINTS: dict = {
    "n_folds": [Interval(Integral, 2, 100, closed="both")],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


class StreamingEstimator(SupervisedEstimator):
    """Gather statistics of samples, and make a model of them when it is asked for.

    A subclass reads its parameters into a `Rule` (`_read_rule`).
    """

    classes_: NDArray
    _statistics: Any
    _rule: Any
    _made: Any  # None while samples come in

    @property
    def _can_stream(self) -> bool:
        """Whether samples can be added, by the parameters as they are."""
        return True

    def _read_rule(self) -> Any:
        """Read the parameters that say how a model is made."""
        raise NotImplementedError

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array-like or dask array of shape (n_samples, n_features)
            A Dask array is read block by block on its workers and never as a whole.
        y : array-like or dask array of shape (n_samples,)
            Class labels, at least two distinct ones.
        groups : array-like of shape (n_samples,), optional
            Samples of one group, such as photographs of one series, share a fold. Not for Dask arrays.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For anything scikit-learn refuses, and for fewer than two classes.
        MemoryError
            Before it starts, if the statistics would take more than half of the machine's memory.
        """
        return self._fit_all(X, y, groups)

    def _fit_all(
        self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None, sample_weight: ArrayLike | None = None
    ) -> Any:
        with unchanged_on_error(self):
            if not is_dask(X):
                self._fit(TrainingSet.of(self, X, y, groups, sample_weight))
                return self
            for name, given in (("groups", groups), ("sample_weight", sample_weight)):
                if given is not None:
                    raise ValueError(f"{name} is for arrays in memory; X is a Dask array.")
            self._rule = self._read_rule()
            statistics = statistics_of_blocks(X, y, self._rule.summarize)
            check_two_classes(statistics.classes)
            self.n_features_in_ = X.shape[1]  # type: ignore[union-attr]
            forget_names(self)
            self._statistics, self.classes_, self._made = statistics, statistics.classes, None
            self._model()
        return self

    def _fit(self, training: TrainingSet) -> None:
        self._rule = self._read_rule()
        self._statistics = self._summary(training.X, training.y, training.groups, training.weights)
        self.classes_, self._made = self._statistics.classes, None
        self._model()

    @available_if(lambda estimator: estimator._can_stream)
    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Any:
        """Add samples; the model of all samples so far is made when it is asked for.

        The model is that of one fit to all samples. Parameters are read at the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels; labels that were not seen before are added.
        classes : array-like, optional
            Accepted as scikit-learn's is; a class counts once it has samples.
        groups : array-like of shape (n_samples,), optional
            See `fit`.

        Returns
        -------
        self : object
            The estimator.
        """
        return self._add(X, y, classes, groups)

    def _add(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None,
        groups: ArrayLike | None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        is_first = not hasattr(self, "classes_")
        with unchanged_on_error(self):
            X = rows_of_column(X)
            X, y = validate_data(self, X, plain_labels(y), dtype=feature_dtype(X), order="C", reset=is_first)
            check_none_missing(y, "labels of y")
            check_classification_targets(y)
            if classes is not None:
                check_same_kind(np.asarray(classes), y, "classes", "the labels")
            if is_first:
                self._rule = self._read_rule()
            block = self._summary(*weighted(X, y, groups, sample_weight))
            self._statistics = block if is_first else self._statistics.merge(block)
            self.classes_, self._made = self._statistics.classes, None
        return self

    def _summary(self, X: NDArray, y: NDArray, groups: NDArray | None, weights: NDArray | None) -> Any:
        if weights is None:
            return self._rule.summarize(X, y, groups)
        return self._rule.summarize(X, y, groups, weights)

    def _model(self) -> Any:
        """Return what was made; make it of what was gathered if need be."""
        check_is_fitted(self)
        if self._made is None:
            if len(self.classes_) < 2:
                raise ValueError(
                    f"At least two classes are needed, got one class so far: {self.classes_.tolist()[0]!r}."
                )
            report = reporter(type(self).__name__) if getattr(self, "verbose", False) else _silent
            self._made = self._rule.model(self._statistics, report)
        return self._made


class WeightedStreamingEstimator(StreamingEstimator):
    """A `StreamingEstimator` whose samples may have weights; its rule takes them."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array-like or dask array of shape (n_samples, n_features)
            A Dask array is read block by block on its workers and never as a whole.
        y : array-like or dask array of shape (n_samples,)
            Class labels, at least two distinct ones.
        groups : array-like of shape (n_samples,), optional
            Samples of one group, such as photographs of one series, share a fold. Not for Dask arrays.
        sample_weight : array-like of shape (n_samples,), optional
            How many samples each one counts for: 2 is what the same sample twice is, 0 leaves it out.
            Not for Dask arrays.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            For anything scikit-learn refuses, and for fewer than two classes.
        MemoryError
            Before it starts, if the statistics would take more than half of the machine's memory.
        """
        return self._fit_all(X, y, groups, sample_weight)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Any:
        """Add samples; the model of all samples so far is made when it is asked for.

        The model is that of one fit to all samples. Parameters are read at the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels; labels that were not seen before are added.
        classes : array-like, optional
            Accepted as scikit-learn's is; a class counts once it has samples.
        groups, sample_weight : array-likes of shape (n_samples,), optional
            See `fit`.

        Returns
        -------
        self : object
            The estimator.
        """
        return self._add(X, y, classes, groups, sample_weight)

    def relabel_training_set(self, before: TrainingSet, after: TrainingSet) -> Any:
        """Move samples of the fit from class to class; the model is made when it is asked for.

        It is that of one fit to the right labels, as long as all rows are kept.

        Parameters
        ----------
        before, after : TrainingSet
            The same samples, with their former and their right labels; new ones are added.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If the fit had fewer samples of a class.
        """
        gone, come = (self._summary(part.X, part.y, part.groups, part.weights) for part in (before, after))
        self._statistics = self._statistics.less(gone).merge(come)
        self.classes_, self._made = self._statistics.classes, None
        return self


def reporter(name: str) -> Report:
    """Return what prints what was done, how long it took and what is left."""
    start = time.perf_counter()

    def report(message: str, share: float) -> None:
        passed = time.perf_counter() - start
        left = f", {share:.0%} done, about {passed * (1 / share - 1):.0f} s left" if share < 1 else ""
        print(f"[{name}] {message}, {passed:.1f} s{left}", flush=True)

    return report


def _silent(message: str, share: float) -> None:
    pass
