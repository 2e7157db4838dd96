"""Visual words: how often they come, and how descriptors differ from them."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import MiniBatchKMeans
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import pairwise_distances_argmin

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret._sklearn import Interval
from sklearn_hierret.descriptors._lists import DescriptorTransformer, power_normalised


class VocabularyTransformer(DescriptorTransformer):
    """Transformers that cluster descriptors first, by `MiniBatchKMeans`."""

    n_words: int
    words_: NDArray

    _parameter_constraints: dict = {
        **DescriptorTransformer._parameter_constraints,
        "n_words": [Interval(Integral, 1, None, closed="left")],
    }

    def _learn(self, subset: NDArray, images: list[NDArray], random: np.random.RandomState) -> None:
        if self.n_words > len(subset):
            raise ValueError(f"{self.n_words} words need as many descriptors, got {len(subset)}.")
        means = MiniBatchKMeans(self.n_words, n_init=1, batch_size=4096, random_state=random).fit(subset)
        self.words_ = means.cluster_centers_.astype(subset.dtype)

    def _nearest(self, descriptors: NDArray) -> NDArray[np.intp]:
        return pairwise_distances_argmin(descriptors, self.words_.astype(descriptors.dtype, copy=False))


class BagOfVisualWords(VocabularyTransformer):
    """Tf-idf weights of visual words, scaled to length 1 [1]_.

    Parameters
    ----------
    n_words : int, default=1000
    max_samples : int, default=100000
        Descriptors that the vocabulary is learned from, at most.
    on_empty : {"raise", "zeros"}, default="raise"
        What `transform` does with an image without descriptors: raise an error, or return zeros.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    words_ : ndarray of shape (n_words, n_dimensions)
    idf_ : ndarray of shape (n_words,)
    n_dimensions_ : int
        Of a descriptor.

    References
    ----------
    .. [1] J. Sivic, A. Zisserman, "Video Google: A Text Retrieval Approach to Object Matching in Videos",
       ICCV 2003, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import BagOfVisualWords
    >>> images = [np.random.default_rng(i).random((20 + i, 8)) for i in range(5)]
    >>> BagOfVisualWords(10, random_state=0).fit_transform(images).shape
    (5, 10)
    """

    def __init__(
        self,
        n_words: int = 1000,
        *,
        max_samples: int = 100_000,
        on_empty: str = "raise",
        random_state: Any = None,
    ) -> None:
        self.n_words = n_words
        self.max_samples = max_samples
        self.on_empty = on_empty
        self.random_state = random_state

    def _learn(self, subset: NDArray, images: list[NDArray], random: np.random.RandomState) -> None:
        super()._learn(subset, images, random)
        has_word = csr_array([self._vector(one) > 0 for one in images if len(one)], dtype=np.float64)
        self.idf_ = TfidfTransformer().fit(has_word).idf_

    def _vector(self, descriptors: NDArray) -> NDArray:
        return np.bincount(self._nearest(descriptors), minlength=len(self.words_))

    def _finished(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return unit_rows(vectors * self.idf_.astype(np.float32))[0]

    @property
    def _n_features_out(self) -> int:
        return len(self.words_)


class SumsOfWords(VocabularyTransformer):
    """Transformers whose vectors are sums for each word, of length 1 after a power law."""

    power: float

    _parameter_constraints: dict = {
        **VocabularyTransformer._parameter_constraints,
        "power": [Interval(Real, 0, 1, closed="right")],
    }

    def _finished(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        return power_normalised(vectors, self.power)

    @property
    def _n_features_out(self) -> int:
        return self.words_.size


class VLAD(SumsOfWords):
    """Sums of the differences from descriptors to their nearest word, one sum a word [1]_.

    The sums of each word are divided by their length, so that no word counts more than another [2]_; then
    come the power law and the length of the whole. A ``PCA(whiten=True)`` behind it makes short vectors.

    Parameters
    ----------
    n_words : int, default=64
    power : float in (0, 1], default=0.5
        Exponent of the power law; 1: none.
    intra : bool, default=True
        Whether the sums of each word get length 1.
    max_samples, on_empty, random_state
        See `BagOfVisualWords`.

    Attributes
    ----------
    words_ : ndarray of shape (n_words, n_dimensions)
    n_dimensions_ : int

    References
    ----------
    .. [1] H. Jegou, M. Douze, C. Schmid, P. Perez, "Aggregating Local Descriptors into a Compact Image
       Representation", CVPR 2010, section 3.
    .. [2] R. Arandjelovic, A. Zisserman, "All About VLAD", CVPR 2013, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import VLAD
    >>> images = [np.random.default_rng(i).random((20 + i, 8)) for i in range(5)]
    >>> VLAD(4, random_state=0).fit_transform(images).shape
    (5, 32)
    """

    _parameter_constraints: dict = {
        **SumsOfWords._parameter_constraints,
        "intra": ["boolean"],
    }

    def __init__(
        self,
        n_words: int = 64,
        *,
        power: float = 0.5,
        intra: bool = True,
        max_samples: int = 100_000,
        on_empty: str = "raise",
        random_state: Any = None,
    ) -> None:
        self.n_words = n_words
        self.power = power
        self.intra = intra
        self.max_samples = max_samples
        self.on_empty = on_empty
        self.random_state = random_state

    def _vector(self, descriptors: NDArray) -> NDArray:
        word = self._nearest(descriptors)
        sums = np.zeros(self.words_.shape)
        np.add.at(sums, word, descriptors - self.words_[word])
        # What rounding leaves of descriptors that are words must not get length 1.
        rounding = 1e-6 * len(descriptors) * float(np.abs(self.words_).max())
        sums[np.abs(sums).max(axis=1) <= rounding] = 0.0
        return (unit_rows(sums)[0] if self.intra else sums).ravel()
