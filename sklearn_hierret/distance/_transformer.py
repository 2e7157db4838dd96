"""Whitening within classes as a transformer."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_hierret._arrays import checked_rows, unit_rows
from sklearn_hierret._sklearn import Interval, StrOptions
from sklearn_hierret._state import value
from sklearn_hierret.distance._choice import choose_whitening
from sklearn_hierret.distance._whitening import Whitening
from sklearn_hierret.statistics import (
    FOLD_CONSTRAINTS,
    FoldRule,
    FoldStatistics,
    Parts,
    Report,
    StreamingEstimator,
    seed_of,
)


@value("fitted whitening")
class Made(NamedTuple):
    """What a fit makes; no whitening where samples do not differ within their classes."""

    whitening: Whitening | None
    shrinkage: float


@value("whitening rule")
@dataclass(frozen=True)
class Rule(FoldRule):
    """What the user asked for."""

    shrinkage: float | str
    n_components: int | None
    between_shrinkage: float | str | None

    def model(self, statistics: FoldStatistics, report: Report) -> Made:
        """Choose the shrinkage, and whiten by it."""
        d = statistics.n_features
        if self.n_components is not None and self.n_components > d:
            raise ValueError(f"n_components = {self.n_components}, and there are {d} features.")
        parts = Parts(statistics)
        within = parts.within()
        report("covariance within classes", 0.3)
        if not within.has_spread:
            warnings.warn(
                "Samples do not differ within their classes, so there is nothing to whiten by: rows are only "
                "scaled to unit length.",
                UserWarning,
                stacklevel=2,
            )
            return Made(None, 1.0)
        shrinkage = choose_whitening(parts, self.shrinkage).shrinkage
        assert shrinkage is not None
        if shrinkage == 0 and _is_singular(within.variances, d):
            raise ValueError(
                "shrinkage=0, and the covariance within classes is singular: it needs more samples than "
                "features and classes together, and features that vary. Use a shrinkage above 0, or 'auto'."
            )
        report(f"shrinkage {shrinkage:g}", 0.9)
        whitening = Whitening.of(within, shrinkage, self.n_components, self.between_shrinkage)
        report("whitening", 1.0)
        return Made(whitening, shrinkage)


class WithinClassWhitening(ClassNamePrefixFeaturesOutMixin, TransformerMixin, StreamingEstimator):
    """Divide out what varies within a class, so that cosine sees what does not.

    Rows are scaled to unit length, centred, multiplied by ``((1 - s) W + s tr(W)/d I)^(-1/2)``, and scaled
    to unit length again. W is the pooled covariance within classes, s the shrinkage. Cosine of the results is
    better than that of the rows for classes that were not there at fit as well: what varies within a class,
    such as light and pose, is much the same for all of them. The method is known as within-class covariance
    normalisation [1]_ and as relevant component analysis [2]_.

    Parameters
    ----------
    shrinkage : "auto" or float in [0, 1], default="auto"
        Weight s of the scaled identity. 1 is centred cosine. "auto" chooses one from 0.1 to 1 by what
        held-out samples retrieve, of known classes and of classes that are held out together.
    n_components : int, default=None
        Directions to keep at most: those in which all samples together differ most after whitening. None
        keeps all features.
    between_shrinkage : "auto", float in [0, 1] or None, default=None
        Unless None, weigh directions by how much classes differ along them (the two-covariance model [3]_),
        with the covariance of the class means shrunk by this much, in closed form for "auto". 1 weighs all
        directions alike. It moves gains from new classes to those of the fit: for galleries without new ones.
    n_folds : int, default=3
        Folds for all choices. Statistics take ``n_folds * (n_classes + n_features) * n_features`` numbers.
    random_state : int, RandomState or None, default=0
        Seed of the hash that deals rows to folds; it is drawn at fit unless it is a number.
    verbose : bool, default=False
        Print what was done, how long it took and what is left.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    mean_ : ndarray of shape (n_features,)
        Of the unit rows.
    components_ : ndarray of shape (n_components, n_features)
        Whitening, up to a factor.
    shrinkage_ : float
        What was chosen, or given.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Notes
    -----
    The result depends on each row alone, whatever rows are transformed beside it, bit for bit; equal rows
    stay equal. For that, rows and matrix are rounded to multiples of 2^-26, about the precision of float32.

    A zero row becomes zero: cosine distance 1 to everything. Where samples do not differ within their classes
    there is nothing to whiten by; rows are only scaled to unit length then, with a warning, `n_components` is
    not heeded, and `shrinkage_` is 1.

    `partial_fit` and Dask give what one `fit` gives, whatever the blocks and their order, up to rounding.

    See Also
    --------
    HierarchicalRetriever : Whitens by itself, by its parameter `metric`.
    DiscriminantClassifier : Its space is whitened in the same way, and projected to where class means differ.

    References
    ----------
    .. [1] A. O. Hatch, S. Kajarekar, A. Stolcke, "Within-Class Covariance Normalization for SVM-based
       Speaker Recognition", Interspeech 2006.
    .. [2] N. Shental, T. Hertz, D. Weinshall, M. Pavel, "Adjustment Learning and Relevant Component
       Analysis", ECCV 2002.
    .. [3] N. Brümmer, E. de Villiers, "The Speaker Partitioning Problem", Odyssey 2010.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_hierret import WithinClassWhitening
    >>> X, y = load_digits(return_X_y=True)
    >>> pipe = make_pipeline(WithinClassWhitening(), KNeighborsClassifier()).fit(X[:1000], y[:1000])
    >>> pipe.score(X[1000:], y[1000:]) > 0.9
    True
    """

    _lazy: ClassVar[dict] = {
        "mean_": lambda self: _matrices(self)[0],
        "components_": lambda self: _matrices(self)[1],
        "shrinkage_": lambda self: self._model().shrinkage,
        "whitening_": lambda self: self._model().whitening,
    }

    _parameter_constraints: dict = {
        "shrinkage": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "between_shrinkage": [None, StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        **FOLD_CONSTRAINTS,
    }

    def __init__(
        self,
        *,
        shrinkage: float | str = "auto",
        n_components: int | None = None,
        between_shrinkage: float | str | None = None,
        n_folds: int = 3,
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool | int = False,
    ) -> None:
        self.shrinkage = shrinkage
        self.n_components = n_components
        self.between_shrinkage = between_shrinkage
        self.n_folds = n_folds
        self.random_state = random_state
        self.verbose = verbose

    def transform(self, X: ArrayLike) -> NDArray:
        """Whiten rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_components)
            Of unit length or zero; float32 for half and single precision features, else float64.
        """
        whitening, X = self._model().whitening, checked_rows(self, X)
        return unit_rows(X)[0] if whitening is None else whitening.rows(X)[0]

    def _read_rule(self) -> Rule:
        return Rule(
            self.n_folds,
            seed_of(self.random_state),
            self.shrinkage,
            self.n_components,
            self.between_shrinkage,
        )

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _matrices(estimator: WithinClassWhitening) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the matrix (n_components, n_features) of an estimator."""
    whitening, d = estimator.whitening_, estimator.n_features_in_
    return (np.zeros(d), np.eye(d)) if whitening is None else (whitening.mean, whitening.matrix.T)


def _is_singular(variances: NDArray[np.float64], n_features: int) -> bool:
    return len(variances) < n_features or bool(variances.min() <= 1e-10 * variances.max())
