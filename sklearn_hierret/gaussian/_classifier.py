"""The class model: Gaussian classes and the nearest of them."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import feature_dtype, row_chunks, unchanged_on_error, validate_classes
from sklearn_hierret.gaussian._bhattacharyya import bhattacharyya_distance
from sklearn_hierret.gaussian._covariance import (
    SCATTER_KIND,
    class_covariances,
    precisions_cholesky,
    squared_mahalanobis,
)
from sklearn_hierret.gaussian._nearest import TOO_FAR, NearestClass
from sklearn_hierret.gaussian._statistics import ClassStatistics


class MahalanobisClassifier(ClassifierMixin, BaseEstimator):
    """Gaussian class model; the nearest class by Mahalanobis distance or likelihood.

    Class c is N(mu_c, Sigma_c) in a space of principal components [1]_. It is the leaf
    model of the retriever and the source of a visual hierarchy's overlaps.

    Parameters
    ----------
    covariance_type : {"full", "tied", "diag", "spherical"}, default="full"
        "tied": one pooled within-class covariance for all classes.
    shrinkage : None, "auto" or float in [0, 1], default="auto"
        Weight of the tied covariance in each class's own; "auto" is d / (n_c + d) with d
        dimensions and n_c samples, so that small classes lean on the others. None adds
        nothing. Of no effect with `covariance_type="tied"`.
    n_components : float in (0, 1), int or None, default=0.999
        Principal components to keep: the fewest that explain this fraction of the
        variance, this many, or no projection. A fraction keeps at most half of
        n_samples - n_classes components, so that few samples still determine a
        within-class covariance. The paper keeps 0.95.
    decision : {"likelihood", "mahalanobis"}, default="likelihood"
        What `predict` maximises and `predict_proba` is made of. "mahalanobis" is the
        paper's rule, proportional to exp(-MD^2 / 2T) without determinants or priors;
        "likelihood" to (prior_c N(x; mu_c, Sigma_c))^(1/T).
    temperature : float, default=4.0
        T above; larger is softer. It does not change `predict`.
    priors : None, "uniform" or array-like of shape (n_classes,), default=None
        Class priors of the likelihood; None takes the class frequencies.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    statistics_ : ClassStatistics
        Counts, means and scatter of the classes in the space of the components.
    mean_ : ndarray of shape (n_features_in_,)
        Mean of all samples, subtracted first.
    components_ : ndarray of shape (n_components_, n_features_in_) or None
        Principal components in rows; None without projection.
    n_components_ : int
    explained_variance_ratio_ : ndarray of shape (n_components_,) or None
    means_ : ndarray of shape (n_classes, n_components_)
        Class means in the space of the components.
    covariances_ : ndarray
        Of shape (n_classes, n_components_, n_components_) for "full", (n_components_,
        n_components_) for "tied", (n_classes, n_components_) for "diag" and (n_classes,)
        for "spherical". They divide by n_c - 1, the tied one by n - n_classes.
    class_prior_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if `X` had string column names.

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, section 3 and eq. 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret import MahalanobisClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MahalanobisClassifier(covariance_type="tied").fit(X, y)
    >>> model.mahalanobis(X[:2]).shape
    (2, 3)
    >>> round(model.score(X, y), 2)
    0.98
    """

    _parameter_constraints: dict = {
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "shrinkage": [None, StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_components": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "decision": [StrOptions({"likelihood", "mahalanobis"})],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "priors": [None, StrOptions({"uniform"}), "array-like"],
    }

    def __init__(
        self,
        covariance_type: str = "full",
        *,
        shrinkage: float | str | None = "auto",
        n_components: float | int | None = 0.999,
        decision: str = "likelihood",
        temperature: float = 4.0,
        priors: ArrayLike | str | None = None,
    ) -> None:
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.decision = decision
        self.temperature = temperature
        self.priors = priors

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> MahalanobisClassifier:
        """Fit means and covariances of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels, at least two distinct ones.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For a class too small for its covariance (named, with its count), singular
            covariances, features that are all constant, or fewer than two classes.
        """
        with unchanged_on_error(self):
            X, classes, codes = validate_classes(self, X, y)
            mean = X.mean(axis=0, dtype=np.float64)
            components, ratio = self._principal_components(X, codes, len(classes), mean)
            kind = SCATTER_KIND[self.covariance_type]
            statistics = ClassStatistics.from_samples(
                X, codes, len(classes), kind, offset=mean, components=components
            )
            covariances, whitening, log_determinants = self.gaussians_of(statistics, classes.tolist())
            priors = self._class_prior(statistics)
            self.classes_ = classes
            self.mean_, self.components_, self.explained_variance_ratio_ = mean, components, ratio
            self.n_components_ = statistics.n_features
            self.statistics_ = statistics
            self.means_ = statistics.means
            self.covariances_ = covariances
            self.precisions_cholesky_ = whitening
            self.log_determinants_ = log_determinants
            self.class_prior_ = priors
            self._nearest = NearestClass.build(
                statistics.means,
                whitening,
                self.covariance_type,
                statistics.total_covariance() if self.covariance_type == "full" else None,
            )
        return self

    def gaussians_of(
        self, statistics: ClassStatistics, names: list | None = None
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Covariances, whitening and log-determinants of classes by this model's rule.

        Parameters
        ----------
        statistics : ClassStatistics
            `statistics_` of the fitted model, or what merging made of it.
        names : list, optional
            Class names for error messages.
        """
        covariances = class_covariances(statistics, self.covariance_type, self.shrinkage, names)
        whitening, log_determinants = precisions_cholesky(
            covariances, self.covariance_type, statistics.counts, names, statistics.n_features
        )
        return covariances, whitening, log_determinants

    def overlap_of(self, statistics: ClassStatistics) -> NDArray[np.float64]:
        """Bhattacharyya coefficients of classes (venkataramanan2023, eq. 2).

        Parameters
        ----------
        statistics : ClassStatistics
            `statistics_` of the fitted model, or what merging made of it.

        Returns
        -------
        overlap : ndarray of shape (n_classes, n_classes)
            In [0, 1], the diagonal 1.
        """
        if statistics is self.statistics_:
            gaussians = self.covariances_, self.precisions_cholesky_, self.log_determinants_
        else:
            gaussians = self.gaussians_of(statistics)
        return np.exp(-bhattacharyya_distance(statistics.means, *gaussians, self.covariance_type))

    def mahalanobis(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mahalanobis distances of samples to the classes (venkataramanan2023, eq. 4).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        distances : ndarray of shape (n_samples, n_classes)
        """
        return self._by_chunk(X, np.sqrt, np.float64)

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable class of each sample by `decision`; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=feature_dtype(X), reset=False)
        constants = np.zeros(len(self.classes_))
        if self.decision == "likelihood":
            with np.errstate(divide="ignore"):  # a prior of zero rules a class out
                constants = self.log_determinants_ - 2 * np.log(self.class_prior_)
        best = np.empty(len(X), dtype=np.intp)
        for rows in row_chunks(len(X), 8 * (3 * self.n_components_ + X.shape[1])):
            best[rows] = self._nearest.find(_project(X[rows], self.mean_, self.components_), constants)
        return self.classes_[best]

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        return self._by_chunk(
            X, lambda squared: log_softmax(self._scores(squared) / self.temperature, axis=1), np.float64
        )

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities at `temperature`, by `decision`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        return np.exp(self.predict_log_proba(X))

    def _scores(self, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.decision == "mahalanobis":
            return -0.5 * squared
        with np.errstate(divide="ignore"):  # a prior of zero rules a class out
            log_prior = np.log(self.class_prior_)
        return -0.5 * (squared + self.log_determinants_) + log_prior

    def _by_chunk(self, X: ArrayLike, function: Callable, dtype: Any) -> NDArray:
        """Apply a function of squared Mahalanobis distances, few rows at a time."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=feature_dtype(X), reset=False)
        row_bytes = 8 * (2 * len(self.classes_) + 3 * self.n_components_ + X.shape[1])
        parts = []
        for rows in row_chunks(len(X), row_bytes):
            projected = _project(X[rows], self.mean_, self.components_)
            with np.errstate(over="ignore", invalid="ignore"):
                squared = squared_mahalanobis(
                    projected, self.means_, self.precisions_cholesky_, self.covariance_type
                )
            if not np.all(np.isfinite(squared)):
                raise ValueError(TOO_FAR)
            parts.append(function(squared).astype(dtype, copy=False))
        return np.concatenate(parts)

    def _principal_components(
        self, X: NDArray, codes: NDArray[np.intp], n_classes: int, mean: NDArray[np.float64]
    ) -> tuple[NDArray | None, NDArray | None]:
        """Components in rows from the total covariance, which the statistics give."""
        if self.n_components is None:
            return None, None
        d = X.shape[1]
        if isinstance(self.n_components, Integral) and self.n_components > d:
            raise ValueError(f"n_components={self.n_components} exceeds the {d} features.")
        with np.errstate(over="ignore", invalid="ignore"):
            total = ClassStatistics.from_samples(X, codes, n_classes, "pooled").total_covariance()
        if not np.all(np.isfinite(total)):
            raise ValueError("The features are so large that their variances overflow: scale them.")
        variances, vectors = linalg.eigh(total)
        variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
        # Constant features leave rounding behind, not variance.
        mean_square = (variances.sum() + mean @ mean) / d
        if variances[0] <= np.finfo(X.dtype).eps ** 2 * mean_square:
            raise ValueError(
                "All features are constant, or so small that their variances vanish: "
                "nothing tells classes apart."
            )
        ratio = variances / variances.sum()
        if isinstance(self.n_components, Integral):
            kept = int(self.n_components)
        else:
            enough = int(np.searchsorted(np.cumsum(ratio), self.n_components, side="right")) + 1
            kept = min(d, enough, max(1, (len(X) - n_classes) // 2))
        return vectors[:, :kept].T.copy(), ratio[:kept]

    def _class_prior(self, statistics: ClassStatistics) -> NDArray[np.float64]:
        k = statistics.n_classes
        if self.priors is None:
            return statistics.counts / statistics.n_samples
        if isinstance(self.priors, str):
            return np.full(k, 1 / k)
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != (k,):
            raise ValueError(f"priors must have shape ({k},), one a class, got {priors.shape}.")
        if np.any(priors < 0) or not np.isclose(priors.sum(), 1):
            raise ValueError("priors must be non-negative and sum to 1.")
        return priors / priors.sum()


def _project(X: NDArray, mean: NDArray, components: NDArray | None) -> NDArray[np.float64]:
    """Samples in the space of the components, in float64."""
    centred = X - mean
    return centred if components is None else centred @ components.T
