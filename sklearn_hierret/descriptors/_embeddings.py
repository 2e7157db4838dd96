"""Directions from words to descriptors: triangulation embedding and robust visual descriptors."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from sklearn.metrics.pairwise import euclidean_distances

from sklearn_hierret._arrays import check_memory_share
from sklearn_hierret._sklearn import Interval
from sklearn_hierret.descriptors._vocabulary import SumsOfWords


class TriangulationEmbedding(SumsOfWords):
    """Directions to a descriptor from all words, whitened and summed [1]_.

    Each descriptor is represented by the unit vectors that point to it from every word. In many dimensions
    the lengths of these differences say little, so they are dropped. The leading components, by default as
    many as a descriptor has dimensions, vary in all images alike and are discarded. Vectors are summed
    without the democratic weights of [1]_.

    Parameters
    ----------
    n_words : int, default=16
    power : float in (0, 1], default=0.5
    n_discarded : int, default=None
        Leading components that are left out; None: as many as descriptors have dimensions.
    max_samples, on_empty, random_state
        See `BagOfVisualWords`.

    Attributes
    ----------
    words_ : ndarray of shape (n_words, n_dimensions)
    mean_ : ndarray of shape (n_words * n_dimensions,)
    projection_ : ndarray of shape (n_words * n_dimensions, n_components)
    n_dimensions_ : int

    References
    ----------
    .. [1] H. Jegou, A. Zisserman, "Triangulation Embedding and Democratic Aggregation for Image Search",
       CVPR 2014, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import TriangulationEmbedding
    >>> images = [np.random.default_rng(i).random((20 + i, 8)) for i in range(5)]
    >>> TriangulationEmbedding(4, random_state=0).fit_transform(images).shape
    (5, 24)
    """

    _parameter_constraints: dict = {
        **SumsOfWords._parameter_constraints,
        "n_discarded": [None, Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        n_words: int = 16,
        *,
        power: float = 0.5,
        n_discarded: int | None = None,
        max_samples: int = 100_000,
        on_empty: str = "raise",
        random_state: Any = None,
    ) -> None:
        self.n_words = n_words
        self.power = power
        self.n_discarded = n_discarded
        self.max_samples = max_samples
        self.on_empty = on_empty
        self.random_state = random_state

    def _learn(self, subset: NDArray, images: list[NDArray], random: np.random.RandomState) -> None:
        super()._learn(subset, images, random)
        n = self.words_.size
        n_discarded = self.n_dimensions_ if self.n_discarded is None else self.n_discarded
        if n_discarded >= n:
            raise ValueError(f"n_discarded={n_discarded} leaves none of the {n} components: use more words.")
        check_memory_share(32 * n**2, f"The covariance of {n} directions", "use fewer words.")
        total, squares = np.zeros(n), np.zeros((n, n))
        for start in range(0, len(subset), 2000):
            rows = self._directions(subset[start : start + 2000])
            total += rows.sum(axis=0)
            squares += rows.T @ rows
        self.mean_ = total / len(subset)
        values, vectors = eigh(squares / len(subset) - np.outer(self.mean_, self.mean_))
        # From the largest down; what has no variance stays out.
        values, vectors = values[::-1][n_discarded:], vectors[:, ::-1][:, n_discarded:]
        kept = values > 1e-8 * max(values[0], 1e-12)
        if not kept.any():
            raise ValueError("Descriptors do not vary enough for directions to tell them apart.")
        # A sign by rule, as scikit-learn's PCA has one.
        vectors = vectors[:, kept]
        vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
        self.projection_ = vectors / np.sqrt(values[kept])

    def _directions(self, descriptors: NDArray) -> NDArray[np.float64]:
        differences = descriptors[:, None, :] - self.words_[None]
        lengths = np.linalg.norm(differences, axis=2, keepdims=True)
        return (differences / np.where(lengths > 0, lengths, 1.0)).reshape(len(descriptors), -1).astype(float)

    def _vector(self, descriptors: NDArray) -> NDArray:
        return (self._directions(descriptors).sum(axis=0) - len(descriptors) * self.mean_) @ self.projection_

    @property
    def _n_features_out(self) -> int:
        return self.projection_.shape[1]


class RVD(SumsOfWords):
    """Directions to a descriptor from its few nearest words, by their ranks, whitened for each word [1]_.

    The difference from a word, divided by the sum of its absolute values, has weight 1 for the nearest word,
    1/2 for the second, 1/4 for the third, and so on. The sums for each word are whitened with their mean and
    covariance over the training images.

    Parameters
    ----------
    n_words : int, default=64
    n_nearest : int, default=3
    power : float in (0, 1], default=0.5
    max_samples, on_empty, random_state
        See `BagOfVisualWords`.

    Attributes
    ----------
    words_ : ndarray of shape (n_words, n_dimensions)
    means_ : ndarray of shape (n_words, n_dimensions)
    projections_ : ndarray of shape (n_words, n_dimensions, n_dimensions)
    n_dimensions_ : int

    References
    ----------
    .. [1] S. Husain, M. Bober, "Improving Large-Scale Image Retrieval Through Robust Aggregation of Local
       Descriptors", TPAMI 39(9), 2017. There, ranks have learned weights.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import RVD
    >>> images = [np.random.default_rng(i).random((20 + i, 8)) for i in range(5)]
    >>> RVD(4, random_state=0).fit_transform(images).shape
    (5, 32)
    """

    _parameter_constraints: dict = {
        **SumsOfWords._parameter_constraints,
        "n_nearest": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_words: int = 64,
        *,
        n_nearest: int = 3,
        power: float = 0.5,
        max_samples: int = 100_000,
        on_empty: str = "raise",
        random_state: Any = None,
    ) -> None:
        self.n_words = n_words
        self.n_nearest = n_nearest
        self.power = power
        self.max_samples = max_samples
        self.on_empty = on_empty
        self.random_state = random_state

    def _learn(self, subset: NDArray, images: list[NDArray], random: np.random.RandomState) -> None:
        super()._learn(subset, images, random)
        n_words, n_dimensions = self.words_.shape
        total, squares, count = (
            np.zeros(self.words_.shape),
            np.zeros((n_words, n_dimensions, n_dimensions)),
            0,
        )
        for one in images:
            if len(one):
                sums = self._sums(one)
                total += sums
                squares += sums[:, :, None] * sums[:, None, :]
                count += 1
        self.means_ = total / count
        values, vectors = np.linalg.eigh(squares / count - self.means_[:, :, None] * self.means_[:, None, :])
        # There may be fewer images than dimensions: variances are raised to a hundredth of their mean, of the
        # word or of all words.
        floor = 0.01 * np.maximum(values.mean(axis=1, keepdims=True), max(values.mean(), 1e-12))
        roots = np.sqrt(np.maximum(values, floor))
        # Symmetric, so that nothing depends on the choice of eigenvectors.
        self.projections_ = vectors / roots[:, None, :] @ vectors.transpose(0, 2, 1)

    def _sums(self, descriptors: NDArray) -> NDArray[np.float64]:
        n_nearest = min(self.n_nearest, len(self.words_))
        squares = euclidean_distances(descriptors, self.words_.astype(descriptors.dtype), squared=True)
        nearest = np.argsort(squares, axis=1, kind="stable")[:, :n_nearest]
        sums = np.zeros(self.words_.shape)
        for rank in range(n_nearest):
            word = nearest[:, rank]
            differences = descriptors - self.words_[word]
            lengths = np.abs(differences).sum(axis=1, keepdims=True)
            np.add.at(sums, word, differences / np.where(lengths > 0, lengths, 1.0) / 2**rank)
        return sums

    def _vector(self, descriptors: NDArray) -> NDArray:
        centred = self._sums(descriptors) - self.means_
        return np.einsum("wd,wde->we", centred, self.projections_).ravel()
