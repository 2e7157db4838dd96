"""Maps of a network, from local features to one vector: CroW, R-MAC with whitening, Gram matrices."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.utils import TransformerTags
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import unchanged_on_error, unit_rows
from sklearn_hierret._sklearn import Interval, fit_context
from sklearn_hierret.images import regions


class MapTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """One vector an image from maps (n_images, n_channels, height, width).

    `FrozenFeatureExtractor` gives them with ``pooling=torch.nn.Flatten()``, to be reshaped.
    """

    n_components: int | None
    random_state: Any

    _parameter_constraints: dict = {
        "n_components": [None, Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> Any:
        """Learn from maps.

        Parameters
        ----------
        X : array-like of shape (n_images, n_channels, height, width)
        y : None
            Not used.

        Returns
        -------
        self : object
        """
        with unchanged_on_error(self):
            maps = checked_maps(X)
            self.n_channels_ = maps.shape[1]
            self._learn(maps)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Compute vectors of images.

        Parameters
        ----------
        X : array-like of shape (n_images, n_channels, height, width)
            Height and width may differ from those in `fit`.

        Returns
        -------
        vectors : ndarray of shape (n_images, n_features), float32, of length 1
        """
        check_is_fitted(self)
        maps = checked_maps(X)
        if maps.shape[1] != self.n_channels_:
            raise ValueError(f"Maps have {maps.shape[1]} channels, expected {self.n_channels_}.")
        return unit_rows(self._vectors(maps).astype(np.float32))[0]

    def _learn(self, maps: NDArray) -> None:
        raise NotImplementedError

    def _vectors(self, maps: NDArray) -> NDArray:
        raise NotImplementedError

    @property
    def _n_features_out(self) -> int:
        return self.n_channels_ if self.whitening_ is None else self.whitening_.n_components_

    def _whitening(self, rows: NDArray) -> PCA:
        """Whitened principal components of rows."""
        n_components = int(self.n_components or 0)
        if n_components > min(rows.shape):
            raise ValueError(
                f"n_components={n_components} exceeds the {rows.shape[1]} channels or the {len(rows)} "
                "samples to learn from."
            )
        pca = PCA(n_components, whiten=True, random_state=self.random_state)
        return pca.set_output(transform="default").fit(rows)  # arrays, whatever is set for all transformers

    whitening_: PCA | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags = TransformerTags(preserves_dtype=["float32"])
        return tags


class CroW(MapTransformer):
    """Sums over positions, weighted by how active positions and how rare channels are [1]_.

    Negative responses count as 0.

    Parameters
    ----------
    n_components : int, default=None
        Number of whitened principal components; None: no whitening.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    whitening_ : PCA or None
    n_channels_ : int

    References
    ----------
    .. [1] Y. Kalantidis, C. Mellina, S. Osindero, "Cross-Dimensional Weighting for Aggregated Deep
       Convolutional Features", ECCV Workshops 2016, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import CroW
    >>> maps = np.random.default_rng(0).random((6, 5, 4, 3))
    >>> CroW(n_components=2).fit_transform(maps).shape
    (6, 2)
    """

    def __init__(self, n_components: int | None = None, *, random_state: Any = None) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def _learn(self, maps: NDArray) -> None:
        self.whitening_ = self._whitening(self._weighted(maps)) if self.n_components else None

    def _vectors(self, maps: NDArray) -> NDArray:
        rows = self._weighted(maps)
        return rows if self.whitening_ is None else self.whitening_.transform(rows)

    def _weighted(self, maps: NDArray) -> NDArray:
        maps = np.maximum(maps, 0.0)
        activity = maps.sum(axis=1)  # (n, height, width)
        norms = np.sqrt((activity**2).sum(axis=(1, 2), keepdims=True))
        places = np.sqrt(activity / np.where(norms > 0, norms, 1.0))
        shares = (maps > 0).mean(axis=(2, 3))
        eps = 1e-6
        # log(all shares / own share): a channel that answers everywhere says little.
        channels = np.log((maps.shape[1] * eps + shares.sum(axis=1, keepdims=True)) / (eps + shares))
        sums = np.einsum("nchw,nhw->nc", maps, places)
        return unit_rows(sums * np.maximum(channels, 0.0))[0]


class RMAC(MapTransformer):
    """Maxima of overlapping regions, each whitened, then summed [1]_.

    Parameters
    ----------
    n_components : int, default=None
        Number of whitened principal components of the regions' vectors; None: no whitening.
    n_scales : int, default=3
        Number of region sizes.
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    whitening_ : PCA or None
    n_channels_ : int

    References
    ----------
    .. [1] G. Tolias, R. Sicre, H. Jegou, "Particular Object Retrieval with Integral Max-Pooling of CNN
       Activations", ICLR 2016, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import RMAC
    >>> maps = np.random.default_rng(0).random((6, 5, 4, 3))
    >>> RMAC(n_components=2).fit_transform(maps).shape
    (6, 2)
    """

    _parameter_constraints: dict = {
        **MapTransformer._parameter_constraints,
        "n_scales": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self, n_components: int | None = None, *, n_scales: int = 3, random_state: Any = None
    ) -> None:
        self.n_components = n_components
        self.n_scales = n_scales
        self.random_state = random_state

    def _learn(self, maps: NDArray) -> None:
        self.whitening_ = None
        if self.n_components is not None:
            self.whitening_ = self._whitening(np.concatenate(self._regions(maps)))

    def _vectors(self, maps: NDArray) -> NDArray:
        total = 0.0
        for rows in self._regions(maps):
            if self.whitening_ is None:
                total = total + rows
            else:
                total = total + unit_rows(self.whitening_.transform(rows))[0]
        return np.asarray(total)

    def _regions(self, maps: NDArray) -> list[NDArray]:
        """Maxima of each region, of length 1, (n_images, n_channels)."""
        return [
            unit_rows(maps[:, :, top : top + side, left : left + side].max(axis=(2, 3)))[0]
            for top, left, side in regions(maps.shape[2], maps.shape[3], self.n_scales)
        ]


class GramFeatures(MapTransformer):
    """Correlations between channels, whatever the position: style rather than content [1]_.

    The upper triangle of the Gram matrix of the channels' leading components, with signed roots. Early
    layers of a network hold more of style.

    Parameters
    ----------
    n_components : int, default=32
        Number of principal components of the channels to use first; k of them give k (k + 1) / 2 features.
        None: use all channels.
    random_state : int, RandomState or None, default=None
        Not used: the components are exact.

    Attributes
    ----------
    components_ : ndarray of shape (n_channels, n_components)
    n_channels_ : int

    References
    ----------
    .. [1] L. Gatys, A. Ecker, M. Bethge, "Image Style Transfer Using Convolutional Neural Networks", CVPR
       2016, eq. 3; for retrieval S. Gairola, R. Shah, P. Narayanan, "Unsupervised Image Style Embeddings for
       Retrieval and Recognition Tasks", WACV 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import GramFeatures
    >>> maps = np.random.default_rng(0).random((6, 5, 4, 3))
    >>> GramFeatures(n_components=3).fit_transform(maps).shape
    (6, 6)
    """

    def __init__(self, n_components: int | None = 32, *, random_state: Any = None) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def _learn(self, maps: NDArray) -> None:
        n_channels = maps.shape[1]
        self.components_ = np.eye(n_channels)
        if self.n_components is not None:
            if self.n_components > n_channels:
                raise ValueError(f"n_components={self.n_components} exceeds the {n_channels} channels.")
            # Not centred: a Gram matrix has the means in it.
            moments = np.einsum("nchw,ndhw->cd", maps, maps, optimize=True)
            self.components_ = np.linalg.eigh(moments)[1][:, ::-1][:, : self.n_components]

    def _vectors(self, maps: NDArray) -> NDArray:
        reduced = np.einsum("nchw,ck->nkhw", maps, self.components_, optimize=True)
        places = reduced.reshape(*reduced.shape[:2], -1)
        gram = places @ places.transpose(0, 2, 1) / places.shape[2]
        upper = gram[:, *np.triu_indices(gram.shape[1])]
        return np.sign(upper) * np.sqrt(np.abs(upper))

    @property
    def _n_features_out(self) -> int:
        k = self.components_.shape[1]
        return k * (k + 1) // 2


def checked_maps(X: ArrayLike) -> NDArray:
    """Return maps as an array of floats, (n, channels, height, width)."""
    maps = np.asarray(X)
    if maps.dtype.kind not in "fiu" or maps.ndim != 4:
        raise ValueError(
            f"Maps have shape (n_images, n_channels, height, width), got {maps.shape} of dtype {maps.dtype}."
        )
    if not maps.size:
        raise ValueError(f"There are no maps: shape {maps.shape}.")
    if not np.isfinite(maps).all():
        raise ValueError("Maps hold values that are not finite.")
    return maps.astype(np.float32 if maps.dtype != np.float64 else np.float64, copy=False)
