"""Labels and ids of a gallery's samples, and which of them are still there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import column_or_1d

from sklearn_hierret._arrays import check_none_missing, check_same_kind, plain_labels
from sklearn_hierret._state import value
from sklearn_hierret.retrieval._columns import Column
from sklearn_hierret.retrieval._metadata import Metadata

#: Samples are numbered anew when this many more were removed than are left, and this many.
SPARE = 1024


@value("samples")
@dataclass(frozen=True)
class Samples:
    """The samples of a gallery by serial number, in the order in which they were added.

    Attributes
    ----------
    ids : Column
        Those of removed samples included.
    labels : Column or None
    next_id : int
        The next running number.
    is_alive : ndarray of bool, by serial number, or None
        None while nothing was removed.
    metadata : Metadata or None
    """

    ids: Column
    labels: Column | None
    next_id: int
    is_alive: NDArray[np.bool_] | None = None
    metadata: Metadata | None = None

    @classmethod
    def of(
        cls, n: int, labels: NDArray | None, ids: ArrayLike | None, metadata: Metadata | None = None
    ) -> Samples:
        """Give samples, whose labels were checked, serial numbers."""
        numbers = np.arange(n) if ids is None else distinct(ids, n)
        column = None if labels is None else Column((labels,))
        return cls(Column((numbers,)), column, _next_id(numbers), None, metadata)

    def added(
        self, n: int, labels: NDArray | None, ids: ArrayLike | None, metadata: Metadata | None = None
    ) -> Samples | None:
        """Add samples; return None if they have ids of removed ones, which must go first.

        Raises
        ------
        ValueError
            For labels if there are none, no labels if there are some, and ids that are there.
        """
        if (labels is None) != (self.labels is None):
            state, given = ("no labels", "y") if self.labels is None else ("labels", "no y")
            raise ValueError(f"The gallery has {state}, and {given} was given with the new samples.")
        if (metadata is None) != (self.metadata is None):
            raise ValueError(
                "The gallery has no metadata: set_gallery(..., metadata=) gives it some."
                if self.metadata is None
                else "The gallery has metadata: give the new samples some, too."
            )
        if labels is not None and self.labels is not None:
            check_same_kind(labels, self.labels.parts[0], "New labels", "the gallery's labels")
        if ids is None:
            if self.ids.parts[0].dtype.kind not in "iu":
                raise ValueError("The gallery was given ids: give the new samples ids too.")
            if self.next_id + n - 1 > np.iinfo(np.int64).max:
                raise ValueError("The gallery's ids leave no running numbers: give the new samples ids too.")
            numbers = np.arange(self.next_id, self.next_id + n)
        else:
            numbers = distinct(ids, n)
            check_same_kind(numbers, self.ids.parts[0], "New ids", "the gallery's ids")
            serial = self.ids.find(numbers)
            used = np.flatnonzero(self._are_alive(serial))
            if len(used):
                raise ValueError(f"The gallery has a sample with the id {numbers.tolist()[used[0]]!r}.")
            if np.any(serial >= 0):
                return None
        return replace(
            self,
            ids=self.ids.appended(numbers),
            labels=None if self.labels is None or labels is None else self.labels.appended(labels),
            next_id=max(self.next_id, _next_id(numbers)),
            metadata=None if self.metadata is None or metadata is None else self.metadata.appended(metadata),
            is_alive=None if self.is_alive is None else np.append(self.is_alive, np.ones(n, dtype=bool)),
        )

    def removed(self, ids: ArrayLike) -> Samples:
        """Remove samples by their ids.

        Raises
        ------
        ValueError
            For ids that are not there; they are named.
        """
        alive = self.alive_by_serial.copy()
        alive[self._serials_of(ids)] = False
        return replace(self, is_alive=alive)

    def renumbered(self) -> Samples:
        """Forget removed samples."""
        labels = None if self.labels is None else Column((self.position_labels,))  # type: ignore[arg-type]
        metadata = None if self.metadata is None else self.metadata.at(self.serials)
        ids = Column((self.position_ids,))
        return replace(self, ids=ids, labels=labels, is_alive=None, metadata=metadata)

    @cached_property
    def position_metadata(self) -> dict[str, NDArray]:
        """Values of each column at each position."""
        return {} if self.metadata is None else self.metadata.arrays(self.serials)

    @property
    def n_ever(self) -> int:
        """Samples that were ever added."""
        return sum(map(len, self.ids.parts))

    @property
    def alive_by_serial(self) -> NDArray[np.bool_]:
        """Whether each serial number was not removed."""
        return np.ones(self.n_ever, dtype=bool) if self.is_alive is None else self.is_alive

    @property
    def is_sparse(self) -> bool:
        """Whether samples should be numbered anew."""
        return self.n_ever > 2 * len(self) + SPARE

    @cached_property
    def serials(self) -> NDArray[np.intp]:
        """Serial number of each position."""
        return np.arange(self.n_ever) if self.is_alive is None else np.flatnonzero(self.is_alive)

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

    def positions(self, serials: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return positions of serial numbers; -1 stays."""
        if self.is_alive is None:
            return serials
        return np.where(serials < 0, -1, np.searchsorted(self.serials, serials))

    def positions_of(self, ids: ArrayLike) -> NDArray[np.intp]:
        """Return the position of each id.

        Raises
        ------
        ValueError
            For ids that are not there; they are named.
        """
        return self.positions(self._serials_of(ids))

    def those_there(self, ids: ArrayLike) -> NDArray:
        """Return those ids, which must be distinct, that samples have."""
        wanted = distinct(np.atleast_1d(ids))
        return wanted[self._are_alive(self.ids.find(wanted))]

    def _serials_of(self, ids: ArrayLike) -> NDArray[np.intp]:
        wanted = distinct(np.atleast_1d(ids))
        serials = self.ids.find(wanted)
        absent = np.flatnonzero(~self._are_alive(serials))
        if len(absent):
            raise ValueError(f"No sample of the gallery has the id {wanted.tolist()[absent[0]]!r}.")
        return serials

    def _are_alive(self, serials: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.append(self.alive_by_serial, False)[serials]  # -1 is the last one

    def __len__(self) -> int:
        return len(self.serials)


def one_per_row(values: ArrayLike, n_rows: int, what: str) -> NDArray:
    """Check labels or ids, and copy them, for the caller's array may change."""
    array = column_or_1d(plain_labels(values), warn=True) if what == "labels" else np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{what} must be one-dimensional, got shape {array.shape}.")
    if len(array) != n_rows:
        raise ValueError(f"{n_rows} samples, but {len(array)} {what}.")
    check_none_missing(array, what)
    return array.copy()


def distinct(ids: ArrayLike, n_rows: int | None = None) -> NDArray:
    """Check that ids are distinct, and copy them."""
    array = _exact(ids)
    array = one_per_row(array, len(array) if n_rows is None and array.ndim else n_rows or 0, "ids")
    if len(set(array.tolist())) < len(array):
        raise ValueError("ids must be distinct.")
    return array


def _next_id(ids: NDArray) -> int:
    return max(0, int(ids.max()) + 1) if ids.dtype.kind in "iu" and len(ids) else 0


def _exact(ids: ArrayLike) -> NDArray:
    """Make an array in which no id is rounded: integers that int64 cannot hold stay Python's."""
    array = np.asarray(ids)
    if array.dtype.kind == "u":
        fits = not array.size or int(array.max()) <= np.iinfo(np.int64).max
        return array.astype(np.int64 if fits else object)
    if array.dtype.kind == "f" and not hasattr(ids, "dtype"):  # of integers of both signs, perhaps
        exact = np.asarray(ids, dtype=object)
        if all(isinstance(value, Integral) for value in exact.ravel()):
            return exact
    return array
