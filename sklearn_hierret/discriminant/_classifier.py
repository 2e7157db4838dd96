"""The class model of embeddings: a linear model and votes on a discriminant sphere."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_hierret._arrays import check_positive_integer, checked_rows, row_chunks
from sklearn_hierret._sklearn import Interval, StrOptions
from sklearn_hierret._training import hashed_groups
from sklearn_hierret.discriminant._class_model import FoldedClassModel, Rule
from sklearn_hierret.discriminant._model import N_CANDIDATES
from sklearn_hierret.discriminant._novelty import check_share, known_proba, known_share
from sklearn_hierret.statistics import FOLD_CONSTRAINTS, WeightedStreamingEstimator, folds_of, seed_of


class DiscriminantClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, WeightedStreamingEstimator
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
        Folds for all choices. Statistics take ``n_folds * (n_classes + n_features) * n_features`` numbers.
    random_state : int, RandomState or None, default=0
        Seed of the hash that deals rows to folds; it is drawn at fit unless it is a number.
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

    `sample_weight` acts on everything but `known_proba`, whose scale comes from samples that count alike.

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

    _lazy: ClassVar[dict] = {
        "class_count_": lambda self: self._statistics.class_counts,
        "class_prior_": lambda self: self.class_count_ / self.class_count_.sum(),
        "mean_": lambda self: self._model().fitted.model.space.mean,
        "components_": lambda self: self._model().fitted.model.space.components,
        "means_": lambda self: self._model().fitted.class_directions,
        "shrinkage_": lambda self: self._model().fitted.shrinkage,
        "choices_": lambda self: self._model().fitted.choices,
        "cross_fitted_loss_": lambda self: self.choices_.losses,
    }

    _parameter_constraints: dict = {
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "linear": [StrOptions({"auto", "logistic", "closed_form"})],
        **FOLD_CONSTRAINTS,
    }

    def __init__(
        self,
        *,
        shrinkage: float | str = "auto",
        n_components: int | None = None,
        linear: str = "auto",
        n_folds: int = 3,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool | int = False,
    ) -> None:
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.linear = linear
        self.n_folds = n_folds
        self.random_state = random_state
        self.verbose = verbose

    def transform(self, X: ArrayLike) -> NDArray:
        """Project samples to the discriminant space.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_components)
            Unit vectors; zero rows stay zero.
        """
        space, X = self._model().fitted.model.space, checked_rows(self, X)
        vectors = np.empty((len(X), len(space.components)), dtype=X.dtype)
        for rows in row_chunks(len(X), 4 * X.itemsize * X.shape[1]):
            vectors[rows] = space.transform(X[rows])
        return vectors

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict the most probable class of each sample; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            Predicted classes.
        """
        codes, _ = self.predict_leaves(X, 1)
        return self.classes_[codes[:, 0]]

    def predict_proba(self, X: ArrayLike) -> NDArray:
        """Compute class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            float32 for half and single precision features, else float64.
        """
        model = self._model()
        return model.proba(checked_rows(self, X))

    def predict_log_proba(self, X: ArrayLike) -> NDArray:
        """Compute logarithms of class probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Finite ones: probabilities of 0 count as the smallest number.
        """
        proba = self.predict_proba(X)
        return np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))

    def decision_function(self, X: ArrayLike) -> NDArray:
        """Compute log-probabilities, or the log-odds of the second of two classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        scores : ndarray of shape (n_samples, n_classes), or (n_samples,) for two classes
            Greater ones are more probable.
        """
        scores = self.predict_log_proba(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_leaves(self, X: ArrayLike, n_kept: int = 16) -> tuple[NDArray[np.int32], NDArray]:
        """Compute the most probable classes, without an array of samples by classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        n_kept : int, default=16
            Classes to return, 16 at most.

        Returns
        -------
        codes : ndarray of shape (n_samples, min(n_kept, n_classes))
            Positions in ``classes_``, by falling probability.
        probabilities : ndarray of the same shape
            Of these classes.
        """
        _check_n_kept(n_kept)
        return self._model().fitted.model.top(checked_rows(self, X), n_kept)

    def held_out_leaves(
        self,
        X: ArrayLike,
        n_kept: int = 16,
        *,
        groups: ArrayLike | None = None,
        keep_models: bool = True,
    ) -> tuple[NDArray[np.int32], NDArray, NDArray[np.int8]]:
        """Compute `predict_leaves` of training samples, each by a model that did not see its fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples; other samples are treated in the same way.
        n_kept : int, default=16
            Classes to return, 16 at most.
        groups : array-like of shape (n_samples,), optional
            The groups of these samples, if there were some at fit.
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
        model, X = self._model(), checked_rows(self, X)
        result = model.held_out_top(X, n_kept, None if groups is None else hashed_groups(groups, len(X)))
        if not keep_models:
            model.release()
        return result

    def held_out_proba(
        self, X: ArrayLike, *, groups: ArrayLike | None = None, keep_models: bool = True
    ) -> NDArray:
        """Compute `predict_proba` of training samples, each by a model that did not see its fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        groups, keep_models
            See `held_out_leaves`.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Class probabilities.
        """
        model, X = self._model(), checked_rows(self, X)
        hashes = None if groups is None else hashed_groups(groups, len(X))
        proba = model.held_out_proba(X, folds_of(X, self._rule.n_folds, self._rule.seed, hashes))
        if not keep_models:
            model.release()
        return proba

    def __hierret_class_model__(self) -> FoldedClassModel:
        """Return the fitted value that retrievers work with; it takes arrays that were checked.

        Returns
        -------
        class_model : ClassModel
            Class probabilities, P(known), held-out leaves and statistics.
        """
        return self._model()

    def known_proba(self, X: ArrayLike, *, share: float = 0.5) -> NDArray[np.float64]:
        """Compute the probability that the class of a sample was among those of the fit.

        It grows with the sample's density under a mixture of von Mises-Fisher distributions on the
        discriminant sphere, one of each class. The scale comes from samples of the training set that
        the density did not see, and from groups of classes that it did not see.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        share : float in [0, 1], default=0.5
            Share of samples whose class is known, among those that `X` comes from. `known_share`
            estimates it.

        Returns
        -------
        probabilities : ndarray of shape (n_samples,)
            1 where no class could be held out, as with two classes.
        """
        check_share(share)
        return known_proba(self._model().known_log_odds(checked_rows(self, X)), share)

    def known_share(self, X: ArrayLike) -> float:
        """Estimate the share of samples whose class was among those of the fit, by maximum likelihood [1]_.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Some hundred samples at least, or the estimate is rough.

        Returns
        -------
        share : float in [0, 1]
            The estimate.

        References
        ----------
        .. [1] M. Saerens, P. Latinne, C. Decaestecker, "Adjusting the Outputs of a Classifier to New a
           Priori Probabilities: A Simple Procedure", Neural Computation 14, 2002.
        """
        return known_share(self._model().known_log_odds(checked_rows(self, X)))

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def _read_rule(self) -> Rule:
        return Rule(self.n_folds, seed_of(self.random_state), self.shrinkage, self.n_components, self.linear)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _check_n_kept(n_kept: int) -> None:
    check_positive_integer(n_kept, "n_kept")
    if n_kept > N_CANDIDATES:
        raise ValueError(f"n_kept must be at most {N_CANDIDATES}, got {n_kept}.")
