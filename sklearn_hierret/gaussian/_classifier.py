"""The class model: Gaussian classes and the nearest of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.model_selection import StratifiedKFold
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import (
    check_memory_share,
    check_same_kind,
    check_two_classes,
    feature_dtype,
    row_chunks,
    unchanged_on_error,
    validate_classes,
)
from sklearn_hierret._blocks import is_dask, statistics_of_blocks
from sklearn_hierret.gaussian._bhattacharyya import Gaussians, bhattacharyya_distance
from sklearn_hierret.gaussian._covariance import squared_mahalanobis
from sklearn_hierret.gaussian._model import GaussianModel, GaussianRule, streaming_kind
from sklearn_hierret.gaussian._nearest import TOO_FAR
from sklearn_hierret.gaussian._statistics import ClassStatistics
from sklearn_hierret.gaussian._streaming import LabelledStatistics
from sklearn_hierret.gaussian._temperature import best_temperature

#: Statistics of all features that a fit keeps for partial_fit: 128 megabytes.
MOST_NUMBERS = 1 << 24
#: Folds that a temperature is chosen in.
N_FOLDS = 5
#: Scores of held-out samples that it is chosen by.
MOST_SCORES = 1 << 24


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
        dimensions and n_c samples, so that small classes rely on the others. None: no
        shrinkage. Without effect for `covariance_type="tied"`.
    n_components : float in (0, 1), int or None, default=0.999
        Principal components to keep: the fewest that explain this fraction of the
        variance, this many, or no projection. A fraction keeps at most half of
        n_samples - n_classes components, so that few samples still determine a
        within-class covariance. The paper keeps 0.95.
    decision : {"likelihood", "mahalanobis"}, default="likelihood"
        What `predict` maximises and `predict_proba` is made of. "mahalanobis" is the
        paper's rule, proportional to exp(-MD^2 / 2T) without determinants or priors;
        "likelihood" to (prior_c N(x; mu_c, Sigma_c))^(1/T).
    temperature : float or "auto", default=4.0
        T above; larger is softer. It does not change `predict`. "auto" takes the one of the
        greatest likelihood of held-out labels, in a cross-validation of 5 folds.
    priors : None, "uniform" or array-like of shape (n_classes,), default=None
        Class priors of the likelihood; None takes the class frequencies.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    statistics_ : ClassStatistics
        Counts, means and scatter of the classes in the space of the components.
    mean_, components_, n_components_, explained_variance_ratio_
        The projection; no components without one.
    means_, covariances_, precisions_cholesky_, log_determinants_, class_prior_
        The Gaussians, in the space of the components.
    temperature_ : float
        The chosen temperature, if `temperature` is "auto".
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
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

    _model: Any  # GaussianModel, None while samples come in
    _prior: Any
    _raw: Any  # LabelledStatistics, None after a fit

    _parameter_constraints: dict = {
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "shrinkage": [None, StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_components": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
        ],
        "decision": [StrOptions({"likelihood", "mahalanobis"})],
        "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "priors": [None, StrOptions({"uniform"}), "array-like"],
    }

    def __init__(
        self,
        covariance_type: str = "full",
        *,
        shrinkage: float | str | None = "auto",
        n_components: float | int | None = 0.999,
        decision: str = "likelihood",
        temperature: float | str = 4.0,
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
            For a class too small for its covariance (named, with its count), singular
            covariances, features that are all constant, or fewer than two classes.
        MemoryError
            Before it starts, if the Gaussians would take more than half of the machine's memory.
        """
        with unchanged_on_error(self):
            if is_dask(X):
                self._fit_blocks(X, y)
                return self
            X, classes, codes = validate_classes(self, X, y)
            self._read = self.get_params(deep=False)
            rule, raw = self._rule(), None
            self._check_memory(len(X), X.shape[1], len(classes))
            kind = streaming_kind(rule)
            if (1 if kind == "pooled" else len(classes)) * X.shape[1] ** 2 <= MOST_NUMBERS:
                with np.errstate(over="ignore", invalid="ignore"):
                    statistics = ClassStatistics.from_samples(X, codes, len(classes), kind)
                    raw = LabelledStatistics(classes, kind, float(np.finfo(X.dtype).eps), statistics)
                    model = GaussianModel.from_statistics(rule, statistics, classes, raw.eps)
            else:
                model = GaussianModel.from_samples(rule, X, codes, classes)
                if X.size <= MOST_NUMBERS:
                    raw = LabelledStatistics.of_block(X, classes[codes], kind)
            self.classes_ = classes
            self._raw = raw
            self._model = model
            self._prior = self._class_prior(model.statistics.counts)
            if self.temperature == "auto":
                self.temperature_ = self._held_out_temperature(X, classes[codes])
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None
    ) -> MahalanobisClassifier:
        """Add samples; those seen before need not be passed again.

        Means and covariances are those of one fit to all samples; they are computed when
        they are first needed. What is kept is (n_classes, n_features, n_features) numbers,
        or (n_features, n_features) with "tied" covariances; the samples themselves as long as they are
        fewer numbers than that.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels; labels that were not seen before are added.
        classes : array-like, optional
            Accepted for compatibility with scikit-learn; a class counts only once it has samples.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            After a `fit` to many samples in many dimensions, which kept nothing to go on from.
        MemoryError
            If the covariances would take more than half of the machine's memory.
        """
        if self.temperature == "auto":
            raise ValueError("temperature='auto' holds samples out, and partial_fit never has all: use fit.")
        is_first = not hasattr(self, "classes_")
        if not is_first and self._raw is None:
            raise ValueError(
                "fit kept the statistics of the principal components only, since those of all features "
                "are large: start with partial_fit."
            )
        X, y = validate_data(self, X, y, dtype=feature_dtype(X), order="C", reset=is_first)
        if is_first:
            self._read = self.get_params(deep=False)
        check_classification_targets(y)
        if classes is not None:
            check_same_kind(np.asarray(classes), y, "classes", "the labels")
        block = LabelledStatistics.of_block(X, y, streaming_kind(self._rule()))
        self._set_raw(block if is_first else self._raw.merge(block))
        return self

    def _set_raw(self, raw: LabelledStatistics) -> None:
        self._raw = raw
        self.classes_ = raw.classes
        self._model = self._prior = None

    def _fit_blocks(self, X: Any, y: Any) -> None:
        if self.temperature == "auto":
            raise ValueError("temperature='auto' needs arrays in memory.")
        self._read = self.get_params(deep=False)
        raw = statistics_of_blocks(X, y, LabelledStatistics.of_block, streaming_kind(self._rule()))
        check_two_classes(raw.classes)
        self.n_features_in_ = X.shape[1]
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._set_raw(raw)
        self._fitted()

    def _check_memory(self, n_samples: int, n_features: int, n_classes: int) -> None:
        """Raise a MemoryError if the covariances would not fit; they have a whitening matrix each, too."""
        d = min(n_features, n_samples)
        if isinstance(self.n_components, float):  # this fraction keeps at most so many
            d = min(d, max(1, (n_samples - n_classes) // 2))
        elif self.n_components is not None:
            d = min(d, int(self.n_components))
        of_classes = {"full": 3 * n_classes * d * d, "diag": 3 * n_classes * d}
        check_memory_share(
            8 * (of_classes.get(self.covariance_type, 3 * d * d) + 3 * n_features**2),
            f"Gaussians of {n_classes} classes (covariance_type={self.covariance_type!r}, {d} dimensions)",
            "use DiscriminantClassifier, covariance_type='tied' or fewer n_components.",
        )

    def _rule(self) -> GaussianRule:
        return GaussianRule(*(self._read[name] for name in ("covariance_type", "shrinkage", "n_components")))

    def _fitted(self) -> GaussianModel:
        """The Gaussians; made of what partial_fit gathered if need be."""
        check_is_fitted(self)
        if self._model is None:
            raw = self._raw
            if len(raw.classes) < 2:
                label = raw.classes.tolist()[0]
                raise ValueError(f"At least two classes are needed, got one class so far: {label!r}.")
            with np.errstate(over="ignore", invalid="ignore"):
                if raw.samples:
                    X, codes = raw.all_samples()
                    self._check_memory(len(X), X.shape[1], len(raw.classes))
                    model = GaussianModel.from_samples(self._rule(), X, codes, raw.classes)
                else:
                    model = GaussianModel.from_statistics(self._rule(), raw.statistics, raw.classes, raw.eps)
            self._prior = self._class_prior(model.statistics.counts)
            self._model = model
        return self._model

    @property
    def statistics_(self) -> ClassStatistics:
        """Counts, means and scatter of the classes in the space of the components."""
        return self._fitted().statistics

    @property
    def mean_(self) -> NDArray[np.float64]:
        """Mean of all samples, subtracted first."""
        return self._fitted().mean

    @property
    def components_(self) -> NDArray[np.float64] | None:
        """Principal components in rows; None without projection."""
        return self._fitted().components

    @property
    def n_components_(self) -> int:
        """Dimensions of the Gaussians."""
        return self._fitted().statistics.n_features

    @property
    def explained_variance_ratio_(self) -> NDArray[np.float64] | None:
        """Share of the variance that each component explains; None without projection."""
        return self._fitted().ratio

    @property
    def means_(self) -> NDArray[np.float64]:
        """Class means in the space of the components, (n_classes, n_components)."""
        return self._fitted().statistics.means

    @property
    def covariances_(self) -> NDArray[np.float64]:
        """Covariances of the classes.

        Of shape (n_classes, n_components, n_components) for "full", (n_components,
        n_components) for "tied", (n_classes, n_components) for "diag" and (n_classes,)
        for "spherical". They divide by n_c - 1, the tied one by n - n_classes.
        """
        return self._fitted().covariances

    @property
    def precisions_cholesky_(self) -> NDArray[np.float64]:
        """Whitening matrices U, upper triangular, ``U @ U.T`` being the inverse covariance."""
        return self._fitted().whitening

    @property
    def log_determinants_(self) -> NDArray[np.float64]:
        """Of the covariances: (n_classes,), or (1,) for "tied"."""
        return self._fitted().log_determinants

    @property
    def class_prior_(self) -> NDArray[np.float64]:
        """Priors of the classes."""
        self._fitted()
        return self._prior

    def gaussians(self, statistics: ClassStatistics | None = None) -> Gaussians:
        """Gaussian classes by this model's rule.

        Parameters
        ----------
        statistics : ClassStatistics, optional
            What merging made of `statistics_`; default: those.
        """
        model = self._fitted()
        if statistics is None or statistics is model.statistics:
            arrays = model.covariances, model.whitening, model.log_determinants
        else:
            arrays = self._rule().gaussians(statistics)
        means = model.statistics.means if statistics is None else statistics.means
        covariances, whitening, log_determinants = arrays
        return Gaussians(means, covariances, whitening, log_determinants, self._read["covariance_type"])

    def overlap_of(self, statistics: ClassStatistics | None = None) -> NDArray[np.float64]:
        """Bhattacharyya coefficients of classes (venkataramanan2023, eq. 2).

        Parameters
        ----------
        statistics : ClassStatistics, optional
            What merging made of `statistics_`; default: those.

        Returns
        -------
        overlap : ndarray of shape (n_classes, n_classes)
            In [0, 1], the diagonal 1.
        """
        return np.exp(-bhattacharyya_distance(self.gaussians(statistics)))

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
        model = self._fitted()
        X = validate_data(self, X, dtype=feature_dtype(X), reset=False)
        constants = np.zeros(len(self.classes_))
        if self._read["decision"] == "likelihood":
            with np.errstate(divide="ignore"):  # a prior of zero rules a class out
                constants = model.log_determinants - 2 * np.log(self.class_prior_)
        best = np.empty(len(X), dtype=np.intp)
        for rows in row_chunks(len(X), 8 * (3 * self.n_components_ + X.shape[1])):
            best[rows] = model.nearest.find(model.project(X[rows]), constants)
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
        return self._by_chunk(X, self._log_proba, np.float64)

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
        if self._read["decision"] == "mahalanobis":
            return -0.5 * squared
        with np.errstate(divide="ignore"):  # a prior of zero rules a class out
            log_prior = np.log(self.class_prior_)
        return -0.5 * (squared + self._fitted().log_determinants) + log_prior

    def _log_proba(self, squared: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = self._scores(squared)
        scores -= scores.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):  # of tiny temperatures
            return log_softmax(scores / self._temperature(), axis=1)

    def _by_chunk(self, X: ArrayLike, function: Callable, dtype: Any) -> NDArray:
        """Apply a function of squared Mahalanobis distances, few rows at a time."""
        model = self._fitted()
        X = validate_data(self, X, dtype=feature_dtype(X), reset=False)
        d = self.n_components_
        row_bytes = 8 * (2 * len(self.classes_) + 3 * d + X.shape[1])
        parts = []
        for rows in row_chunks(len(X), row_bytes):
            with np.errstate(over="ignore", invalid="ignore"):
                squared = squared_mahalanobis(
                    model.project(X[rows]),
                    model.statistics.means,
                    model.whitening,
                    self._read["covariance_type"],
                )
            if not np.all(np.isfinite(squared)):
                raise ValueError(TOO_FAR)
            parts.append(function(squared).astype(dtype, copy=False))
        return np.concatenate(parts)

    def _temperature(self) -> float:
        temperature = self._read["temperature"]
        return self.temperature_ if isinstance(temperature, str) else float(temperature)

    def _held_out_temperature(self, X: NDArray, y: NDArray) -> float:
        if np.unique(y, return_counts=True)[1].max() < N_FOLDS:
            raise ValueError(
                f"temperature='auto' holds samples out in {N_FOLDS} folds, and no class has so many samples: "
                "give a number."
            )
        fixed = clone(self).set_params(temperature=1.0)
        scores, codes = [], []
        with warnings.catch_warnings():
            # Of classes smaller than the folds: what is missing in one is in another.
            warnings.simplefilter("ignore", UserWarning)
            folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(X, y))
        limit = max(1, MOST_SCORES // (N_FOLDS * len(self.classes_)))
        for train, test in folds:
            model = clone(fixed).fit(X[train], y[train])
            rows = test[np.isin(y[test], model.classes_)][:limit]
            if len(rows):
                held_out = np.full((len(rows), len(self.classes_)), -np.inf)
                places = np.searchsorted(self.classes_, model.classes_)
                held_out[:, places] = model._by_chunk(X[rows], model._scores, np.float64)
                scores.append(held_out)
                codes.append(np.searchsorted(self.classes_, y[rows]))
        return best_temperature(np.concatenate(scores), np.concatenate(codes))

    def _class_prior(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        k = len(counts)
        priors = self._read["priors"]
        if priors is None:
            return counts / counts.sum()
        if isinstance(priors, str):
            return np.full(k, 1 / k)
        priors = np.asarray(priors, dtype=np.float64)
        if priors.shape != (k,):
            raise ValueError(f"priors must have shape ({k},), one a class, got {priors.shape}.")
        if np.any(priors < 0) or not np.isclose(priors.sum(), 1):
            raise ValueError("priors must be non-negative and sum to 1.")
        return priors / priors.sum()
