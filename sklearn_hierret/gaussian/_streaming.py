"""Statistics of samples that come in blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import check_same_kind
from sklearn_hierret.gaussian._statistics import ClassStatistics, ScatterKind


@dataclass
class LabelledStatistics:
    """Statistics of the classes that were seen so far.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    statistics : ClassStatistics
    eps : float
        Precision of the least precise features.
    """

    classes: NDArray
    statistics: ClassStatistics
    eps: float

    @classmethod
    def of_block(cls, X: NDArray, y: NDArray, kind: ScatterKind) -> LabelledStatistics:
        """Statistics of some samples."""
        classes, codes = np.unique(y, return_inverse=True)
        statistics = ClassStatistics.from_samples(X, codes, len(classes), kind)
        return cls(classes, statistics, float(np.finfo(X.dtype).eps))

    def merge(self, other: LabelledStatistics) -> LabelledStatistics:
        """Statistics of the samples of both; neither changes."""
        check_same_kind(other.classes, self.classes, "Labels", "those before")
        classes = np.union1d(self.classes, other.classes)
        theirs = other.statistics
        mine = self.statistics.enlarged(np.searchsorted(classes, self.classes), len(classes))
        if len(classes) > len(other.classes):
            theirs = theirs.enlarged(np.searchsorted(classes, other.classes), len(classes))
        mine.add(theirs)
        return LabelledStatistics(classes, mine, max(self.eps, other.eps))
