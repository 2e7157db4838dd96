"""The class model of embeddings: a linear model and votes on a discriminant sphere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import (
    check_positive_integer,
    check_same_kind,
    check_two_classes,
    feature_dtype,
    row_chunks,
    unchanged_on_error,
    unit_rows,
)
from sklearn_hierret._blocks import is_dask, statistics_of_blocks
from sklearn_hierret.discriminant._fit import Choices, Fitted, Rule, fit_models
from sklearn_hierret.discriminant._model import DiscriminantModel
from sklearn_hierret.discriminant._novelty import Novelty, check_share, fit_novelty, known_proba, known_share
from sklearn_hierret.discriminant._statistics import FoldStatistics, check_size, hashed
from sklearn_hierret.discriminant._votes import N_CANDIDATES


class DiscriminantClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """Class probabilities of embeddings; the default class model of the retrievers.

    Rows are scaled to unit length, whitened by the shrunk covariance within classes, projected to
    the directions in which class means differ (at most ``n_classes - 1``), and scaled to unit length
    again. On that sphere two models are blended: a linear one (a von Mises-Fisher distribution around
    each class's direction, refined by a logistic regression drawn to it) and votes of kept training
    rows, among the classes that the linear model ranks first; where that makes held-out samples
    likelier, votes by the features' own cosine join in. Everything that has to be chosen is
    chosen in closed form or by the likelihood of held-out folds.

    The cost of a fit is linear in the samples and, but for a few eigendecompositions, in the number of
    classes; it never holds a covariance for each class, nor an array of samples by classes.

    Parameters
    ----------
    shrinkage : "auto" or float in [0, 1], default="auto"
        Weight of the scaled identity in the covariance within classes. "auto" is the multiple 1, 2,
        4, 8 or 16 of the oracle approximating shrinkage [1]_ under which held-out samples are likeliest.
    n_components : int, default=None
        Directions to keep at most; None keeps all in which class means differ.
    linear : {"auto", "logistic", "closed_form"}, default="auto"
        "closed_form" has ``log p = concentration * cosine + log prior``; "logistic" starts there
        and takes 25 passes over the kept rows. "auto" does so where a pass takes at most 1e10
        multiplications (rows, classes, dimensions), say 32,768 rows of 500 classes.
    n_folds : int, default=3
        Folds for the choices and for `held_out_leaves`. Statistics take
        ``n_folds * (n_classes + n_features) * n_features`` numbers.
    random_state : int, default=0
        Seed of the hash that deals rows to folds and ranks them.
    verbose : bool, default=False
        Print what was done, how long it took and what is left.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    class_count_ : ndarray of shape (n_classes,)
    class_prior_ : ndarray of shape (n_classes,)
    mean_ : ndarray of shape (n_features,)
        Of the unit rows; subtracted before the projection.
    components_ : ndarray of shape (n_components, n_features)
        Whitening and projection in one.
    means_ : ndarray of shape (n_classes, n_components)
        Directions of the class means in the discriminant space, of unit length.
    shrinkage_ : float
    cross_fitted_loss_ : dict or None
        Mean negative log-likelihood of held-out samples in nats, of the parts ("closed_form",
        "linear", "votes") and of the "blend". None if no sample could be held out.
    choices_ : Choices
        What was chosen: factor of the shrinkage, concentration, penalty, temperature, widths and
        shares of the votes.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Notes
    -----
    A hash of a row's direction decides its fold, so that streams can be
    cross-fitted: `partial_fit` and Dask give what one `fit` gives, whatever the blocks and their
    order, up to rounding (1e-6 in probabilities, if no choice is a tie). Equal rows share a fold. A
    class of which all samples are in one fold, such as a class of one, takes no part in the choices.
    At most 32,768 rows are kept, or 8 a class if that is more; 512 of a class vote.

    A zero row has no direction: its probabilities are about the class frequencies.

    See Also
    --------
    MahalanobisClassifier : Full Gaussians, the class model of the paper.

    References
    ----------
    .. [1] Y. Chen, A. Wiesel, Y. C. Eldar, A. O. Hero, "Shrinkage Algorithms for MMSE Covariance
       Estimation", IEEE Transactions on Signal Processing 58, 2010, eq. 23.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import DiscriminantClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = DiscriminantClassifier().fit(X[:1000], y[:1000])
    >>> model.predict_proba(X[1000:]).shape
    (797, 10)
    >>> model.transform(X[1000:]).shape
    (797, 9)
    """

    _statistics: FoldStatistics
    _fitted: Fitted | None  # None while samples come in
    _fitted_novelty: Novelty | None  # made when it is asked for

    _parameter_constraints: dict = {
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "linear": [StrOptions({"auto", "logistic", "closed_form"})],
        "n_folds": [Interval(Integral, 2, 100, closed="both")],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        shrinkage: float | str = "auto",
        n_components: int | None = None,
        linear: str = "auto",
        n_folds: int = 3,
        random_state: int = 0,
        verbose: bool | int = False,
    ) -> None:
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.linear = linear
        self.n_folds = n_folds
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> DiscriminantClassifier:
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
            self._take(statistics, Rule(self.shrinkage, self.n_components, self.linear))
            self._models()
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None
    ) -> DiscriminantClassifier:
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
            rule = Rule(self.shrinkage, self.n_components, self.linear) if is_first else self._rule
            self._take(statistics, rule)
        return self

    def transform(self, X: ArrayLike) -> NDArray:
        """Unit vectors in the discriminant space; zero rows stay zero.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_components)
        """
        model, X = self._model_and_rows(X)
        vectors = np.empty((len(X), len(model.space.components)), dtype=X.dtype)
        for rows in row_chunks(len(X), 4 * X.itemsize * X.shape[1]):
            vectors[rows] = model.space.transform(X[rows])
        return vectors

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable class of each sample; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        model, X = self._model_and_rows(X)
        return self.classes_[model.top(X, 1)[0][:, 0]]

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            float32 for half and single precision features, else float64.
        """
        model, X = self._model_and_rows(X)
        return model.proba(X)

    def predict_log_proba(self, X: ArrayLike) -> NDArray:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        proba = self.predict_proba(X)
        return np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Log-probabilities; for two classes the log-odds of the second.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
        """
        scores = self.predict_log_proba(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_leaves(self, X: ArrayLike, n_kept: int = 16) -> tuple[NDArray[np.int32], NDArray]:
        """The most probable classes of each sample, without an array of samples by classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_kept : int, default=16
            Classes to return, 16 at most.

        Returns
        -------
        codes : ndarray of shape (n_samples, min(n_kept, n_classes))
            Positions in ``classes_``, by falling probability.
        probabilities : ndarray of the same shape
        """
        _check_n_kept(n_kept)
        model, X = self._model_and_rows(X)
        return model.top(X, n_kept)

    def _leaves_of_checked(self, X: NDArray, n_kept: int) -> tuple[NDArray[np.int32], NDArray]:
        """`predict_leaves` of features that were checked before."""
        return self._models().model.top(X, n_kept)

    def held_out_leaves(
        self, X: ArrayLike, n_kept: int = 16, *, keep_models: bool = True
    ) -> tuple[NDArray[np.int32], NDArray, NDArray[np.int8]]:
        """`predict_leaves` of training samples, each by a model that did not see its fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples; other samples are treated in the same way.
        n_kept : int, default=16
            Classes to return, 16 at most.
        keep_models : bool, default=True
            Whether to keep the models without a fold; they are made again when they are asked for.

        Returns
        -------
        codes, probabilities : ndarrays of shape (n_samples, min(n_kept, n_classes))
            As of `predict_leaves`. Where less than two classes remain without a fold, its samples
            get the class frequencies.
        folds : ndarray of shape (n_samples,)
            Fold of each sample.
        """
        _check_n_kept(n_kept)
        _, X = self._model_and_rows(X)
        n_kept = min(n_kept, len(self.classes_))
        codes = np.empty((len(X), n_kept), dtype=np.int32)
        proba = np.empty((len(X), n_kept), dtype=X.dtype)
        folds = self._folds_of(X)
        frequent = np.argsort(-self.class_prior_, kind="stable")[:n_kept]
        for mine, model in self._held_out(X, folds, keep_models):
            if model is None:
                codes[mine], proba[mine] = frequent, self.class_prior_[frequent]
            else:
                codes[mine], proba[mine] = model.top(X[mine], n_kept)
        return codes, proba, folds

    def held_out_proba(self, X: ArrayLike, *, keep_models: bool = True) -> NDArray:
        """`predict_proba` of training samples, each by a model that did not see its fold.

        Parameters
        ----------
        X, keep_models
            See `held_out_leaves`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        _, X = self._model_and_rows(X)
        proba = np.empty((len(X), len(self.classes_)), dtype=X.dtype)
        for mine, model in self._held_out(X, self._folds_of(X), keep_models):
            proba[mine] = self.class_prior_ if model is None else model.proba(X[mine])
        return proba

    def _held_out(
        self, X: NDArray, folds: NDArray, keep_models: bool
    ) -> Iterator[tuple[NDArray[np.intp], DiscriminantModel | None]]:
        """Rows, some at a time, and the model that did not see their fold."""
        held_out = self._models().held_out
        if held_out is None:
            held_out = self._fit_models().held_out
        assert held_out is not None
        for fold, model in enumerate(held_out):
            mine = np.flatnonzero(folds == fold)
            for rows in row_chunks(len(mine), 2 * X.itemsize * X.shape[1]):
                yield mine[rows], model
        self._fitted = self._models()._replace(held_out=held_out if keep_models else None)

    def known_proba(self, X: ArrayLike, *, share: float = 0.5) -> NDArray[np.float64]:
        """Probability that the class of a sample was among those of the fit.

        It grows with the sample's density under a mixture of von Mises-Fisher distributions on the
        discriminant sphere, one of each class. The scale comes from samples of the training set that
        the density did not see, and from groups of classes that it did not see.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        share : float in [0, 1], default=0.5
            Share of samples whose class is known, among those that `X` comes from. `known_share`
            estimates it.

        Returns
        -------
        probabilities : ndarray of shape (n_samples,)
            1 where no class could be held out, as with two classes.
        """
        check_share(share)
        _, X = self._model_and_rows(X)
        return known_proba(self._known_log_odds_of_checked(X), share)

    def known_share(self, X: ArrayLike) -> float:
        """Share of samples whose class was among those of the fit, by maximum likelihood [1]_.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Some hundred samples at least, or the estimate is rough.

        Returns
        -------
        share : float in [0, 1]

        References
        ----------
        .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the Outputs of a Classifier to New a
           Priori Probabilities: A Simple Procedure", Neural Computation 14, 2002.
        """
        _, X = self._model_and_rows(X)
        return known_share(self._known_log_odds_of_checked(X))

    def _known_log_odds_of_checked(self, X: NDArray) -> NDArray[np.float64]:
        """Log-odds that samples are known, where half of them are."""
        if self._fitted_novelty is None:
            fitted = self._models()
            self._fitted_novelty = fit_novelty(
                self._statistics, self._rule, fitted.choices, fitted.held_density
            )
        return self._fitted_novelty.log_odds(X)

    # ----------------------------------------------------------------------- fitted

    @property
    def class_count_(self) -> NDArray[np.int64]:
        """Samples of each class."""
        check_is_fitted(self)
        return self._statistics.class_counts

    @property
    def class_prior_(self) -> NDArray[np.float64]:
        """Share of each class in the samples."""
        return self.class_count_ / self.class_count_.sum()

    @property
    def mean_(self) -> NDArray:
        """Mean of the unit rows."""
        return self._models().model.space.mean

    @property
    def components_(self) -> NDArray:
        """Whitening and projection, (n_components, n_features)."""
        return self._models().model.space.components

    @property
    def means_(self) -> NDArray:
        """Directions of the class means in the discriminant space, (n_classes, n_components)."""
        return self._models().class_directions

    @property
    def shrinkage_(self) -> float:
        """Weight of the scaled identity in the covariance within classes."""
        return self._models().shrinkage

    @property
    def choices_(self) -> Choices:
        """What was chosen."""
        return self._models().choices

    @property
    def cross_fitted_loss_(self) -> dict[str, float] | None:
        """Mean negative log-likelihood of held-out samples, of each part and of the blend."""
        return self.choices_.losses

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    # ----------------------------------------------------------------------- inside

    def _of_block(
        self, X: ArrayLike, y: ArrayLike, reset: bool, classes: ArrayLike | None = None
    ) -> FoldStatistics:
        X, y = validate_data(self, X, y, dtype=feature_dtype(X), order="C", reset=reset)
        check_classification_targets(y)
        if classes is not None:
            check_same_kind(np.asarray(classes), y, "classes", "the labels")
        n_folds, seed = (self.n_folds, self.random_state) if reset else self._folds
        check_size(len(X), X.shape[1], n_folds, len(np.unique(y)))
        return FoldStatistics.of_block(X, y, n_folds, seed)

    def _take(self, statistics: FoldStatistics, rule: Rule) -> None:
        self._statistics = statistics
        self._rule = rule
        self.classes_ = statistics.classes
        self._fitted = self._fitted_novelty = None

    def _models(self) -> Fitted:
        """What was fitted; made of what was gathered if need be."""
        check_is_fitted(self)
        if self._fitted is None:
            if len(self.classes_) < 2:
                raise ValueError(
                    f"At least two classes are needed, got one class so far: {self.classes_.tolist()[0]!r}."
                )
            self._fitted = self._fit_models()
        return self._fitted

    def _fit_models(self) -> Fitted:
        start = time.perf_counter()

        def report(message: str, share: float) -> None:
            if self.verbose:
                passed = time.perf_counter() - start
                left = f", {share:.0%} done, about {passed * (1 / share - 1):.0f} s left" if share < 1 else ""
                print(f"[{type(self).__name__}] {message}, {passed:.1f} s{left}", flush=True)

        return fit_models(self._statistics, self._rule, report)

    def _model_and_rows(self, X: ArrayLike) -> tuple[DiscriminantModel, NDArray]:
        model = self._models().model
        return model, validate_data(self, X, dtype=feature_dtype(X), order="C", reset=False)

    def _folds_of(self, X: NDArray) -> NDArray[np.int8]:
        folds = np.empty(len(X), dtype=np.int8)
        for rows in row_chunks(len(X), 24 * X.shape[1]):
            unit = unit_rows(X[rows].astype(np.float64, copy=False))[0]
            folds[rows] = hashed(unit, *self._folds)[1]
        return folds

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if state.get("_fitted") is not None:
            state = {**state, "_fitted": state["_fitted"]._replace(held_out=None)}
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_n_kept(n_kept: int) -> None:
    check_positive_integer(n_kept, "n_kept")
    if n_kept > N_CANDIDATES:
        raise ValueError(f"n_kept must be at most {N_CANDIDATES}, got {n_kept}.")
