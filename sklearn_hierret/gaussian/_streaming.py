"""Statistics of samples that come in blocks: one after another, or from Dask's workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import check_same_kind, feature_dtype
from sklearn_hierret.gaussian._statistics import ClassStatistics, ScatterKind

#: Blocks whose statistics are merged by one task.
FAN_IN = 8


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
        """Add the samples of `other`; the result may share memory with both."""
        check_same_kind(other.classes, self.classes, "Labels", "those before")
        classes = np.union1d(self.classes, other.classes)
        mine, theirs = self.statistics, other.statistics
        if len(classes) > len(self.classes):
            mine = mine.enlarged(np.searchsorted(classes, self.classes), len(classes))
        if len(classes) > len(other.classes):
            theirs = theirs.enlarged(np.searchsorted(classes, other.classes), len(classes))
        mine.add(theirs)
        return LabelledStatistics(classes, mine, max(self.eps, other.eps))


def is_dask(X: Any) -> bool:
    """Whether X is a Dask array; Dask is not imported for the question."""
    return type(X).__module__.partition(".")[0] == "dask" and hasattr(X, "to_delayed")


def statistics_of_blocks(X: Any, y: Any, kind: ScatterKind) -> LabelledStatistics:
    """Statistics of a Dask array, block by block on the workers, merged there in a tree.

    Parameters
    ----------
    X : dask array of shape (n_samples, n_features)
        Chunked by rows; columns are put together.
    y : dask array or array-like of shape (n_samples,)
    kind : {"full", "diag", "pooled"}
    """
    import dask
    import dask.array as da

    if X.ndim != 2:
        raise ValueError(f"Expected a dask array of two dimensions, got {X.ndim}.")
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    if not is_dask(y):
        y = da.from_array(np.asarray(y))
    if not _unknown(X, y) and y.shape[0] != X.shape[0]:
        raise ValueError(f"{X.shape[0]} samples, but {y.shape[0]} labels.")
    if y.numblocks[0] != X.numblocks[0] or (y.chunks[0] != X.chunks[0] and not _unknown(X, y)):
        y = y.rechunk((X.chunks[0],))
    of_block, merge = dask.delayed(_checked_block), dask.delayed(_merged)
    blocks = zip(X.to_delayed().ravel(), y.to_delayed().ravel(), strict=True)
    parts = [of_block(x, labels, kind) for x, labels in blocks]
    while len(parts) > 1:
        parts = [merge(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    result = parts[0].compute()
    if result is None:
        raise ValueError("The dask array has no samples.")
    return result


def _unknown(*arrays: Any) -> bool:
    return any(np.isnan(size) for array in arrays for size in array.chunks[0])


def _checked_block(X: Any, y: Any, kind: ScatterKind) -> LabelledStatistics | None:
    X = np.ascontiguousarray(X, dtype=feature_dtype(X))
    y = np.asarray(y)
    if len(X) != len(y):
        raise ValueError(f"A block has {len(X)} samples and {len(y)} labels.")
    if not np.all(np.isfinite(X.sum(dtype=np.float64))) and not np.all(np.isfinite(X)):
        raise ValueError("Input X contains NaN or infinity.")
    return LabelledStatistics.of_block(X, y, kind) if len(X) else None


def _merged(parts: list[LabelledStatistics | None]) -> LabelledStatistics | None:
    some = [part for part in parts if part is not None]
    if not some:
        return None
    # Results of other tasks are not ours to change.
    first = some[0].statistics
    total = LabelledStatistics(
        some[0].classes, first.enlarged(np.arange(first.n_classes), first.n_classes), some[0].eps
    )
    for part in some[1:]:
        total = total.merge(part)
    return total
