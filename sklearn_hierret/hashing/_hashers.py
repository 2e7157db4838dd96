"""Binary codes from any features: signs of principal components, and ITQ."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import qr, svd
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils import TransformerTags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import feature_dtype
from sklearn_hierret._sklearn import Interval, fit_context
from sklearn_hierret.hashing._codes import check_n_bits, pack_signs


class PCAHasher(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Codes whose bits are the signs of the principal components.

    The first components hold most of the variance, but each component gets one bit, so further bits
    are of less use. `ITQHasher` spreads the variance over all bits.

    Parameters
    ----------
    n_bits : int, default=64
        Length of the codes, a multiple of 8.
    random_state : int, RandomState or None, default=None
        For large data, whose components are found by a randomised method.

    Attributes
    ----------
    mean_ : ndarray of shape (n_features,)
    projection_ : ndarray of shape (n_features, n_bits)
        Relaxed codes are ``(X - mean_) @ projection_``.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Notes
    -----
    To rank as cosine does rather than as Euclidean distance does, put a
    `sklearn.preprocessing.Normalizer` before.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import PCAHasher
    >>> X, _ = load_digits(return_X_y=True)
    >>> codes = PCAHasher(n_bits=16).fit_transform(X)
    >>> codes.shape, codes.dtype
    ((1797, 2), dtype('uint8'))
    """

    _parameter_constraints: dict = {
        "n_bits": "no_validation",  # check_n_bits says more
        "random_state": ["random_state"],
    }

    def __init__(self, n_bits: int = 64, *, random_state: Any = None) -> None:
        self.n_bits = n_bits
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> PCAHasher:
        """Find the projection.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : None
            Not used.

        Returns
        -------
        self : object

        Warns
        -----
        UserWarning
            If there are fewer components than bits.
        """
        check_n_bits(self.n_bits)
        X = validate_data(self, X, dtype=feature_dtype(X), ensure_min_samples=2)
        random = check_random_state(self.random_state)
        pca = PCA(min(self.n_bits, *X.shape), random_state=random).set_output(transform="default")
        if np.all(X[:1] == X):
            raise ValueError("All features are constant: no code could tell samples apart.")
        # Squares of very small or large features would vanish or overflow; a power of two rounds nothing.
        largest = float(np.abs(X).max())
        scale = X.dtype.type(1.0 if 1e-9 < largest < 1e9 else 2.0 ** -np.round(np.log2(largest)))
        scores = pca.fit_transform(X * scale)
        # The signs of components without variance are those of rounding errors.
        variance = pca.explained_variance_
        is_there = variance > 10 * np.finfo(X.dtype).eps * variance[0]
        self._scale, self.mean_ = scale, pca.mean_ / scale
        mixing = self._mixed(scores[:, is_there], random)
        self.projection_ = np.ascontiguousarray(pca.components_[is_there].T @ mixing)
        return self

    def _mixed(self, scores: NDArray, random: np.random.RandomState) -> NDArray:
        """From components to bits, shape (n_components, n_bits)."""
        n_components = scores.shape[1]
        if n_components < self.n_bits:
            warnings.warn(
                f"{self.n_bits} bits, but {n_components} principal components: the other bits are 1 for "
                "all samples. Fewer bits do as well; ITQHasher makes use of more.",
                UserWarning,
                stacklevel=4,
            )
        return np.eye(n_components, self.n_bits, dtype=scores.dtype)

    def transform(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Packed codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        codes : ndarray of shape (n_samples, n_bits / 8), uint8
        """
        return pack_signs(self.relaxed_codes(X))

    def relaxed_codes(self, X: ArrayLike) -> NDArray:
        """Compute what the codes are the signs of.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        relaxed : ndarray of shape (n_samples, n_bits)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=feature_dtype(X, self.projection_.dtype), reset=False)
        return (X - self.mean_) * self._scale @ self.projection_

    @property
    def _n_features_out(self) -> int:
        return self.projection_.shape[1] // 8

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        return tags


class ITQHasher(PCAHasher):
    """Iterative quantization: principal components, rotated until their signs are close to them [1]_.

    Parameters
    ----------
    n_bits : int, default=64
        Length of the codes, a multiple of 8. It may exceed the number of components.
    max_iter : int, default=50
        Rotations at most.
    tol : float, default=1e-5
        Stop when the quantization error falls by a smaller share.
    random_state : int, RandomState or None, default=None
        Of the first rotation.

    Attributes
    ----------
    mean_, projection_, n_features_in_, feature_names_in_ : see `PCAHasher`
    quantization_errors_ : ndarray of shape (n_rotations,)
        Mean squared distance of the rotated components, scaled to a variance of 1 a bit, from
        their signs, before each rotation; it never rises.
    n_iter_ : int

    References
    ----------
    .. [1] Y. Gong, S. Lazebnik, A. Gordo, F. Perronnin, "Iterative Quantization: A Procrustean
       Approach to Learning Binary Codes for Large-Scale Image Retrieval", TPAMI 2013, section 3.2.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hierret import ITQHasher
    >>> X, _ = load_digits(return_X_y=True)
    >>> ITQHasher(n_bits=32, random_state=0).fit(X).relaxed_codes(X[:2]).shape
    (2, 32)
    """

    _parameter_constraints: dict = {
        **PCAHasher._parameter_constraints,
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self, n_bits: int = 64, *, max_iter: int = 50, tol: float = 1e-5, random_state: Any = None
    ) -> None:
        super().__init__(n_bits, random_state=random_state)
        self.max_iter = max_iter
        self.tol = tol

    def _mixed(self, scores: NDArray, random: np.random.RandomState) -> NDArray:
        # Neither signs nor rotations depend on the scale; the errors do.
        scale = np.sqrt(np.mean(scores.astype(np.float64) ** 2) * scores.shape[1] / self.n_bits)
        V = scores / scores.dtype.type(scale if scale > 0 else 1.0)
        # More bits than components: columns that are as far from one another as they can be.
        n_rows = max(V.shape[1], self.n_bits)
        R = qr(random.normal(size=(n_rows, n_rows)))[0][: V.shape[1], : self.n_bits].astype(V.dtype)
        errors: list[float] = []
        for _ in range(self.max_iter):
            rotated = V @ R
            signs = np.where(rotated >= 0, V.dtype.type(1), V.dtype.type(-1))
            errors.append(float(np.mean((signs - rotated) ** 2)))
            if len(errors) > 1 and errors[-2] - errors[-1] <= self.tol * errors[-2]:
                break
            # The rows of R stay orthonormal, so that |V R| is constant: Procrustes' problem.
            U, _, Wt = svd(V.T @ signs, full_matrices=False)
            R = U @ Wt
        self.quantization_errors_ = np.array(errors)
        self.n_iter_ = len(errors)
        return R
