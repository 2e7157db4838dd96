"""Images made worse, for the analysis of robustness."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._sklearn import Interval, StrOptions, fit_context
from sklearn_hierret.images._source import ImageSource

#: Weights of red, green and blue in brightness (ITU-R BT.601).
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])


class ImageCorruption(TransformerMixin, BaseEstimator):
    """Blur, change the saturation of, or occlude images [1]_.

    Parameters
    ----------
    kind : {"blur", "saturation", "occlusion"}, default="blur"
        "blur": a Gaussian. "saturation": a factor for each image, drawn from
        `saturation_factors`; 0 is grey, 1 leaves it; grey images stay. "occlusion": a black
        square at a random place.
    kernel_size : int, default=11
        Width of the blur, odd; its standard deviation is ``0.3 ((kernel_size - 1) / 2 - 1) + 0.8``,
        2 pixels for 11.
    saturation_factors : sequence of float, default=(0.1, 0.5, 1.0, 2.0, 5.0)
    patch : float, default=70 / 224
        Side of the square, as a share of the image's smaller side.
    random_state : int, RandomState or None, default=None

    References
    ----------
    .. [1] A. Venkataramanan, M. Laviale, C. Pradalier, "Integrating Visual and Semantic
       Similarity Using Hierarchies for Image Retrieval", 2023, sections 3.3 and 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.images import ImageCorruption
    >>> images = np.full((2, 32, 32, 3), 255, dtype=np.uint8)
    >>> worse = ImageCorruption("occlusion", random_state=0).fit_transform(images)
    >>> (worse == 0).all(axis=3).sum(axis=(1, 2))
    array([100, 100])
    """

    _parameter_constraints: dict = {
        "kind": [StrOptions({"blur", "saturation", "occlusion"})],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "saturation_factors": ["array-like"],
        "patch": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        kind: str = "blur",
        *,
        kernel_size: int = 11,
        saturation_factors: Sequence[float] = (0.1, 0.5, 1.0, 2.0, 5.0),
        patch: float = 70 / 224,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.kind = kind
        self.kernel_size = kernel_size
        self.saturation_factors = saturation_factors
        self.patch = patch
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> ImageCorruption:
        """Check the parameters; there is nothing to learn.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels), or paths
        y : ignored

        Returns
        -------
        self : object
        """
        factors = np.asarray(self.saturation_factors, dtype=float)
        if factors.ndim != 1 or not len(factors) or not np.all(factors >= 0):
            raise ValueError(f"saturation_factors must be numbers of at least 0, got {factors.tolist()}.")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {self.kernel_size}.")
        return self

    def transform(self, X: ArrayLike) -> NDArray:
        """Corrupted copies of images.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, channels), or paths
            uint8, or floats from 0 to 1.

        Returns
        -------
        images : ndarray of shape (n, height, width, channels)
            uint8 or float32. The same for the same `random_state`, if that is an int.
        """
        self.fit(X)
        source = ImageSource(X)
        random = check_random_state(self.random_state)
        first = source.batch(slice(0, 1))
        images = np.empty((len(source), *source.image_shape), dtype=first.dtype)
        draws = self._draws(len(source), source.image_shape, random)
        for rows in row_chunks(len(source), 8 * 4 * int(np.prod(source.image_shape))):
            images[rows] = self._corrupt(source.batch(rows), draws[rows])
        return images

    def _draws(
        self, n: int, shape: tuple[int, int, int], random: np.random.RandomState
    ) -> NDArray[np.float32] | NDArray[np.intp]:
        """Draw what is random about each image: its factor, or where its square is."""
        if self.kind == "occlusion":
            side = self._side(shape)
            return random.randint(0, [shape[0] - side + 1, shape[1] - side + 1], (n, 2))
        return random.choice(np.asarray(self.saturation_factors, dtype=np.float32), n)

    def _side(self, shape: tuple[int, ...]) -> int:
        return round(self.patch * min(shape[:2]))

    def _corrupt(self, images: NDArray, draws: NDArray) -> NDArray:
        if self.kind == "occlusion":
            images, side = images.copy(), self._side(images.shape[1:])
            for image, (top, left) in zip(images, draws, strict=True):
                image[top : top + side, left : left + side, :3] = 0
            return images
        top = 255.0 if images.dtype == np.uint8 else 1.0
        values = images.astype(np.float32)
        if self.kind == "blur":
            radius = self.kernel_size // 2
            sigma = 0.3 * (radius - 1) + 0.8
            values = gaussian_filter(values, sigma, radius=radius, axes=(1, 2), mode="mirror")
        elif images.shape[3] >= 3:
            colors = values[..., :3]
            grey = (colors @ _BRIGHTNESS.astype(np.float32))[..., None]
            values[..., :3] = np.clip(grey + draws[:, None, None, None] * (colors - grey), 0, top)
        return np.rint(values).astype(np.uint8) if images.dtype == np.uint8 else values

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags
