"""Gaussian classes as arrays: what a class model knows once it is fitted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from sklearn_hierret._arrays import check_memory_share, row_chunks
from sklearn_hierret._state import value
from sklearn_hierret.gaussian._bhattacharyya import Gaussians
from sklearn_hierret.gaussian._covariance import (
    SCATTER_KIND,
    class_covariances,
    precisions_cholesky,
    squared_mahalanobis,
)
from sklearn_hierret.gaussian._nearest import TOO_FAR, NearestClass
from sklearn_hierret.gaussian._statistics import ClassStatistics, ScatterKind
from sklearn_hierret.gaussian._streaming import LabelledStatistics


@value("gaussian rule")
@dataclass(frozen=True)
class GaussianRule:
    """What the user asked for, see `MahalanobisClassifier`."""

    covariance_type: str
    shrinkage: float | str | None
    n_components: float | int | None
    decision: str = "likelihood"
    temperature: float | str = 4.0
    priors: Any = None

    @property
    def streaming_kind(self) -> ScatterKind:
        """Kind of raw statistics that a model can be made of when the data have passed.

        The variances along components follow from full covariances only.
        """
        kind = SCATTER_KIND[self.covariance_type]
        return "full" if kind == "diag" and self.n_components is not None else kind

    def summarize(
        self, X: NDArray, y: NDArray, groups: NDArray[np.uint64] | None = None
    ) -> LabelledStatistics:
        """Return the statistics of a block of samples."""
        if self.temperature == "auto":
            raise ValueError(
                "temperature='auto' holds samples out, and needs all of them in memory: use fit with arrays."
            )
        return LabelledStatistics.of_block(X, y, self.streaming_kind)

    def model(self, statistics: LabelledStatistics, report: Any = None) -> GaussianModel:
        """Make Gaussians of statistics, or of the samples while they are at hand."""
        classes = statistics.classes
        with np.errstate(over="ignore", invalid="ignore"):
            if statistics.samples:
                X, codes = statistics.all_samples()
                self.check_memory(len(X), X.shape[1], len(classes))
                return GaussianModel.from_samples(self, X, codes, classes)
            assert statistics.statistics is not None
            return GaussianModel.from_statistics(self, statistics.statistics, classes, statistics.eps)

    def check_memory(self, n_samples: int, n_features: int, n_classes: int) -> None:
        """Raise a MemoryError if the covariances would not fit; they have a whitening matrix each, too."""
        d = min(n_features, n_samples)
        if isinstance(self.n_components, float):  # this fraction keeps at most this many
            d = min(d, max(1, (n_samples - n_classes) // 2))
        elif self.n_components is not None:
            d = min(d, int(self.n_components))
        of_classes = {"full": 3 * n_classes * d * d, "diag": 3 * n_classes * d}
        check_memory_share(
            8 * (of_classes.get(self.covariance_type, 3 * d * d) + 3 * n_features**2),
            f"Gaussians of {n_classes} classes (covariance_type={self.covariance_type!r}, {d} dimensions)",
            "use DiscriminantClassifier, covariance_type='tied' or fewer n_components.",
        )

    def class_prior(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the priors of the classes."""
        k = len(counts)
        if self.priors is None:
            return counts / counts.sum()
        if isinstance(self.priors, str):
            return np.full(k, 1 / k)
        priors = np.asarray(self.priors, dtype=np.float64)
        if priors.shape != (k,):
            raise ValueError(f"priors must have shape ({k},), one a class, got {priors.shape}.")
        if np.any(priors < 0) or not np.isclose(priors.sum(), 1):
            raise ValueError("priors must be non-negative and sum to 1.")
        return priors / priors.sum()

    def gaussians(
        self, statistics: ClassStatistics, names: list | None = None
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Compute covariances, whitening and log-determinants of classes; names are for error messages."""
        covariances = class_covariances(statistics, self.covariance_type, self.shrinkage, names)
        whitening, log_determinants = precisions_cholesky(
            covariances, self.covariance_type, statistics.counts, names, statistics.n_features
        )
        return covariances, whitening, log_determinants

    def principal_components(
        self, total: NDArray, mean: NDArray[np.float64], n_free: int, eps: float
    ) -> tuple[NDArray | None, NDArray | None]:
        """Compute components in rows, and the share of the variance that each explains.

        They are those of the covariance `total` of all samples. `n_free` is the number of samples less that
        of classes, `eps` the precision of the features.
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


@value("gaussian model")
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
    prior : ndarray of shape (n_classes,)
    rule : GaussianRule
    """

    mean: NDArray[np.float64]
    components: NDArray[np.float64] | None
    ratio: NDArray[np.float64] | None
    statistics: ClassStatistics
    covariances: NDArray[np.float64]
    whitening: NDArray[np.float64]
    log_determinants: NDArray[np.float64]
    nearest: NearestClass
    prior: NDArray[np.float64]
    rule: GaussianRule

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
        prior = rule.class_prior(statistics.counts)
        return cls(mean, components, ratio, statistics, *gaussians, nearest, prior, rule)

    def project(self, X: NDArray) -> NDArray[np.float64]:
        """Return samples in the space of the components, in float64."""
        centred = X - self.mean
        return centred if self.components is None else centred @ self.components.T

    def squared(self, X: NDArray) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield rows, and their squared Mahalanobis distances to all classes."""
        n_classes, d = self.statistics.means.shape
        for rows in row_chunks(len(X), 8 * (2 * n_classes + 3 * d + X.shape[1])):
            with np.errstate(over="ignore", invalid="ignore"):
                distances = squared_mahalanobis(
                    self.project(X[rows]), self.statistics.means, self.whitening, self.rule.covariance_type
                )
            if not np.all(np.isfinite(distances)):
                raise ValueError(TOO_FAR)
            yield rows, distances

    def scores(self, X: NDArray) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """Yield rows, and their log-probabilities up to a constant each, before the temperature."""
        with np.errstate(divide="ignore"):  # a prior of zero rules a class out
            log_prior = np.log(self.prior)
        for rows, squared in self.squared(X):
            if self.rule.decision == "mahalanobis":
                yield rows, -0.5 * squared
            else:
                yield rows, -0.5 * (squared + self.log_determinants) + log_prior

    def predict(self, X: NDArray) -> NDArray[np.intp]:
        """Find the class of each sample."""
        constants = np.zeros(len(self.prior))
        if self.rule.decision == "likelihood":
            with np.errstate(divide="ignore"):
                constants = self.log_determinants - 2 * np.log(self.prior)
        best = np.empty(len(X), dtype=np.intp)
        for rows in row_chunks(len(X), 8 * (3 * self.statistics.n_features + X.shape[1])):
            best[rows] = self.nearest.find(self.project(X[rows]), constants)
        return best

    def gaussians(self, statistics: ClassStatistics | None = None) -> Gaussians:
        """Return the Gaussians, or those of merged classes."""
        if statistics is None or statistics is self.statistics:
            means, kind = self.statistics.means, self.rule.covariance_type
            return Gaussians(means, self.covariances, self.whitening, self.log_determinants, kind)
        covariances, whitening, log_determinants = self.rule.gaussians(statistics)
        return Gaussians(
            statistics.means, covariances, whitening, log_determinants, self.rule.covariance_type
        )
