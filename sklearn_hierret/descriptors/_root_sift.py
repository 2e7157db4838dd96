"""Keypoints and their descriptors, by scikit-image."""

from __future__ import annotations

from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from sklearn_hierret._sklearn import Interval, Options, fit_context
from sklearn_hierret.images import ImageList

#: Pixels that a side of an enlarged image must have for a first octave of scales.
SMALLEST = 12


class LocalFeatures(NamedTuple):
    """Keypoints of an image and their descriptors.

    Parameters
    ----------
    keypoints : ndarray of shape (n_keypoints, 2)
        Rows and columns, in pixels.
    descriptors : ndarray of shape (n_keypoints, n_dimensions)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import LocalFeatures
    >>> LocalFeatures(np.zeros((3, 2)), np.zeros((3, 128))).descriptors.shape
    (3, 128)
    """

    keypoints: NDArray
    descriptors: NDArray


class RootSIFT(TransformerMixin, BaseEstimator):
    """SIFT descriptors of keypoints, divided by their sums, with the square root taken [1]_.

    Euclidean distances then compare histograms by the Hellinger kernel. Needs the extra ``image``
    (scikit-image).

    Parameters
    ----------
    max_keypoints : int, default=500
        Those of the largest scales are kept.
    upsampling : {1, 2, 4}, default=2
        Factor by which the image is enlarged first; small images need it.
    n_jobs : int, default=None
        Number of threads; None: one; -1: all processors.

    References
    ----------
    .. [1] R. Arandjelovic, A. Zisserman, "Three Things Everyone Should Know to Improve Object Retrieval",
       CVPR 2012, section 3.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_hierret.descriptors import VLAD, RootSIFT
    >>> pipe = make_pipeline(RootSIFT(), VLAD(16))
    """

    _parameter_constraints: dict = {
        "max_keypoints": [Interval(Integral, 1, None, closed="left")],
        "upsampling": [Options(Integral, {1, 2, 4})],
        "n_jobs": [None, Integral],
    }

    def __init__(self, max_keypoints: int = 500, *, upsampling: int = 2, n_jobs: int | None = None) -> None:
        self.max_keypoints = max_keypoints
        self.upsampling = upsampling
        self.n_jobs = n_jobs

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any = None, y: Any = None) -> RootSIFT:
        """Do nothing but check parameters.

        Parameters
        ----------
        X, y : object
            Not used.

        Returns
        -------
        self : object
        """
        scikit_image("RootSIFT")
        return self

    def transform(self, X: Any) -> list[NDArray[np.float32]]:
        """Compute descriptors of images.

        Parameters
        ----------
        X : array-like of images, of paths, or folder
            Arrays have shape (height, width[, channels]), uint8, or floats from 0 to 1.

        Returns
        -------
        descriptors : list of ndarray of shape (n_keypoints, 128), float32
            An image without structure has none.
        """
        return [results.descriptors for results in self.local_features(X)]

    def local_features(self, X: Any) -> list[LocalFeatures]:
        """Find keypoints and descriptors of images, for `SpatialVerification`.

        Parameters
        ----------
        X : as in `transform`

        Returns
        -------
        features : list of LocalFeatures
        """
        self._validate_params()
        images = ImageList(X, n_channels=1)
        module = scikit_image("RootSIFT")
        work = delayed(self._of_image)
        return Parallel(self.n_jobs, prefer="threads")(work(images, i, module) for i in range(len(images)))

    def _of_image(self, images: ImageList, i: int, module: Any) -> LocalFeatures:
        pixels = images.pixels(i, images.content(i))[..., 0]
        nothing = LocalFeatures(np.zeros((0, 2)), np.zeros((0, 128), dtype=np.float32))
        if self.upsampling * min(pixels.shape) < SMALLEST:
            return nothing
        sift = module.SIFT(upsampling=self.upsampling)
        try:
            sift.detect_and_extract(pixels)
        except RuntimeError as error:
            if "no features" not in str(error):
                raise
            return nothing
        kept = np.argsort(-sift.sigmas, kind="stable")[: self.max_keypoints]
        return LocalFeatures(sift.keypoints[kept].astype(float), root_sift(sift.descriptors[kept]))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags


def root_sift(descriptors: NDArray) -> NDArray[np.float32]:
    """Roots of descriptors divided by their sums: of length 1, their products are Hellinger's."""
    values = descriptors.astype(np.float64)
    sums = values.sum(axis=1, keepdims=True)
    return np.sqrt(values / np.where(sums > 0, sums, 1.0)).astype(np.float32)


def scikit_image(what: str) -> Any:
    """``skimage.feature``, or an error that names the extra."""
    try:
        import skimage.feature
    except ImportError:
        raise ImportError(
            f'{what} needs scikit-image: python -m pip install "sklearn-hierret[image]"'
        ) from None
    return skimage.feature
