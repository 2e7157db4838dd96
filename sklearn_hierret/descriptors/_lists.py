"""Lists of descriptor arrays, one array for each image."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import TransformerTags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import unchanged_on_error, unit_rows
from sklearn_hierret._sklearn import Interval, StrOptions, fit_context


class DescriptorTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """One vector an image from its descriptors: what all ways of doing so have in common.

    A subclass learns in `_learn` and describes one image in `_vector`.
    """

    on_empty: str
    max_samples: int
    random_state: Any

    _parameter_constraints: dict = {
        "max_samples": [Interval(Integral, 1, None, closed="left")],
        "on_empty": [StrOptions({"raise", "zeros"})],
        "random_state": ["random_state"],
    }

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Any:
        """Learn from the descriptors of images.

        Parameters
        ----------
        X : sequence of array-like of shape (n_descriptors, n_dimensions)
            One array an image, of any numbers of descriptors; images without any are passed over.
        y : None
            Not used.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If descriptors have different widths, or there are fewer of them than the vocabulary needs.
        """
        with unchanged_on_error(self):
            images = checked_descriptors(X)
            self.n_dimensions_ = images[0].shape[1]
            random = check_random_state(self.random_state)
            subset = drawn_descriptors(images, self.max_samples, random)
            if not len(subset):
                raise ValueError("No image has a descriptor.")
            self._learn(subset, images, random)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute vectors of images.

        Parameters
        ----------
        X : sequence of array-like of shape (n_descriptors, n_dimensions)

        Returns
        -------
        vectors : ndarray of shape (n_images, n_features), float32

        Raises
        ------
        ValueError
            If an image has no descriptor, and ``on_empty="raise"``; it is named by its position.
        """
        check_is_fitted(self)
        self._validate_params()
        images = checked_descriptors(X, self.n_dimensions_)
        vectors = np.zeros((len(images), self._n_features_out), dtype=np.float32)
        for i, descriptors in enumerate(images):
            if len(descriptors):
                vectors[i] = self._vector(descriptors)
            elif self.on_empty == "raise":
                raise ValueError(
                    f"Image {i} has no descriptor: leave it out, or set on_empty='zeros' for zeros."
                )
        return self._finished(vectors)

    def _learn(self, subset: NDArray, images: list[NDArray], random: np.random.RandomState) -> None:
        """Learn from some descriptors; those of all images are at hand, too."""
        raise NotImplementedError

    def _vector(self, descriptors: NDArray) -> NDArray:
        """Compute the vector of an image."""
        raise NotImplementedError

    def _finished(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors of all images in their last form."""
        return vectors

    @property
    def _n_features_out(self) -> int:
        raise NotImplementedError

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags = TransformerTags(preserves_dtype=["float32"])
        return tags


def checked_descriptors(X: Any, n_dimensions: int | None = None) -> list[NDArray]:
    """Descriptor arrays as floats, all of one width.

    Raises
    ------
    ValueError, TypeError
        For everything else; the image is named by its position.
    """
    if isinstance(X, (str, bytes)) or not isinstance(X, (Sequence, np.ndarray)):
        raise TypeError(f"X must be a sequence of descriptor arrays, got a {type(X).__name__}.")
    if not len(X):
        raise ValueError("X has no image.")
    images: list[NDArray] = []
    for i, one in enumerate(X):
        # Of LocalFeatures the second part.
        descriptors = np.asarray(getattr(one, "descriptors", one))
        if descriptors.size == 0 and descriptors.ndim < 2:
            descriptors = descriptors.reshape(0, n_dimensions or 0)
        if descriptors.ndim != 2 or descriptors.dtype.kind not in "fiu":
            raise ValueError(
                f"Descriptors of an image are a matrix of numbers; those of image {i} have shape "
                f"{descriptors.shape} and dtype {descriptors.dtype}."
            )
        if len(descriptors) and n_dimensions is None:
            n_dimensions = descriptors.shape[1]
        if len(descriptors) and descriptors.shape[1] != n_dimensions:
            raise ValueError(
                f"Descriptors have different widths: {descriptors.shape[1]} in image {i}, "
                f"expected {n_dimensions}."
            )
        precision = np.float64 if descriptors.dtype == np.float64 else np.float32
        descriptors = descriptors.astype(precision, copy=False)
        if not np.isfinite(descriptors).all():
            raise ValueError(f"Descriptors of image {i} are not finite.")
        images.append(descriptors)
    width = n_dimensions or 0
    return [one if len(one) else np.zeros((0, width), dtype=np.float32) for one in images]


def drawn_descriptors(images: list[NDArray], most: int, random: np.random.RandomState) -> NDArray:
    """All descriptors, or some, drawn from all images alike."""
    ends = np.cumsum([len(one) for one in images])
    if ends[-1] <= most:
        return np.concatenate(images)
    rows = np.sort(random.choice(ends[-1], most, replace=False))
    owner = np.searchsorted(ends, rows, side="right")
    starts = ends - [len(one) for one in images]
    return np.concatenate([images[i][rows[owner == i] - starts[i]] for i in np.unique(owner)])


def power_normalised(vectors: NDArray, power: Real | float) -> NDArray:
    """``sign(v) |v|^power``, divided by the rows' lengths: bursts of one kind of descriptor count less."""
    if power != 1:
        vectors = np.sign(vectors) * np.abs(vectors) ** power
    return unit_rows(vectors)[0]
