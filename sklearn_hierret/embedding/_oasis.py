"""A bilinear similarity, learned from triplets one after another."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import blas, eigh
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import TransformerTags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import (
    check_memory_share,
    feature_dtype,
    unit_rows,
)
from sklearn_hierret._sklearn import Interval
from sklearn_hierret._training import SupervisedEstimator, TrainingSet


class OASIS(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SupervisedEstimator):
    """Learn a similarity ``x' W z`` by which a sample's class comes before others [1]_.

    W starts as the identity, which is cosine similarity. A triplet is a sample p, another sample p+ of its
    class, and a sample p- of another class. If ``p' W p+`` does not exceed ``p' W p-`` by 1, W is changed by
    the smallest step that achieves this; `aggressiveness` limits the step (passive-aggressive learning). Rows
    are first divided by their lengths.

    Parameters
    ----------
    aggressiveness : float, default=0.1
        Upper limit of a step, C in [1]_.
    n_triplets : int, default=50000
        Number of triplets. The time for each grows with the square of `n_features`: 50,000 triplets take
        about a second with 128 features and a minute with 1,280. Reduce many features by a PCA first.
    semidefinite : bool, default=True
        Replace W by the nearest symmetric positive semidefinite matrix at the end, so that `transform`
        makes vectors whose inner products are the similarity. False: keep W as it is. Queries and items
        then have different vectors, and the similarities are ``transform_queries(X) @ transform(X).T``. A
        Pipeline only calls `transform`, so it then ranks by plain cosine.
    random_state : int, RandomState or None, default=None
        Of the triplets.

    Attributes
    ----------
    W_ : ndarray of shape (n_features, n_features)
    factor_ : ndarray of shape (n_features, n_components)
        Only if `semidefinite`: ``W_ = factor_ @ factor_.T``.
    n_updates_ : int
        Triplets that changed W.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    References
    ----------
    .. [1] G. Chechik, V. Sharma, U. Shalit, S. Bengio, "Large Scale Online Learning of Image Similarity
       Through Ranking", JMLR 11, 2010, Algorithm 1 and section 3.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_hierret import OASIS, HierarchicalRetriever
    >>> X, y = load_digits(return_X_y=True)
    >>> oasis = OASIS(n_triplets=2000, random_state=0).fit(X, y)
    >>> oasis.transform(X[:2]).shape[0], bool(oasis.n_updates_ < 2000)
    (2, True)
    >>> pipe = make_pipeline(oasis, HierarchicalRetriever(metric="cosine", alpha=0)).fit(X, y)
    """

    _parameter_constraints: dict = {
        "aggressiveness": [Interval(Real, 0, None, closed="neither")],
        "n_triplets": [Interval(Integral, 1, None, closed="left")],
        "semidefinite": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        aggressiveness: float = 0.1,
        *,
        n_triplets: int = 50_000,
        semidefinite: bool = True,
        random_state: Any = None,
    ) -> None:
        self.aggressiveness = aggressiveness
        self.n_triplets = n_triplets
        self.semidefinite = semidefinite
        self.random_state = random_state

    def _fit(self, training: TrainingSet) -> None:
        X, codes = training.X, training.codes
        check_memory_share(
            32 * X.shape[1] ** 2, f"A similarity of {X.shape[1]} features", "put a PCA before, in a Pipeline."
        )
        if len(codes) == codes.max() + 1:
            raise ValueError("Every sample is alone in its class: there are no triplets to learn from.")
        rows = unit_rows(X)[0].astype(np.float64)
        W = np.asfortranarray(np.eye(rows.shape[1]))
        self.n_updates_ = 0
        for p, positive, negative in triplets(codes, self.n_triplets, check_random_state(self.random_state)):
            query, difference = rows[p], rows[positive] - rows[negative]
            loss = 1.0 - blas.dgemv(1.0, W, query, trans=1) @ difference
            square = (query @ query) * (difference @ difference)  # squared norm of the gradient
            if loss > 0 and square > 0:
                step = min(self.aggressiveness, loss / square)
                W = blas.dger(step, query, difference, a=W, overwrite_a=1)
                self.n_updates_ += 1
        if self.semidefinite:
            values, vectors = eigh((W + W.T) / 2)
            kept = values > max(1e-10 * values[-1], 0.0)
            if not kept.any():
                raise ValueError("Nothing of W is positive semidefinite: use a smaller aggressiveness.")
            self.factor_ = (vectors[:, kept] * np.sqrt(values[kept])).astype(X.dtype)
            W = (vectors[:, kept] * values[kept]) @ vectors[:, kept].T
        elif hasattr(self, "factor_"):
            del self.factor_
        self.W_ = np.ascontiguousarray(W, dtype=X.dtype)

    def transform(self, X: ArrayLike) -> NDArray:
        """Return vectors of items.

        If `semidefinite`, they are those of queries, too; otherwise they are the rows of X divided by their
        lengths.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_components)
        """
        rows = self._unit(X)
        return rows @ self.factor_ if hasattr(self, "factor_") else rows

    def transform_queries(self, X: ArrayLike) -> NDArray:
        """Return vectors of queries, whose inner products with those of `transform` are the similarities.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        vectors : ndarray of shape (n_samples, n_components)
        """
        rows = self._unit(X)
        return rows @ (self.factor_ if hasattr(self, "factor_") else self.W_)

    def _unit(self, X: ArrayLike) -> NDArray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=feature_dtype(X, self.W_.dtype), reset=False)
        return unit_rows(X)[0]

    @property
    def _n_features_out(self) -> int:
        return self.factor_.shape[1] if hasattr(self, "factor_") else self.n_features_in_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        return tags


def triplets(codes: NDArray[np.intp], n: int, random: np.random.RandomState) -> NDArray[np.intp]:
    """Rows of samples, others of their class, and others of other classes, (n, 3), drawn at random."""
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(codes), dtype=np.intp)
    rank[order] = np.arange(len(codes))
    queries = random.choice(np.flatnonzero(sizes[codes] > 1), n)
    size, start = sizes[codes[queries]], starts[codes[queries]]
    # One of the others of the class, and one of all that are not in the class, by their places in the order.
    other = (random.random_sample(n) * (size - 1)).astype(np.intp)
    other += start + other >= rank[queries]
    foreign = (random.random_sample(n) * (len(codes) - size)).astype(np.intp)
    foreign += np.where(foreign >= start, size, 0)
    return np.stack([queries, order[start + other], order[foreign]], axis=1)
