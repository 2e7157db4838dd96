"""The life of an estimator that is made of fold statistics: one fit, streams, Dask."""

from __future__ import annotations

import time
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import (
    check_none_missing,
    check_same_kind,
    check_two_classes,
    feature_dtype,
    row_chunks,
    unchanged_on_error,
    unit_rows,
)
from sklearn_hierret._blocks import is_dask, statistics_of_blocks
from sklearn_hierret.statistics._folds import FoldStatistics, check_size, hashed

#: Told what was done, and which share of the work that is, roughly.
Report = Callable[[str, float], None]


class StreamingEstimator(BaseEstimator):
    """Gather statistics of samples, and make a model of them when it is asked for.

    A subclass has the parameters `n_folds`, `random_state` and `verbose`, says which of its other parameters
    are read at fit (`_read_rule`), and makes a model of statistics by them (`_make`).
    """

    n_folds: int
    random_state: int
    verbose: bool | int
    classes_: NDArray
    _statistics: FoldStatistics
    _rule: Any
    _made: Any  # None while samples come in

    _parameter_constraints: dict = {
        "n_folds": [Interval(Integral, 2, 100, closed="both")],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
        "verbose": ["verbose"],
    }

    def _read_rule(self) -> Any:
        """Read the parameters that say how a model is made."""
        raise NotImplementedError

    def _make(self, statistics: FoldStatistics, rule: Any, report: Report) -> Any:
        """Make a model."""
        raise NotImplementedError

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array-like or dask array of shape (n_samples, n_features)
            A Dask array is read block by block on its workers and never as a whole.
        y : array-like or dask array of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For anything scikit-learn refuses, and for fewer than two classes.
        MemoryError
            Before it starts, if the statistics would take more than half of the machine's memory.
        """
        with unchanged_on_error(self):
            if is_dask(X):
                statistics = statistics_of_blocks(
                    X, y, FoldStatistics.of_block, self.n_folds, self.random_state
                )
                self.n_features_in_ = statistics.n_features
                if hasattr(self, "feature_names_in_"):
                    del self.feature_names_in_
            else:
                statistics = self._of_block(X, y, reset=True)
            check_two_classes(statistics.classes)
            self._folds = self.n_folds, self.random_state
            self._take(statistics, self._read_rule())
            self._model()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Any:
        """Add samples; the model of all samples so far is made when it is asked for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels; labels that were not seen before are added.
        classes : array-like, optional
            Accepted as scikit-learn's is; a class counts once it has samples.

        Returns
        -------
        self : object
        """
        is_first = not hasattr(self, "classes_")
        with unchanged_on_error(self):
            if is_first:
                self._folds = self.n_folds, self.random_state
            block = self._of_block(X, y, reset=is_first, classes=classes)
            statistics = block if is_first else self._statistics.merge(block)
            self._take(statistics, self._read_rule() if is_first else self._rule)
        return self

    def _of_block(
        self, X: ArrayLike, y: ArrayLike, reset: bool, classes: ArrayLike | None = None
    ) -> FoldStatistics:
        X, y = validate_data(self, X, y, dtype=feature_dtype(X), order="C", reset=reset)
        check_none_missing(y, "labels of y")
        check_classification_targets(y)
        if classes is not None:
            check_same_kind(np.asarray(classes), y, "classes", "the labels")
        n_folds, seed = (self.n_folds, self.random_state) if reset else self._folds
        check_size(len(X), X.shape[1], n_folds, len(np.unique(y)))
        return FoldStatistics.of_block(X, y, n_folds, seed)

    def _take(self, statistics: FoldStatistics, rule: Any) -> None:
        self._statistics, self._rule, self._made = statistics, rule, None
        self.classes_ = statistics.classes

    def _model(self) -> Any:
        """Return what was made; make it of what was gathered if need be."""
        check_is_fitted(self)
        if self._made is None:
            if len(self.classes_) < 2:
                raise ValueError(
                    f"At least two classes are needed, got one class so far: {self.classes_.tolist()[0]!r}."
                )
            self._made = self._make(self._statistics, self._rule, self._report())
        return self._made

    def _report(self) -> Report:
        start = time.perf_counter()

        def report(message: str, share: float) -> None:
            if self.verbose:
                passed = time.perf_counter() - start
                left = f", {share:.0%} done, about {passed * (1 / share - 1):.0f} s left" if share < 1 else ""
                print(f"[{type(self).__name__}] {message}, {passed:.1f} s{left}", flush=True)

        return report

    def _rows(self, X: ArrayLike) -> NDArray:
        return validate_data(self, X, dtype=feature_dtype(X), order="C", reset=False)

    def _folds_of(self, X: NDArray) -> NDArray[np.int8]:
        """Find the fold of each of some checked rows."""
        folds = np.empty(len(X), dtype=np.int8)
        for rows in row_chunks(len(X), 24 * X.shape[1]):
            unit = unit_rows(X[rows].astype(np.float64, copy=False))[0]
            folds[rows] = hashed(unit, *self._folds)[1]
        return folds
