"""The searched samples: their index, labels and ids, and which of them are still there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from numbers import Integral

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from sklearn_hierret._arrays import check_none_missing, check_same_kind, unit_rows
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.retrieval._gallery_leaves import LeafKind, LeafOrigin
from sklearn_hierret.search import COSINE, Index

#: Rows are dropped from the index when more than this share of them was removed.
DEAD_SHARE = 0.25
#: Samples are numbered anew when so many more were removed than are there, and this many.
SPARE = 1024


class PickledFields:
    """For dataclasses whose pickles hold their fields and nothing that is cached."""

    def __getstate__(self) -> dict:
        return {part.name: getattr(self, part.name) for part in fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: dict) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Column(PickledFields):
    """An array that grows: in parts of falling size, so that adding a little is cheap."""

    parts: tuple[NDArray, ...]

    def appended(self, values: NDArray) -> Column:
        kept, new = list(self.parts), [values]
        if {values.dtype.kind, kept[0].dtype.kind} & {"i", "u"} and values.dtype.kind != kept[0].dtype.kind:
            kept, new = ([part.astype(object) for part in parts] for parts in (kept, new))  # not rounded
        while kept and len(kept[-1]) <= sum(map(len, new)):
            new.insert(0, kept.pop())
        return Column((*kept, np.concatenate(new)))

    @cached_property
    def array(self) -> NDArray:
        """All values."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)

    def find(self, values: NDArray) -> NDArray[np.intp]:
        """Place of each value, or -1."""
        found = np.full(len(values), -1, dtype=np.intp)
        start = 0
        for part, lookup in zip(self.parts, self._lookups, strict=True):
            place = lookup.get_indexer(values)
            found = np.where(place >= 0, place + start, found)
            start += len(part)
        return found

    @cached_property
    def _lookups(self) -> list[pd.Index]:
        return [pd.Index(part) for part in self.parts]


@dataclass(frozen=True)
class Gallery(PickledFields):
    """Samples to search; every change makes another gallery, which shares what stayed.

    Attributes
    ----------
    index : Index
        Rows whose serial numbers count the samples in the order in which they were added. Those of removed
        samples are free again when all are numbered anew (`compacted`).
    metric : VisualMetric or None
        Maps features to rows of the index; None of codes.
    kind : LeafKind or None
        What the leaves in the index are; None before they are known.
    ids : Column
        By serial number, those of removed samples included.
    labels : Column or None
    next_id : int
        The next running number.
    is_alive : ndarray of bool, by serial number, or None
        None while nothing was removed.
    raw : tuple of ndarray or None
        The features in the order of their serial numbers, where the index does not keep them as they were:
        until there are leaves, and always where rows do not tell the features.
    origin : LeafOrigin
    classes : ndarray of shape (n_classes,)
        Labels that can be predicted: those of the training set, and the gallery's.
    """

    index: Index
    metric: VisualMetric | None
    kind: LeafKind | None
    ids: Column
    labels: Column | None
    next_id: int
    is_alive: NDArray[np.bool_] | None = None
    raw: tuple[NDArray, ...] | None = None
    origin: LeafOrigin = field(default_factory=LeafOrigin)
    classes: NDArray = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(
        cls,
        index: Index,
        metric: VisualMetric | None,
        X: NDArray,
        y: ArrayLike | None,
        ids: ArrayLike | None,
        kind: LeafKind | None,
        origin: LeafOrigin,
        classes: NDArray,
    ) -> Gallery:
        """Of indexed features; labels and ids are checked here."""
        labels = None if y is None else Column((one_per_row(y, len(X), "labels"),))
        numbers = np.arange(len(X)) if ids is None else distinct(ids, len(X))
        raw = None
        if metric is not None and (kind is None or not metric.tells_features):
            raw = (X.copy(),)
        ids_of = Column((numbers,))
        return cls(index, metric, kind, ids_of, labels, _next_id(numbers), None, raw, origin, classes)

    # -------------------------------------------------------------------- changes

    def added(
        self,
        X: NDArray,
        y: ArrayLike | None,
        ids: ArrayLike | None,
        leaves: NDArray | None,
        classes: NDArray,
    ) -> Gallery:
        """With more samples, and other classes.

        Raises
        ------
        ValueError
            For labels if the gallery has none, no labels if it has some, and ids that it already has.
        """
        n, n_ever = len(X), self.n_ever
        if (y is None) != (self.labels is None):
            there, given = ("no labels", "y") if self.labels is None else ("labels", "no y")
            raise ValueError(f"The gallery has {there}, and {given} was given with the new samples.")
        labels = None
        if y is not None and self.labels is not None:
            new_labels = one_per_row(y, n, "labels")
            check_same_kind(new_labels, self.labels.parts[0], "New labels", "the gallery's labels")
            labels = self.labels.appended(new_labels)
        if ids is None:
            if self.ids.parts[0].dtype.kind not in "iu":
                raise ValueError("The gallery was given ids: give the new samples ids too.")
            numbers = np.arange(self.next_id, self.next_id + n)
        else:
            numbers = distinct(ids, n)
            check_same_kind(numbers, self.ids.parts[0], "New ids", "the gallery's ids")
            serial = self.ids.find(numbers)
            used = np.flatnonzero((serial >= 0) & self._alive_by_serial[serial])
            if len(used):
                raise ValueError(f"The gallery has a sample with the id {numbers.tolist()[used[0]]!r}.")
            if np.any(serial >= 0):  # of removed samples
                return self.compacted().added(X, y, ids, leaves, classes)
        is_alive = None if self.is_alive is None else np.concatenate([self.is_alive, np.ones(n, dtype=bool)])
        return replace(
            self,
            index=self.index.appended(X, np.arange(n_ever, n_ever + n), leaves, self.metric or COSINE),
            ids=self.ids.appended(numbers),
            labels=labels,
            next_id=max(self.next_id, _next_id(numbers)),
            is_alive=is_alive,
            raw=None if self.raw is None else (*self.raw, X.copy()),
            classes=classes,
        )

    def removed(self, ids: ArrayLike) -> Gallery:
        """Without some samples.

        Raises
        ------
        ValueError
            For ids that are not there; they are named.
        """
        gone = distinct(np.atleast_1d(ids))
        serial = self.ids.find(gone)
        alive = np.ones(self.n_ever, dtype=bool) if self.is_alive is None else self.is_alive.copy()
        absent = np.flatnonzero((serial < 0) | ~alive[serial])
        if len(absent):
            raise ValueError(f"No sample of the gallery has the id {gone.tolist()[absent[0]]!r}.")
        alive[serial] = False
        index, n_alive = self.index, int(alive.sum())
        if n_alive and (index.rows.is_exact or n_alive < (1 - DEAD_SHARE) * len(index)):
            index = index.keep(alive)
        gallery = replace(self, index=index, is_alive=alive)
        return gallery.compacted() if len(alive) > 2 * n_alive + SPARE else gallery

    def compacted(self) -> Gallery:
        """The same without anything of removed samples, numbered anew."""
        if self.is_alive is None or not len(self):
            return self
        return replace(
            self,
            index=self.index.keep(self.is_alive).numbered(np.cumsum(self.is_alive) - 1),
            ids=Column((self.position_ids,)),
            labels=None if self.position_labels is None else Column((self.position_labels,)),
            is_alive=None,
            raw=None if self.raw is None else (self.features,),
            origin=self.origin.kept(self.is_alive),
        )

    def with_leaves(self, kind: LeafKind, leaves: NDArray, series: NDArray[np.intp]) -> Gallery:
        """Sorted by other leaves, given in the order of positions."""
        index = self.index if self.alive_rows is None else self.index.keep(self._alive_by_serial)
        raw = None if self.tells_features else self.raw
        return replace(self, index=index.with_leaves(leaves, series), kind=kind, raw=raw)

    # ------------------------------------------------------------------ questions

    @property
    def dtype(self) -> np.dtype:
        return self.index.rows.dtype

    @property
    def n_ever(self) -> int:
        """Samples that were ever added."""
        return sum(map(len, self.ids.parts))

    @cached_property
    def serials(self) -> NDArray[np.intp]:
        """Serial number of each position."""
        return np.arange(self.n_ever) if self.is_alive is None else np.flatnonzero(self.is_alive)

    @property
    def _alive_by_serial(self) -> NDArray[np.bool_]:
        return np.ones(self.n_ever, dtype=bool) if self.is_alive is None else self.is_alive

    @cached_property
    def alive_rows(self) -> NDArray[np.bool_] | None:
        """Rows of the index that were not removed; None if that is all."""
        return None if len(self) == len(self.index) else self._alive_by_serial[self.index.serial]

    def rows_at(self, is_chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Rows of the index at some positions."""
        by_serial = np.zeros(self.n_ever, dtype=bool)
        by_serial[self.serials] = is_chosen
        return by_serial[self.index.serial]

    def positions(self, serials: NDArray[np.intp]) -> NDArray[np.intp]:
        """Positions of serial numbers; -1 stays."""
        if self.is_alive is None:
            return serials
        return np.where(serials < 0, -1, np.searchsorted(self.serials, serials))

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Row of the index of each position."""
        row = np.full(self.n_ever, -1, dtype=np.intp)
        row[self.index.serial] = np.arange(len(self.index))
        return row[self.serials]

    @cached_property
    def position_labels(self) -> NDArray | None:
        """Label at each position."""
        if self.labels is None:
            return None
        return self.labels.array if self.is_alive is None else self.labels.array[self.serials]

    @cached_property
    def position_ids(self) -> NDArray:
        """Id at each position."""
        return self.ids.array if self.is_alive is None else self.ids.array[self.serials]

    def positions_of(self, ids: ArrayLike) -> NDArray[np.intp]:
        """Position of each id.

        Raises
        ------
        ValueError
            For ids that are not there; they are named.
        """
        wanted = distinct(np.atleast_1d(ids))
        serial = self.ids.find(wanted)
        absent = np.flatnonzero((serial < 0) | ~self._alive_by_serial[serial])
        if len(absent):
            raise ValueError(f"No sample of the gallery has the id {wanted.tolist()[absent[0]]!r}.")
        return self.positions(serial)

    def holds_the_same(self, other: Gallery) -> bool:
        """Whether the samples are those of another gallery, sorted by whatever leaves."""
        return self.ids is other.ids and self.is_alive is other.is_alive

    def known_share(self, estimate: Callable[[Gallery], float]) -> float:
        """Share of samples whose class is known; estimated once."""
        found = self.__dict__.get("_known_share")
        if found is None:
            found = self.__dict__["_known_share"] = estimate(self)
        return found

    @property
    def tells_features(self) -> bool:
        """Whether the rows of the index tell the features."""
        return self.metric is None or self.metric.tells_features

    @property
    def features(self) -> NDArray:
        """The features; to within rounding where they are kept as rows to search only."""
        return self.features_at(slice(None))

    def features_at(self, positions: NDArray[np.intp] | slice) -> NDArray:
        """Find the features at some positions, as `features` has them."""
        if self.raw is not None:
            raw = self.raw[0] if len(self.raw) == 1 else np.concatenate(self.raw)
            return raw[positions if self.is_alive is None else self.serials[positions]]
        rows = self.rows[positions]
        queries = self.index.queries(rows)
        if self.metric is None:
            return queries
        return self.metric.originals(queries, self.index.norms(rows))

    def unit_features(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        """Find the features at some positions, scaled to unit length or zero."""
        return unit_rows(self.features_at(positions).astype(np.float64))[0]

    def visual_rows(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        """Take the rows at some positions, whose cosine distances are the visual distance."""
        return unit_rows(self.index.queries(self.rows[positions]).astype(np.float64))[0]

    def as_queries(self, X: NDArray) -> NDArray:
        """Map checked features to rows that are searched for; codes stay."""
        return X if self.metric is None else self.metric.rows(X)[0]

    @property
    def leaves(self) -> NDArray:
        """Leaf, or soft leaf, at each position."""
        return self.index.leaves(self.rows)

    def __len__(self) -> int:
        return len(self.serials)


def one_per_row(values: ArrayLike, n_rows: int, what: str) -> NDArray:
    """A copy of labels or ids, checked."""
    array = column_or_1d(values, warn=True) if what == "labels" else np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional, got shape {array.shape}.")
    if len(array) != n_rows:
        raise ValueError(f"{n_rows} samples, but {len(array)} {what}.")
    check_none_missing(array, what)
    return array.copy()  # the caller's array may change


def distinct(ids: ArrayLike, n_rows: int | None = None) -> NDArray:
    """A copy of ids that are distinct."""
    array = _exact(ids)
    array = one_per_row(array, len(array) if n_rows is None and array.ndim else n_rows or 0, "ids")
    if len(set(array.tolist())) < len(array):
        raise ValueError("ids must be distinct.")
    return array


def _next_id(ids: NDArray) -> int:
    return max(0, int(ids.max()) + 1) if ids.dtype.kind in "iu" and len(ids) else 0


def _exact(ids: ArrayLike) -> NDArray:
    """Ids as an array in which none was rounded: integers that int64 can't hold stay Python's."""
    array = np.asarray(ids)
    if array.dtype.kind == "u":
        fits = not array.size or int(array.max()) <= np.iinfo(np.int64).max
        return array.astype(np.int64 if fits else object)
    if array.dtype.kind == "f" and not hasattr(ids, "dtype"):  # of integers of both signs, perhaps
        exact = np.asarray(ids, dtype=object)
        if all(isinstance(value, Integral) for value in exact.ravel()):
            return exact
    return array
