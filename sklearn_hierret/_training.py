"""Training sets that are checked once, and the base of the estimators that are fitted to them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from sklearn_hierret._arrays import (
    check_nested,
    check_none_missing,
    check_two_classes,
    feature_dtype,
    plain_labels,
    unchanged_on_error,
)
from sklearn_hierret._frames import rows_of_column
from sklearn_hierret._names import warn_of_twins
from sklearn_hierret._sklearn import check_sample_weight, fit_context
from sklearn_hierret._state import VersionedState


@dataclass(frozen=True)
class TrainingSet:
    """Features and labels that were checked, for all that is fitted to them.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    codes : ndarray of shape (n_samples,)
        Position of each sample's label in them.
    groups : ndarray of shape (n_samples,), uint64, or None
        Hashes of the groups of samples that share a fold.
    weights : ndarray of shape (n_samples,), float64, or None
        How many samples each one counts for, more than 0.
    """

    X: NDArray
    classes: NDArray
    codes: NDArray[np.intp]
    groups: NDArray[np.uint64] | None = None
    weights: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        is_first: bool = True,
    ) -> TrainingSet:
        """Check features and labels for the fit of an estimator, or samples that join those of its fit.

        Samples of weight 0 are left out.

        Raises
        ------
        ValueError
            For anything scikit-learn refuses, and for a fit to fewer than two classes.
        """
        least, X = 2 if is_first else 1, rows_of_column(X)
        X, y = validate_data(
            estimator,
            X,
            plain_labels(y),
            dtype=feature_dtype(X),
            order="C",
            ensure_min_samples=least,
            reset=is_first,
        )
        check_none_missing(y, "labels of y")
        check_classification_targets(y)
        X, y, hashes, weights = weighted(X, y, groups, sample_weight)
        classes, codes = np.unique(y, return_inverse=True)
        if is_first:
            check_two_classes(classes)
        warn_of_twins(classes)
        return cls(X, classes, codes, hashes, weights)

    @cached_property
    def y(self) -> NDArray:
        """Label of each sample."""
        return self.classes[self.codes]

    def stratified_folds(self, n_folds: int) -> list[tuple[NDArray, NDArray]]:
        """Split the samples into stratified folds that keep groups together.

        Raises
        ------
        ValueError
            If no class has `n_folds` samples, or there are fewer groups.
        """
        splitter = StratifiedKFold if self.groups is None else StratifiedGroupKFold
        with warnings.catch_warnings():
            # Of classes smaller than the folds: what is missing in one is in another.
            warnings.simplefilter("ignore", UserWarning)
            folds = splitter(n_folds, shuffle=True, random_state=0)
            return list(folds.split(np.empty(len(self.codes)), self.codes, self.groups))


def hashed_groups(groups: ArrayLike, n_samples: int) -> NDArray[np.uint64]:
    """Check groups, and hash them to numbers that depend on nothing else."""
    array = np.asarray(groups)
    if array.ndim != 1:
        raise ValueError(f"groups must be one-dimensional, got shape {array.shape}.")
    check_consistent_length(array, np.empty(n_samples))
    if pd.isna(array).any():
        raise ValueError("Some groups are missing (NaN or None): give such samples groups of their own.")
    return pd.util.hash_array(array.astype(np.int64 if array.dtype.kind in "iub" else object))


def weighted(
    X: NDArray, y: NDArray, groups: ArrayLike | None, sample_weight: ArrayLike | None
) -> tuple[NDArray, NDArray, NDArray[np.uint64] | None, NDArray[np.float64] | None]:
    """Check groups and weights of samples, and leave out those of weight 0.

    Raises
    ------
    ValueError
        For weights that are negative, not finite, of another length, or all 0.
    """
    hashes = None if groups is None else hashed_groups(groups, len(X))
    if sample_weight is None:
        return X, y, hashes, None
    weights = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    counts = weights > 0
    if not counts.any():
        raise ValueError("sample_weight is 0 for every sample.")
    if counts.all():
        return X, y, hashes, weights
    return X[counts], y[counts], None if hashes is None else hashes[counts], weights[counts]


class LazyAttributes(VersionedState, BaseEstimator):
    """Base of estimators with attributes that are computed when they are asked for."""

    #: How each of them follows from the fitted estimator.
    _lazy: ClassVar[dict[str, Callable[[Any], Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        compute = type(self)._lazy.get(name)
        if compute is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        check_is_fitted(self)
        try:
            return compute(self)
        except NotFittedError:
            raise
        except ValueError as error:
            raise AttributeError(str(error)) from error


class SupervisedEstimator(LazyAttributes):
    """Base of what is fitted to features and labels; a subclass says what a fit does (`_fit`)."""

    def _fit(self, training: TrainingSet) -> None:
        raise NotImplementedError

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Any:
        """Fit to features and labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with unchanged_on_error(self):
            self._fit(TrainingSet.of(self, X, y))
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit_training_set(self, training: TrainingSet) -> Any:
        """Fit to a training set that was checked before, as the estimators of this package do inside others.

        Parameters
        ----------
        training : TrainingSet
            Checked features and labels.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        with unchanged_on_error(self):
            self.n_features_in_ = training.X.shape[1]
            forget_names(self)
            self._fit(training)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class NestedParams(VersionedState, BaseEstimator):
    """For estimators with parameters that are estimators, or None."""

    #: Names of such parameters, and what to pass so that nested ones can be set.
    _nested: ClassVar[dict[str, str]] = {}

    def set_params(self, **params: Any) -> Any:
        """Set parameters, nested ones as ``name__parameter``.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : object
            The estimator.
        """
        for name, remedy in self._nested.items():
            check_nested(self, params, name, remedy)
        return super().set_params(**params)


def fit_to(estimator: Any, training: TrainingSet) -> Any:
    """Fit an estimator to checked samples; those of this package do not check them again."""
    if isinstance(estimator, SupervisedEstimator):
        return estimator.fit_training_set(training)
    return estimator.fit(training.X, training.y)


def forget_names(estimator: Any) -> None:
    """Remove the feature names of a former fit."""
    estimator.__dict__.pop("feature_names_in_", None)


def take_features_of(estimator: Any, inner: Any) -> None:
    """Give an estimator the features that the fitted estimator inside it has seen."""
    estimator.n_features_in_ = inner.n_features_in_
    forget_names(estimator)
    if hasattr(inner, "feature_names_in_"):
        estimator.feature_names_in_ = inner.feature_names_in_
