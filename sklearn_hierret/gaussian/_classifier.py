"""The class model: Gaussian classes and the nearest of them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin, clone

from sklearn_hierret._arrays import checked_rows
from sklearn_hierret._sklearn import Interval, RealNotInt, StrOptions
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.gaussian._bhattacharyya import Gaussians, bhattacharyya_distance
from sklearn_hierret.gaussian._model import GaussianRule
from sklearn_hierret.gaussian._statistics import ClassStatistics
from sklearn_hierret.gaussian._streaming import LabelledStatistics
from sklearn_hierret.gaussian._temperature import held_out_temperature
from sklearn_hierret.statistics import StreamingEstimator


class MahalanobisClassifier(ClassifierMixin, StreamingEstimator):
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
    mean_ : ndarray of shape (n_features,)
        Mean of all samples, subtracted first.
    components_ : ndarray of shape (n_components, n_features) or None
        Principal components; None without projection.
    n_components_ : int
        Dimensions of the Gaussians.
    explained_variance_ratio_ : ndarray of shape (n_components,) or None
        Share of the variance that each component explains.
    means_ : ndarray of shape (n_classes, n_components)
    covariances_ : ndarray
        (n_classes, n_components, n_components) for "full", (n_components, n_components) for "tied",
        (n_classes, n_components) for "diag" and (n_classes,) for "spherical". They divide by n_c - 1, the
        tied one by n - n_classes.
    precisions_cholesky_ : ndarray
        Whitening matrices U, upper triangular, ``U @ U.T`` being the inverse covariance.
    log_determinants_ : ndarray of shape (n_classes,), or (1,) for "tied"
    class_prior_ : ndarray of shape (n_classes,)
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

    _lazy: ClassVar[dict] = {
        "statistics_": lambda self: self._model().statistics,
        "mean_": lambda self: self._model().mean,
        "components_": lambda self: self._model().components,
        "n_components_": lambda self: self._model().statistics.n_features,
        "explained_variance_ratio_": lambda self: self._model().ratio,
        "means_": lambda self: self._model().statistics.means,
        "covariances_": lambda self: self._model().covariances,
        "precisions_cholesky_": lambda self: self._model().whitening,
        "log_determinants_": lambda self: self._model().log_determinants,
        "class_prior_": lambda self: self._model().prior,
    }

    _parameter_constraints: dict = {
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "shrinkage": [None, StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_components": [
            None,
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
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

    def _read_rule(self) -> GaussianRule:
        return GaussianRule(**self.get_params(deep=False))

    @property
    def _can_stream(self) -> bool:
        return not isinstance(self.temperature, str)  # which is chosen by samples that are held out

    def _fit(self, training: TrainingSet) -> None:
        rule = self._rule = self._read_rule()
        rule.check_memory(len(training.X), training.X.shape[1], len(training.classes))
        statistics = LabelledStatistics.of_fit(training, rule.streaming_kind)
        self._made = rule.model(statistics)
        self._statistics, self.classes_ = statistics.kept(), training.classes
        self.__dict__.pop("temperature_", None)
        if rule.temperature == "auto":
            fixed = clone(self).set_params(temperature=1.0)

            def scores_of(rest: TrainingSet, X: NDArray) -> tuple[NDArray, NDArray]:
                model = clone(fixed).fit_training_set(rest)._model()
                return rest.classes, np.concatenate([scores for _, scores in model.scores(X)])

            self.temperature_ = held_out_temperature(training, scores_of)

    def gaussians(self, statistics: ClassStatistics | None = None) -> Gaussians:
        """Return the Gaussian classes by this model's rule.

        Parameters
        ----------
        statistics : ClassStatistics, optional
            What merging made of `statistics_`; default: those.

        Returns
        -------
        gaussians : Gaussians
            Means, covariances, whitening and log-determinants.
        """
        return self._model().gaussians(statistics)

    def overlap_of(self, statistics: ClassStatistics | None = None) -> NDArray[np.float64]:
        """Compute Bhattacharyya coefficients of classes (venkataramanan2023, eq. 2).

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
        """Compute Mahalanobis distances of samples to the classes (venkataramanan2023, eq. 4).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        model = self._model()
        return np.concatenate([np.sqrt(squared) for _, squared in model.squared(checked_rows(self, X))])

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict the most probable class of each sample by `decision`; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Predicted classes.
        """
        model = self._model()
        return self.classes_[model.predict(checked_rows(self, X))]

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Compute logarithms of class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        model, X = self._model(), checked_rows(self, X)
        temperature = self._rule.temperature
        temperature = self.temperature_ if isinstance(temperature, str) else float(temperature)
        log_proba = np.empty((len(X), len(self.classes_)))
        for rows, scores in model.scores(X):
            relative = scores - scores.max(axis=1, keepdims=True)
            with np.errstate(over="ignore"):  # of tiny temperatures
                log_proba[rows] = log_softmax(relative / temperature, axis=1)
        return log_proba

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Compute class probabilities at `temperature`, by `decision`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Columns in the order of `classes_`.
        """
        return np.exp(self.predict_log_proba(X))
