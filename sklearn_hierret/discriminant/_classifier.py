"""The class model of embeddings: a linear model and votes on a discriminant sphere."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import check_positive_integer, row_chunks
from sklearn_hierret.discriminant._fit import Choices, Fitted, Rule, fit_models
from sklearn_hierret.discriminant._model import DiscriminantModel
from sklearn_hierret.discriminant._novelty import Novelty, check_share, fit_novelty, known_proba, known_share
from sklearn_hierret.discriminant._votes import N_CANDIDATES
from sklearn_hierret.distance import WhiteningChoice, choose_whitening
from sklearn_hierret.statistics import FoldStatistics, Parts, StreamingEstimator


class DiscriminantClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, StreamingEstimator
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

    _rule: Rule
    _made: Fitted | None

    _parameter_constraints: dict = {
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "linear": [StrOptions({"auto", "logistic", "closed_form"})],
        **StreamingEstimator._parameter_constraints,
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

    def transform(self, X: ArrayLike) -> NDArray:
        """Unit vectors in the discriminant space; zero rows stay zero.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_components)
        """
        model, X = self._model().model, self._rows(X)
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
        model, X = self._model().model, self._rows(X)
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
        model, X = self._model().model, self._rows(X)
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
        model, X = self._model().model, self._rows(X)
        return model.top(X, n_kept)

    def _leaves_of_checked(self, X: NDArray, n_kept: int) -> tuple[NDArray[np.int32], NDArray]:
        """`predict_leaves` of features that were checked before."""
        return self._model().model.top(X, n_kept)

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
        X = self._rows(X)
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
        X = self._rows(X)
        proba = np.empty((len(X), len(self.classes_)), dtype=X.dtype)
        for mine, model in self._held_out(X, self._folds_of(X), keep_models):
            proba[mine] = self.class_prior_ if model is None else model.proba(X[mine])
        return proba

    def _held_out(
        self, X: NDArray, folds: NDArray, keep_models: bool
    ) -> Iterator[tuple[NDArray[np.intp], DiscriminantModel | None]]:
        """Rows, some at a time, and the model that did not see their fold."""
        held_out = self._model().held_out
        if held_out is None:
            held_out = self._make(self._statistics, self._rule, self._report()).held_out
        assert held_out is not None
        for fold, model in enumerate(held_out):
            mine = np.flatnonzero(folds == fold)
            for rows in row_chunks(len(mine), 2 * X.itemsize * X.shape[1]):
                yield mine[rows], model
        self._made = self._model()._replace(held_out=held_out if keep_models else None)

    def whitening(self, shrinkage: float | str = "auto", *, may_be_cosine: bool = False) -> WhiteningChoice:
        """Choose a whitening within classes, by the same statistics; see `WithinClassWhitening`.

        Parameters
        ----------
        shrinkage : "auto" or float in [0, 1], default="auto"
        may_be_cosine : bool, default=False
            Whether plain cosine may be chosen.

        Returns
        -------
        choice : WhiteningChoice
            Its `shrinkage`, None for plain cosine, and the whitenings of all samples and without each fold.
        """
        return choose_whitening(self._parts(), shrinkage, may_be_cosine=may_be_cosine)

    def release(self) -> None:
        """Drop what only questions about held-out samples need; it is made again when they are asked."""
        self._made = self._model()._replace(held_out=None, parts=None)

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
        X = self._rows(X)
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
        X = self._rows(X)
        return known_share(self._known_log_odds_of_checked(X))

    def _known_log_odds_of_checked(self, X: NDArray) -> NDArray[np.float64]:
        """Log-odds that samples are known, where half of them are."""
        return self._novelty().log_odds(X)

    def _novelty(self) -> Novelty:
        made = self._model()
        if made.novelty is None:
            novelty = fit_novelty(self._parts(), self._rule, made.choices, made.held_density)
            self._made = made = self._model()._replace(novelty=novelty)
        assert made.novelty is not None
        return made.novelty

    def _parts(self) -> Parts:
        return self._model().parts or Parts(self._statistics)

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
        return self._model().model.space.mean

    @property
    def components_(self) -> NDArray:
        """Whitening and projection, (n_components, n_features)."""
        return self._model().model.space.components

    @property
    def means_(self) -> NDArray:
        """Directions of the class means in the discriminant space, (n_classes, n_components)."""
        return self._model().class_directions

    @property
    def shrinkage_(self) -> float:
        """Weight of the scaled identity in the covariance within classes."""
        return self._model().shrinkage

    @property
    def choices_(self) -> Choices:
        """What was chosen."""
        return self._model().choices

    @property
    def cross_fitted_loss_(self) -> dict[str, float] | None:
        """Mean negative log-likelihood of held-out samples, of each part and of the blend."""
        return self.choices_.losses

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    # ----------------------------------------------------------------------- inside

    def _read_rule(self) -> Rule:
        return Rule(self.shrinkage, self.n_components, self.linear)

    def _make(self, statistics: FoldStatistics, rule: Rule, report: Any) -> Fitted:
        return fit_models(Parts(statistics), rule, report)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if state.get("_made") is not None:
            state = {**state, "_made": state["_made"]._replace(held_out=None, parts=None)}
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_n_kept(n_kept: int) -> None:
    check_positive_integer(n_kept, "n_kept")
    if n_kept > N_CANDIDATES:
        raise ValueError(f"n_kept must be at most {N_CANDIDATES}, got {n_kept}.")
