"""Fisher vectors, by scikit-image."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from sklearn_hierret._sklearn import Interval
from sklearn_hierret.descriptors._lists import DescriptorTransformer
from sklearn_hierret.descriptors._root_sift import scikit_image


class FisherVector(DescriptorTransformer):
    """Gradients of the log-likelihood of descriptors under a Gaussian mixture [1]_.

    scikit-image computes the improved variant, with signed roots and length 1; this needs the extra
    ``image``. Decorrelate the descriptors by a PCA first, since the mixture is diagonal.

    Parameters
    ----------
    n_modes : int, default=16
        Number of Gaussians.
    max_samples, on_empty, random_state
        See `BagOfVisualWords`.

    Attributes
    ----------
    mixture_ : GaussianMixture
    n_dimensions_ : int

    References
    ----------
    .. [1] F. Perronnin, J. Sanchez, T. Mensink, "Improving the Fisher Kernel for Large-Scale Image
       Classification", ECCV 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_hierret.descriptors import FisherVector
    >>> images = [np.random.default_rng(i).random((20 + i, 8)) for i in range(5)]
    >>> FisherVector(2, random_state=0).fit_transform(images).shape
    (5, 34)
    """

    _parameter_constraints: dict = {
        **DescriptorTransformer._parameter_constraints,
        "n_modes": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        n_modes: int = 16,
        *,
        max_samples: int = 100_000,
        on_empty: str = "raise",
        random_state: Any = None,
    ) -> None:
        self.n_modes = n_modes
        self.max_samples = max_samples
        self.on_empty = on_empty
        self.random_state = random_state

    def _learn(self, subset: NDArray, images: list[NDArray], random: np.random.RandomState) -> None:
        scikit_image("FisherVector")
        if self.n_modes > len(subset):
            raise ValueError(f"{self.n_modes} Gaussians need as many descriptors, got {len(subset)}.")
        # As scikit-image's learn_gmm, which takes no random_state beside its other defaults.
        self.mixture_ = GaussianMixture(self.n_modes, covariance_type="diag", random_state=random).fit(subset)

    def _vector(self, descriptors: NDArray) -> NDArray:
        fisher_vector = scikit_image("FisherVector").fisher_vector
        return fisher_vector(descriptors.astype(np.float64), self.mixture_, improved=True)

    @property
    def _n_features_out(self) -> int:
        n_modes, n_dimensions = self.mixture_.means_.shape
        return n_modes * (1 + 2 * n_dimensions)  # gradients of weights, means and variances
