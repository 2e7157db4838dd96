"""Gaussian classes as arrays: what a class model knows once it is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sklearn_hierret.gaussian._covariance import SCATTER_KIND, class_covariances, precisions_cholesky
from sklearn_hierret.gaussian._nearest import NearestClass
from sklearn_hierret.gaussian._statistics import ClassStatistics, ScatterKind


@dataclass(frozen=True)
class GaussianRule:
    """How Gaussians are made of statistics: the parameters of the class model.

    Attributes
    ----------
    covariance_type, shrinkage, n_components
        See `MahalanobisClassifier`.
    """

    covariance_type: str
    shrinkage: float | str | None
    n_components: float | int | None

    def gaussians(
        self, statistics: ClassStatistics, names: list | None = None
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Covariances, whitening and log-determinants of classes.

        Parameters
        ----------
        statistics : ClassStatistics
        names : list, optional
            Class names for error messages.
        """
        covariances = class_covariances(statistics, self.covariance_type, self.shrinkage, names)
        whitening, log_determinants = precisions_cholesky(
            covariances, self.covariance_type, statistics.counts, names, statistics.n_features
        )
        return covariances, whitening, log_determinants

    def principal_components(
        self, total: NDArray, mean: NDArray[np.float64], n_free: int, eps: float
    ) -> tuple[NDArray | None, NDArray | None]:
        """Components in rows and the share of the variance that each explains.

        Parameters
        ----------
        total : ndarray of shape (n_features, n_features)
            Covariance of all samples.
        mean : ndarray of shape (n_features,)
        n_free : int
            Samples less classes.
        eps : float
            Precision of the features.
        """
        if self.n_components is None:
            return None, None
        d = len(mean)
        if isinstance(self.n_components, Integral) and self.n_components > d:
            raise ValueError(f"n_components={self.n_components} exceeds the {d} features.")
        if not np.all(np.isfinite(total)):
            raise ValueError("The features are so large that their variances overflow: scale them.")
        variances, vectors = linalg.eigh(total)
        variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
        # Constant features leave rounding behind, not variance.
        mean_square = (variances.sum() + mean @ mean) / d
        if variances[0] <= eps**2 * mean_square:
            raise ValueError(
                "All features are constant, or so small that their variances vanish: "
                "nothing tells classes apart."
            )
        ratio = variances / variances.sum()
        if isinstance(self.n_components, Integral):
            kept = int(self.n_components)
        else:
            enough = int(np.searchsorted(np.cumsum(ratio), self.n_components, side="right")) + 1
            kept = min(d, enough, max(1, n_free // 2))
        components = vectors[:, :kept].T.copy()
        # The sign is free: the largest entry is positive, however the statistics were gathered.
        largest = components[np.arange(kept), np.abs(components).argmax(axis=1)]
        components *= np.where(largest < 0, -1.0, 1.0)[:, None]
        return components, ratio[:kept]


@dataclass(frozen=True)
class GaussianModel:
    """Gaussian classes in the space of the principal components.

    Attributes
    ----------
    mean : ndarray of shape (n_features_in,)
        Mean of all samples, subtracted first.
    components : ndarray of shape (n_features, n_features_in) or None
    ratio : ndarray of shape (n_features,) or None
        Share of the variance that each component explains.
    statistics : ClassStatistics
        In the space of the components.
    covariances, whitening, log_determinants : ndarrays
        See `class_covariances` and `precisions_cholesky`.
    nearest : NearestClass
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64] | None
    ratio: NDArray[np.float64] | None
    statistics: ClassStatistics
    covariances: NDArray[np.float64]
    whitening: NDArray[np.float64]
    log_determinants: NDArray[np.float64]
    nearest: NearestClass

    @classmethod
    def from_samples(
        cls, rule: GaussianRule, X: NDArray, codes: NDArray[np.intp], classes: NDArray
    ) -> GaussianModel:
        """In two passes: one for the components, one for the statistics among them."""
        mean = X.mean(axis=0, dtype=np.float64)
        components = ratio = None
        if rule.n_components is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                pooled = ClassStatistics.from_samples(X, codes, len(classes), "pooled")
                total = pooled.total_covariance()
            eps = float(np.finfo(X.dtype).eps)
            components, ratio = rule.principal_components(total, mean, len(X) - len(classes), eps)
        statistics = ClassStatistics.from_samples(
            X,
            codes,
            len(classes),
            SCATTER_KIND[rule.covariance_type],
            offset=mean,
            components=components,
        )
        return cls._of(rule, mean, components, ratio, statistics, classes)

    @classmethod
    def from_statistics(
        cls, rule: GaussianRule, raw: ClassStatistics, classes: NDArray, eps: float
    ) -> GaussianModel:
        """From statistics of the features themselves, of the kind of `streaming_kind`."""
        mean = raw.counts @ raw.means / raw.n_samples
        n_free = raw.n_samples - raw.n_classes
        components = ratio = None
        if rule.n_components is not None:
            components, ratio = rule.principal_components(raw.total_covariance(), mean, n_free, eps)
        statistics = raw.projected(mean, components, SCATTER_KIND[rule.covariance_type])
        return cls._of(rule, mean, components, ratio, statistics, classes)

    @classmethod
    def _of(
        cls,
        rule: GaussianRule,
        mean: NDArray[np.float64],
        components: NDArray[np.float64] | None,
        ratio: NDArray[np.float64] | None,
        statistics: ClassStatistics,
        classes: NDArray,
    ) -> GaussianModel:
        gaussians = rule.gaussians(statistics, classes.tolist())
        total = statistics.total_covariance() if rule.covariance_type == "full" else None
        nearest = NearestClass.build(statistics.means, gaussians[1], rule.covariance_type, total)
        return cls(mean, components, ratio, statistics, *gaussians, nearest)

    def project(self, X: NDArray) -> NDArray[np.float64]:
        """Samples in the space of the components, in float64."""
        centred = X - self.mean
        return centred if self.components is None else centred @ self.components.T


def streaming_kind(rule: GaussianRule) -> ScatterKind:
    """Kind of raw statistics that a model can be made of when the data have passed.

    The variances along components follow from full covariances only.
    """
    kind = SCATTER_KIND[rule.covariance_type]
    return "full" if kind == "diag" and rule.n_components is not None else kind
