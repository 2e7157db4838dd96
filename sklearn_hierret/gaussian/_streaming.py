"""Statistics of samples that come in blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import check_memory_share, check_same_kind
from sklearn_hierret._state import value
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.gaussian._statistics import ClassStatistics, ScatterKind

#: Statistics of all features that a fit keeps for partial_fit: 128 megabytes.
MOST_NUMBERS = 1 << 24


@value("labelled statistics")
@dataclass(frozen=True)
class LabelledStatistics:
    """What is known of the samples so far: their statistics, or the samples while they are smaller.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    kind : {"full", "diag", "pooled"}
    eps : float
        Precision of the least precise features.
    statistics : ClassStatistics or None
        Of the classes; None where there are samples.
    samples : tuple of (X, y) pairs
        Blocks of falling size.
    """

    classes: NDArray
    kind: ScatterKind
    eps: float
    statistics: ClassStatistics | None
    samples: tuple[tuple[NDArray, NDArray], ...] = ()

    @classmethod
    def of_block(cls, X: NDArray, y: NDArray, kind: ScatterKind) -> LabelledStatistics:
        """Summarize a block of a stream."""
        classes = np.unique(y)
        block = cls(classes, kind, float(np.finfo(X.dtype).eps), None, ((X.copy(), y.copy()),))
        if _are_smaller(len(X), X.shape[1], len(classes), kind):
            return block
        return cls(classes, kind, block.eps, block.as_statistics())

    @classmethod
    def of_fit(cls, training: TrainingSet, kind: ScatterKind) -> LabelledStatistics:
        """Summarize all samples of a fit; where statistics of all features are large, take the samples."""
        X, classes, eps = training.X, training.classes, float(np.finfo(training.X.dtype).eps)
        if (1 if kind == "pooled" else len(classes)) * X.shape[1] ** 2 > MOST_NUMBERS:
            return cls(classes, kind, eps, None, ((X, training.y),))
        with np.errstate(over="ignore", invalid="ignore"):
            statistics = ClassStatistics.from_samples(X, training.codes, len(classes), kind)
        return cls(classes, kind, eps, statistics)

    def kept(self) -> LabelledStatistics:
        """Return what is kept after a fit: no samples, if they are many."""
        n_numbers = sum(X.size for X, _ in self.samples)
        if n_numbers > MOST_NUMBERS:
            return replace(self, samples=())
        return replace(self, samples=tuple((X.copy(), y) for X, y in self.samples))

    def as_statistics(self) -> ClassStatistics:
        """Statistics, of the samples if they are kept.

        Raises
        ------
        MemoryError
            If they would take more than half of the machine's memory.
        """
        if self.statistics is not None:
            return self.statistics
        X, codes = self.all_samples()
        if self.kind == "full":
            check_memory_share(
                16 * len(self.classes) * X.shape[1] ** 2,
                f"Covariances of {len(self.classes)} classes in {X.shape[1]} dimensions",
                "use DiscriminantClassifier, covariance_type='tied' or fewer dimensions (PCA).",
            )
        return ClassStatistics.from_samples(X, codes, len(self.classes), self.kind)

    def all_samples(self) -> tuple[NDArray, NDArray[np.intp]]:
        """Return the samples and their codes, positions in `classes`."""
        X = np.concatenate([X for X, _ in self.samples])
        return X, np.searchsorted(self.classes, np.concatenate([y for _, y in self.samples]))

    def merge(self, other: LabelledStatistics) -> LabelledStatistics:
        """All samples of both; neither changes."""
        if self.statistics is None and not self.samples:
            raise ValueError(
                "fit kept the statistics of the principal components only, since those of all features "
                "are large: start with partial_fit."
            )
        check_same_kind(other.classes, self.classes, "Labels", "those before")
        classes = np.union1d(self.classes, other.classes)
        eps = max(self.eps, other.eps)
        if self.samples and other.samples:
            blocks = [*self.samples]
            for block in other.samples:
                blocks.append(block)
                while len(blocks) > 1 and len(blocks[-2][0]) <= len(blocks[-1][0]):  # so that they stay few
                    X, y = (np.concatenate(pair) for pair in zip(*blocks[-2:], strict=True))
                    blocks[-2:] = [(X, y)]
            n, d = sum(len(X) for X, _ in blocks), blocks[0][0].shape[1]
            both = LabelledStatistics(classes, self.kind, eps, None, tuple(blocks))
            if not _are_smaller(n, d, len(classes), self.kind):
                both = LabelledStatistics(classes, self.kind, eps, both.as_statistics())
            return both
        total, added = self.as_statistics(), other.as_statistics()
        total = total.enlarged(np.searchsorted(classes, self.classes), len(classes))
        if len(classes) > len(other.classes):
            added = added.enlarged(np.searchsorted(classes, other.classes), len(classes))
        total.add(added)
        return LabelledStatistics(classes, self.kind, eps, total)


def _are_smaller(n_samples: int, n_features: int, n_classes: int, kind: ScatterKind) -> bool:
    """Whether samples take less than their statistics; two such blocks may be merged."""
    return kind == "full" and 2 * n_samples <= n_classes * n_features
