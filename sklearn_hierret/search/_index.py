"""The gallery as search wants it: unit rows in segments, each in blocks with bounds.

A segment holds rows sorted by leaf and cut into blocks; it never changes. The index is a
few segments of falling size: adding makes a new one, and merges it with those before it
that are no larger, so that a row is moved a logarithmic number of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import few_rows, unit_rows

#: Rows of a block at most; with soft leaves fewer, for they are bounded together, and at least.
BLOCK_ROWS, SOFT_BLOCK_ROWS, LEAST_ROWS = 4096, 256, 64
#: Rows that are sure of their class are not in a block with others.
SURE = 0.9


@dataclass(frozen=True)
class Segment:
    """Unit rows sorted by leaf, in blocks.

    Attributes
    ----------
    unit : ndarray of shape (n_rows, n_features)
        Rows of unit length or zero.
    norms : ndarray of shape (n_rows,)
        Norms that the rows had.
    serial : ndarray of shape (n_rows,)
        Number of each row, by which ties are broken.
    leaves : ndarray or None
        Leaf of each row, of shape (n_rows,), or soft leaves, of shape (n_rows, n_kept); None if
        they are not known.
    starts : ndarray of shape (n_blocks + 1,)
        Rows of block i are starts[i]:starts[i + 1].
    centres : ndarray of shape (n_blocks, n_features)
        Unit mean direction of each block (zero if there is none).
    radii : ndarray of shape (n_blocks,)
        Largest angle of a row to its block's centre; pi where that says nothing.
    block_leaf : ndarray of shape (n_blocks,) or None
        Leaf of each block of hard leaves.
    highest : ndarray of shape (n_blocks, n_leaves) or None
        The greatest probability of each class in a block of soft leaves.
    """

    unit: NDArray
    norms: NDArray[np.float64]
    serial: NDArray[np.intp]
    leaves: NDArray | None
    starts: NDArray[np.intp]
    centres: NDArray
    radii: NDArray[np.float64]
    block_leaf: NDArray | None
    highest: NDArray | None

    @classmethod
    def build(
        cls,
        X: NDArray,
        serial: NDArray[np.intp],
        leaves: NDArray | None = None,
        series: NDArray[np.intp] | None = None,
    ) -> Segment:
        """Normalise and sort features, once, in chunks."""
        n, d = X.shape
        order, starts = _sorted_by_leaf(n, leaves, series)
        unit, norms = np.empty((n, d), dtype=X.dtype), np.empty(n)
        for rows in few_rows(n, d):
            unit[rows], norms[rows] = unit_rows(X[order[rows]])
        return cls._of_sorted(unit, norms, serial[order], _taken(leaves, order), starts, series)

    @classmethod
    def merged(
        cls,
        segments: list[Segment],
        series: NDArray[np.intp] | None,
        kept: list[NDArray[np.bool_]] | None = None,
    ) -> Segment:
        """The rows of some segments, bit for bit, sorted as one; `kept` drops others."""
        chosen: Any = [slice(None)] * len(segments) if kept is None else kept
        unit, norms, serial = (
            np.concatenate([getattr(s, name)[rows] for s, rows in zip(segments, chosen, strict=True)])
            for name in ("unit", "norms", "serial")
        )
        parts = [s.leaves[rows] for s, rows in zip(segments, chosen, strict=True) if s.leaves is not None]
        leaves = np.concatenate(parts) if parts else None
        by_serial = np.argsort(serial)  # a stable sort by leaf keeps their order
        order, starts = _sorted_by_leaf(len(unit), _taken(leaves, by_serial), series)
        order = by_serial[order]
        return cls._of_sorted(unit[order], norms[order], serial[order], _taken(leaves, order), starts, series)

    @classmethod
    def _of_sorted(
        cls,
        unit: NDArray,
        norms: NDArray[np.float64],
        serial: NDArray[np.intp],
        leaves: NDArray | None,
        starts: NDArray[np.intp],
        series: NDArray[np.intp] | None,
    ) -> Segment:
        block_leaf = highest = None
        if leaves is not None and leaves.ndim == 1:
            block_leaf = leaves[starts[:-1]]
        elif leaves is not None:
            assert series is not None
            proba = leaves["probability"]
            highest = np.zeros((len(starts) - 1, len(series)), dtype=proba.dtype)
            block = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            np.maximum.at(highest, (block[:, None], leaves["leaf"]), proba)
        centres, radii = _directions(unit, starts)
        return cls(unit, norms, serial, leaves, starts, centres, radii, block_leaf, highest)

    def __len__(self) -> int:
        return len(self.unit)


@dataclass(frozen=True)
class GalleryIndex:
    """Segments of rows that are numbered through.

    Attributes
    ----------
    segments : tuple of Segment
    series : ndarray of shape (n_leaves,) or None
        Order of the leaves in which close ones are side by side.
    """

    segments: tuple[Segment, ...]
    series: NDArray[np.intp] | None = None
    #: Whether `features` are bit for bit what they were; such rows are cheap to move.
    is_exact: ClassVar[bool] = False

    @classmethod
    def build(
        cls,
        X: NDArray,
        leaves: NDArray | None = None,
        series: NDArray[np.intp] | None = None,
        serial: NDArray[np.intp] | None = None,
    ) -> GalleryIndex:
        """Index of features.

        Parameters
        ----------
        X : ndarray of shape (n_gallery, n_features), float32 or float64
        leaves : ndarray of shape (n_gallery,) or (n_gallery, n_kept), optional
            Leaf of each sample, or soft leaves.
        series : ndarray of shape (n_leaves,), optional
            Order of the leaves in which close ones are side by side; needed with leaves.
        serial : ndarray of shape (n_gallery,), optional
            Number of each sample, ascending; default 0, 1, ...
        """
        series = None if leaves is None else series
        serial = np.arange(len(X)) if serial is None else serial
        return cls((Segment.build(X, serial, leaves, series),), series)

    def appended(self, X: NDArray, serial: NDArray[np.intp], leaves: NDArray | None) -> GalleryIndex:
        """With more samples, whose numbers are greater than all before."""
        kept = list(self.segments)
        new = [Segment.build(X, serial, leaves, self.series)]
        while kept and len(kept[-1]) <= sum(map(len, new)):
            new.insert(0, kept.pop())
        last = new[0] if len(new) == 1 else Segment.merged(new, self.series)
        return GalleryIndex((*kept, last), self.series)

    def keep(self, is_kept: NDArray[np.bool_]) -> GalleryIndex:
        """Only the rows whose serial number `is_kept`, in one segment."""
        chosen = [is_kept[segment.serial] for segment in self.segments]
        return GalleryIndex((Segment.merged(list(self.segments), self.series, chosen),), self.series)

    def with_leaves(self, leaves: NDArray, series: NDArray[np.intp]) -> GalleryIndex:
        """The same rows, bit for bit, sorted by leaves given in the order of their serial numbers."""
        order, starts = _sorted_by_leaf(len(self), leaves, series)
        rows = np.argsort(self.serial)[order]
        unit, norms, serial = (self.take(name, rows) for name in ("unit", "norms", "serial"))
        segment = Segment._of_sorted(unit, norms, serial, leaves[order], starts, series)
        return GalleryIndex((segment,), series)

    @property
    def offsets(self) -> NDArray[np.intp]:
        """Number of the first row of each segment, and of all rows."""
        return np.cumsum([0, *map(len, self.segments)])

    @property
    def serial(self) -> NDArray[np.intp]:
        return np.concatenate([segment.serial for segment in self.segments])

    @property
    def dtype(self) -> np.dtype:
        return self.segments[0].unit.dtype

    def take(self, name: str, rows: NDArray[np.intp]) -> NDArray:
        """Entries of "unit", "norms", "serial" or "leaves" of some rows."""
        if len(self.segments) == 1:
            return getattr(self.segments[0], name)[rows]
        offsets = self.offsets
        where = np.searchsorted(offsets, rows, side="right") - 1
        first = getattr(self.segments[0], name)
        taken = np.empty((len(rows), *first.shape[1:]), dtype=first.dtype)
        for i, segment in enumerate(self.segments):
            mine = where == i
            taken[mine] = getattr(segment, name)[rows[mine] - offsets[i]]
        return taken

    def features(self, rows: NDArray[np.intp]) -> NDArray:
        """Features of some rows, to within rounding."""
        unit, norms = self.take("unit", rows), self.take("norms", rows)
        return (unit * norms[:, None]).astype(unit.dtype, copy=False)

    def __len__(self) -> int:
        return sum(map(len, self.segments))


def _taken(values: NDArray | None, order: NDArray[np.intp]) -> NDArray | None:
    return None if values is None else values[order]


def _sorted_by_leaf(
    n: int, leaves: NDArray | None, series: NDArray[np.intp] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Order of the rows, and where each block starts in it."""
    if leaves is None or series is None:
        return np.arange(n), _cut(np.zeros(n, dtype=bool), BLOCK_ROWS)
    rank = np.empty(len(series), dtype=np.intp)
    rank[series] = np.arange(len(series))
    if leaves.ndim == 1:
        group = rank[leaves]
        order = np.argsort(group, kind="stable")
        return order, _cut(np.diff(group[order], prepend=group[order[:1]]) != 0, BLOCK_ROWS)
    sure = leaves["probability"][:, 0]
    group = 2 * rank[leaves["leaf"][:, 0]] + (sure < SURE)
    order = np.lexsort((-sure, group))
    is_new = np.diff(group[order], prepend=group[order[:1]]) != 0
    return order, _cut(_far_apart(is_new, LEAST_ROWS), SOFT_BLOCK_ROWS)


def _far_apart(is_new: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Starts of groups, without those that follow another one too closely."""
    kept, last = np.zeros(len(is_new), dtype=bool), 0
    for start in np.flatnonzero(is_new).tolist():
        if start - last >= least:
            kept[start] = True
            last = start
    return kept


def _cut(is_new: NDArray[np.bool_], limit: int) -> NDArray[np.intp]:
    """Starts of blocks of at most `limit` rows, and the end, from where groups start."""
    edges = np.append(np.concatenate([[0], np.flatnonzero(is_new)]), len(is_new))
    starts = [np.arange(a, b, limit) for a, b in pairwise(edges) if a < b]
    return np.append(np.concatenate([np.empty(0, dtype=np.intp), *starts]), len(is_new)).astype(np.intp)


def _directions(unit: NDArray, starts: NDArray[np.intp]) -> tuple[NDArray, NDArray[np.float64]]:
    n_blocks, d = len(starts) - 1, unit.shape[1]
    centres = np.zeros((n_blocks, d), dtype=unit.dtype)
    radii = np.full(n_blocks, np.pi)
    slack = 4 * (d + 8) * float(np.finfo(unit.dtype).eps)
    for i in range(n_blocks):
        rows = unit[starts[i] : starts[i + 1]]
        total = rows.sum(axis=0, dtype=np.float64)
        length = np.sqrt(total @ total)
        if length > 0:
            centres[i] = total / length
        # A zero row has no direction and is 1 away from everything: no bound holds.
        if length > 0 and np.any(rows, axis=1).all():
            radii[i] = np.arccos(np.clip(float((rows @ centres[i]).min()) - slack, -1, 1))
    return centres, radii
