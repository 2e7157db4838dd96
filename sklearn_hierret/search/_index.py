"""The gallery as search wants it: rows in segments, sorted by leaf and cut into blocks.

A segment never changes. The index is a few segments of falling size: adding makes a new one, and
merges it with those before it that are no larger, so that a row is moved a logarithmic number of
times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._state import value
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.leaves import joined_leaves, likeliest, soft_leaves, unassigned
from sklearn_hierret.search._copies import CopyLookup
from sklearn_hierret.search._rows import COSINE, CodeRows, FeatureRows, Rows

_compiled: Any
try:
    from sklearn_hierret.search import _compiled
except (ImportError, RuntimeError):  # numba is optional, and needs a place for what it compiles
    _compiled = None


def is_compiled() -> bool:
    """Return whether searches are compiled, by numba."""
    return _compiled is not None


#: Rows of a block; more where classes are many, for a block has a number for each of them.
BLOCK_ROWS = 128
#: Rows of a group, whose best score is looked at first. Blocks are no smaller.
GROUP = 16


@value("blocks")
@dataclass(frozen=True)
class Blocks:
    """Blocks of rows with similar leaves, and what bounds their probabilities.

    Attributes
    ----------
    starts : ndarray of shape (n_blocks + 1,)
        Rows of block i are starts[i]:starts[i + 1].
    of_group : ndarray of shape (2, n_groups)
        First and last block of each group of rows.
    highest : ndarray of shape (n_leaves, n_blocks) or None
        The greatest probability of each class in a block, where rows have several classes.
    leaf, probability, first : ndarrays or None
        Where rows have one class: the leaves of each block in turn, the greatest probability of
        each, and where each block begins in them.
    is_hard : bool
        Whether all rows have one class, for certain.
    """

    starts: NDArray[np.intp]
    of_group: NDArray[np.intp]
    highest: NDArray | None = None
    leaf: NDArray[np.intp] | None = None
    probability: NDArray | None = None
    first: NDArray[np.intp] | None = None
    is_hard: bool = False

    @classmethod
    def of(cls, starts: NDArray[np.intp], leaves: NDArray | None, n_leaves: int) -> Blocks:
        """Of sorted leaves."""
        n_blocks = len(starts) - 1
        block = np.repeat(np.arange(n_blocks), np.diff(starts))
        begin = np.arange(0, len(block), GROUP)
        of_group = np.stack([block[begin], block[np.minimum(begin + GROUP, len(block)) - 1]])
        if leaves is None:
            return cls(starts, of_group)
        proba = leaves["probability"]
        if leaves.shape[1] > 1:
            highest = np.zeros((n_leaves, n_blocks), dtype=proba.dtype)
            np.maximum.at(highest, (leaves["leaf"], block[:, None]), proba)
            return cls(starts, of_group, highest)
        leaf = leaves["leaf"][:, 0].astype(np.intp)
        is_new = (np.diff(leaf, prepend=-1) != 0) | (np.diff(block, prepend=-1) != 0)
        run = np.flatnonzero(is_new)
        most = np.maximum.reduceat(proba[:, 0], run) if len(run) else proba[:, 0]
        first = np.searchsorted(block[run], np.arange(n_blocks))
        is_hard = bool(np.all(proba == 1))
        return cls(starts, of_group, None, leaf[run], most, first, is_hard)

    def with_leaves(self, n_leaves: int) -> Blocks:
        """Make room for leaves that no row has yet."""
        if self.highest is None or len(self.highest) == n_leaves:
            return self
        more = ((0, n_leaves - len(self.highest)), (0, 0))
        return replace(self, highest=np.pad(self.highest, more))

    def of_rows(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Block of each row."""
        block = self.of_group[0, rows // GROUP]
        return block + (rows >= self.starts[block + 1])

    def __len__(self) -> int:
        return len(self.starts) - 1


@value("segment")
@dataclass(frozen=True, eq=False)
class Segment:
    """Rows sorted by leaf, in blocks.

    Attributes
    ----------
    rows : Rows
    serial : ndarray of shape (n_rows,)
        Number of each row, by which ties are broken.
    leaf : ndarray of shape (n_kept, n_rows)
        Classes of each row, none if they are not known.
    probability : ndarray of shape (n_kept, n_rows)
        Of these classes.
    left : ndarray of shape (n_rows,)
        What their probabilities leave to the root.
    blocks : Blocks
    """

    rows: Rows
    serial: NDArray[np.intp]
    leaf: NDArray[np.int32]
    probability: NDArray
    left: NDArray[np.float64]
    blocks: Blocks

    @classmethod
    def sorted(
        cls,
        rows_of: Callable[[NDArray[np.intp]], Rows],
        serial: NDArray[np.intp],
        leaves: NDArray | None,
        series: NDArray[np.intp] | None,
    ) -> Segment:
        """Of rows that can be had in any order; `serial` and `leaves` are in their own, ascending."""
        n = len(serial)
        if leaves is None or series is None:
            starts = np.append(np.arange(0, n, BLOCK_ROWS), n)
            nothing = np.zeros((0, n), dtype=np.int32)
            return cls(
                rows_of(np.arange(n)), serial, nothing, nothing, np.ones(n), Blocks.of(starts, None, 0)
            )
        rank = np.empty(len(series), dtype=np.intp)
        rank[series] = np.arange(len(series))
        group = rank[likeliest(leaves)]
        if leaves.shape[1] == 1:
            order, size = np.argsort(group, kind="stable"), BLOCK_ROWS
        else:
            order = np.lexsort((-leaves["probability"][:, 0], group))
            size = max(BLOCK_ROWS, len(series) // 8)
        starts, leaves = _block_starts(group[order], size), leaves[order]
        columns = _columns(leaves)
        return cls(rows_of(order), serial[order], *columns, Blocks.of(starts, leaves, len(series)))

    def with_leaves(self, leaves: NDArray, n_leaves: int) -> Segment:
        """Give the rows other leaves, in the same blocks."""
        leaf, probability, left = _columns(leaves)
        blocks = Blocks.of(self.blocks.starts, leaves, n_leaves)
        return replace(self, leaf=leaf, probability=probability, left=left, blocks=blocks)

    @classmethod
    def merged(
        cls,
        segments: Sequence[Segment],
        series: NDArray[np.intp] | None,
        kept: list[NDArray[np.bool_]] | None = None,
        leaves: NDArray | None = None,
    ) -> Segment:
        """Sort the rows of segments, bit for bit, as one.

        Parameters
        ----------
        segments : sequence of Segment
        series : ndarray or None
        kept : list of boolean arrays, optional
            Which rows of each.
        leaves : ndarray, optional
            Other leaves than the segments', in the order of the serial numbers.
        """
        rows = segments[0].rows
        if len(segments) > 1:
            rows = type(rows).joined([segment.rows for segment in segments])
        serial = np.concatenate([s.serial for s in segments])
        chosen = np.arange(len(serial)) if kept is None else np.flatnonzero(np.concatenate(kept))
        chosen = chosen[np.argsort(serial[chosen])]
        if leaves is None and series is not None:
            leaves = joined_leaves([segment.leaves() for segment in segments])[chosen]
        return cls.sorted(lambda order: rows.take(chosen[order]), serial[chosen], leaves, series)

    @cached_property
    def copies(self) -> CopyLookup | None:
        """Lookup of rows of features; codes have none."""
        return CopyLookup.of(self.rows.unit) if isinstance(self.rows, FeatureRows) else None

    def leaves(self, rows: NDArray[np.intp] | slice = slice(None)) -> NDArray:
        """Soft leaves of some rows."""
        return soft_leaves(self.leaf[:, rows].T, self.probability[:, rows].T, self.probability.dtype)

    def __len__(self) -> int:
        return len(self.rows)


@value("index")
@dataclass(frozen=True)
class Index:
    """Segments of rows that are numbered through.

    Attributes
    ----------
    segments : tuple of Segment
    series : ndarray of shape (n_leaves,) or None
        Order of the leaves in which close ones are side by side; None without leaves.
    """

    segments: tuple[Segment, ...]
    series: NDArray[np.intp] | None = None

    @classmethod
    def build(
        cls,
        X: NDArray,
        leaves: NDArray | None = None,
        series: NDArray[np.intp] | None = None,
        metric: VisualMetric = COSINE,
    ) -> Index:
        """Index of features or codes.

        Parameters
        ----------
        X : ndarray of shape (n_gallery, n_features), float32 or float64; or packed codes, uint8
        leaves : ndarray of shape (n_gallery, n_kept), optional
            Soft leaves.
        series : ndarray of shape (n_leaves,), optional
            Needed with leaves.
        metric : VisualMetric, default=cosine
            Of features.
        """
        series = None if leaves is None else series
        return cls((_segment_of(X, np.arange(len(X)), leaves, series, metric),), series)

    def appended(
        self,
        X: NDArray,
        serial: NDArray[np.intp],
        leaves: NDArray | None,
        metric: VisualMetric = COSINE,
    ) -> Index:
        """Add samples, whose numbers are greater than all before."""
        kept = list(self.segments)
        new = [_segment_of(X, serial, leaves, self.series, metric)]
        while kept and len(kept[-1]) <= sum(map(len, new)):
            new.insert(0, kept.pop())
        last = new[0] if len(new) == 1 else Segment.merged(new, self.series)
        return Index((*kept, last), self.series)

    def keep(self, is_kept: NDArray[np.bool_]) -> Index:
        """Only the rows whose serial number `is_kept`, in one segment."""
        chosen = [is_kept[segment.serial] for segment in self.segments]
        return Index((Segment.merged(self.segments, self.series, chosen),), self.series)

    def numbered(self, numbers: NDArray[np.intp]) -> Index:
        """Give the rows other serial numbers, ascending as the old ones, given for each of these."""
        segments = [replace(segment, serial=numbers[segment.serial]) for segment in self.segments]
        return Index(tuple(segments), self.series)

    def sorted_by(self, leaves: NDArray, series: NDArray[np.intp]) -> Index:
        """Sort the rows, bit for bit, by leaves given in the order of their serial numbers."""
        return Index((Segment.merged(self.segments, series, leaves=leaves),), series)

    def with_leaves(self, rows: NDArray[np.intp], leaves: NDArray) -> Index:
        """Keep the rows where they are, and give some of them other leaves; the rest lies on the root."""
        of_rows = np.zeros((len(self), leaves.shape[1]), dtype=leaves.dtype)
        of_rows[rows] = leaves
        starts = self.offsets.tolist()
        segments = [
            segment.with_leaves(of_rows[start : start + len(segment)], len(self.series))  # type: ignore[arg-type]
            for segment, start in zip(self.segments, starts, strict=False)
        ]
        return Index(tuple(segments), self.series)

    def with_series(self, series: NDArray[np.intp]) -> Index:
        """Make room for leaves behind those that there are, given an order of all."""
        segments = [
            replace(segment, blocks=segment.blocks.with_leaves(len(series))) for segment in self.segments
        ]
        return Index(tuple(segments), series)

    def copies_of(self, queries: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Find the queries that have copies, and the rows of these, sorted by query."""
        pairs = [(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp))]
        for segment, first_row in zip(self.segments, self.offsets.tolist(), strict=False):
            if len(segment) and segment.copies is not None:
                query, row = segment.copies.find(queries)
                pairs.append((query, row + first_row))
        if len(pairs) == 2:
            return pairs[1]
        query, row = (np.concatenate(part) for part in zip(*pairs, strict=True))
        order = np.argsort(query, kind="stable")
        return query[order], row[order]

    @property
    def offsets(self) -> NDArray[np.intp]:
        """Number of the first row of each segment, and of all rows."""
        return np.cumsum([0, *map(len, self.segments)])

    @property
    def serial(self) -> NDArray[np.intp]:
        return np.concatenate([segment.serial for segment in self.segments])

    @property
    def rows(self) -> Rows:
        """What all segments' rows have in common."""
        return self.segments[0].rows

    @property
    def is_hard(self) -> bool:
        """Whether all leaves are hard."""
        return all(segment.blocks.is_hard for segment in self.segments)

    def queries(self, rows: NDArray[np.intp]) -> NDArray:
        """Take some rows as queries."""
        return self._ask(rows, lambda segment, own: segment.rows.queries(own))

    def norms(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Take the lengths that features had, of some rows."""

        def of_features(segment: Segment, own: NDArray[np.intp]) -> NDArray[np.float64]:
            assert isinstance(segment.rows, FeatureRows)
            return segment.rows.norms[own]

        return self._ask(rows, of_features)

    def leaves(self, rows: NDArray[np.intp]) -> NDArray:
        """Soft leaves of some rows."""
        return self._ask(rows, Segment.leaves)

    def pair_distances(self, queries: NDArray, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Distances of features, of each query to its own rows, both (n_queries, n_own)."""
        return self._ask(rows, lambda segment, own: segment.rows.distances(queries, own), is_table=True)

    def pair_leaf_distances(
        self, distances: NDArray[np.float64], rows: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Compute the same of leaves, from the D_H of the queries to all classes."""
        query = np.arange(len(distances))[:, None]
        return self._ask(rows, lambda segment, own: leaf_distances(distances, query, segment, own), True)

    def _ask(
        self,
        rows: NDArray[np.intp],
        question: Callable[[Segment, NDArray[np.intp]], NDArray],
        is_table: bool = False,
    ) -> NDArray:
        """Answer a question for each row; each segment is asked about its own, or about a whole table."""
        if len(self.segments) == 1:
            return question(self.segments[0], rows)
        offsets = self.offsets
        where = np.searchsorted(offsets, rows, side="right") - 1
        answers = []
        for i, segment in enumerate(self.segments):
            own = np.where(where == i, rows - offsets[i], 0) if is_table else rows[where == i] - offsets[i]
            answers.append(question(segment, own) if len(segment) else None)
        there = [a for a in answers if a is not None]
        if is_table:
            return np.choose(where, [there[0] if a is None else a for a in answers])
        width = max(a.shape[1:] for a in there)
        taken = np.zeros((len(rows), *width), dtype=there[0].dtype)
        for i, answer in enumerate(answers):
            if answer is not None:
                taken[(where == i, *map(slice, answer.shape[1:]))] = answer
        return taken

    def __len__(self) -> int:
        return sum(map(len, self.segments))


def leaf_distances(
    distances: NDArray[np.float64], queries: NDArray[np.intp], segment: Segment, rows: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Compute the expected D_H of queries to rows of a segment, pair by pair; the same in every batch.

    Parameters
    ----------
    distances : ndarray of shape (n_queries, n_classes)
    queries, rows : ndarrays of one shape, or of shapes that broadcast
    """
    if _compiled is not None and rows.size:
        queries, rows = np.broadcast_arrays(queries, rows)
        return _compiled.leaf_distances(
            distances, queries.ravel(), rows.ravel(), segment.leaf, segment.probability, segment.left
        ).reshape(rows.shape)
    total = segment.left[rows]
    for leaf, probability in zip(segment.leaf, segment.probability, strict=True):
        total += distances[queries, leaf[rows]] * probability[rows]  # one order, whatever the batch
    return total


def _columns(leaves: NDArray) -> tuple[NDArray, NDArray, NDArray[np.float64]]:
    leaf, probability = (np.ascontiguousarray(leaves[name].T) for name in ("leaf", "probability"))
    return leaf, probability, unassigned(leaves)


def _segment_of(
    X: NDArray,
    serial: NDArray[np.intp],
    leaves: NDArray | None,
    series: NDArray[np.intp] | None,
    metric: VisualMetric,
) -> Segment:
    def rows_of(order: NDArray[np.intp]) -> Rows:
        return CodeRows.of(X, order) if X.dtype == np.uint8 else FeatureRows.of(X, order, metric)

    return Segment.sorted(rows_of, serial, leaves, series)


def _block_starts(group: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Find where blocks of about `size` rows of one group, or of several small ones, start, and the end."""
    edges = np.append(np.flatnonzero(np.diff(group, prepend=-1)), len(group))
    starts: list[int] = []
    begin = 0
    for end in edges[1:].tolist():
        if end - begin < GROUP and end < len(group):
            continue
        n = max(1, round((end - begin) / size))
        starts += np.linspace(begin, end, n + 1)[:-1].astype(int).tolist()
        begin = end
    return np.append(starts, len(group)).astype(np.intp)
