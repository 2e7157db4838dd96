"""The searched samples: immutable rows, and the leaves that they are sorted and searched by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret._state import value
from sklearn_hierret.class_models import HeldOutLeaves
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.retrieval._conditions import holds, known_column
from sklearn_hierret.retrieval._metadata import Metadata
from sklearn_hierret.retrieval._samples import Samples
from sklearn_hierret.search import COSINE, Index

#: Rows are dropped from the index when more than this share of them was removed.
DEAD_SHARE = 0.25
#: Rows that a condition leaves are copied where they are no more than this share.
FEW_ROWS = 0.25
#: Conditions that are kept, and how much of the gallery their copies hold together.
MOST_CONDITIONS, MOST_COPIED = 16, 0.5
#: Bytes of rows that are worth a copy which is sorted by the other set of leaves.
SMALL = 1 << 26


@value("kind of leaves")
class LeafKind(NamedTuple):
    """What leaves are: one class or several, predicted or, where known, labels.

    With `unknown_on_root`, a sample with a label that the hierarchy lacks is 1 away from all leaves.
    """

    assignment: str
    source: str
    unknown_on_root: bool = False


@value("origin of leaves")
class LeafOrigin(NamedTuple):
    """Where the leaves of a gallery come from.

    Attributes
    ----------
    gallery_leaves : {"auto", "predicted", "labels"}
        For new queries.
    n_train : int
        This many samples, the first ones of the gallery, were those of fit.
    held_out : HeldOutLeaves or None
        Their leaves, by class models that did not see them; None where they are not at hand.
    groups : ndarray of shape (n_train,) or None
        Groups of these samples.
    new_classes : {"auto", "labels", "discover", "ignore"}
        Whether labels, or clusters, become leaves.
    by_fold : bool
        Whether any sample may be one that the class model has learned from, which its folds then tell.
    fit_labels : ndarray of shape (n_train,) or None
        Labels that the samples of the fit had there, where some have been corrected since.
    """

    gallery_leaves: str = "predicted"
    n_train: int = 0
    held_out: HeldOutLeaves | None = None
    groups: NDArray[np.uint64] | None = None
    new_classes: str = "ignore"
    by_fold: bool = False
    fit_labels: NDArray | None = None

    @property
    def n_held_out(self) -> int:
        """So many samples, the first ones, have held-out leaves; without labels some may be new ones."""
        return len(self.held_out.leaves) if self.held_out is not None and not self.n_train else self.n_train

    @property
    def labels_teach(self) -> bool:
        """Whether labels that the class model lacks become leaves."""
        return self.new_classes in ("auto", "labels") and self.gallery_leaves != "predicted"

    def kept(self, is_alive: NDArray[np.bool_]) -> LeafOrigin:
        """Drop removed samples, given by serial number."""
        trained, held_out = is_alive[: self.n_train], self.held_out
        if held_out is not None:
            there = is_alive[: self.n_held_out]
            held_out = HeldOutLeaves(held_out.leaves[there], held_out.folds[there])
        groups = None if self.groups is None else self.groups[trained]
        fit_labels = None if self.fit_labels is None else self.fit_labels[trained]
        return self._replace(
            n_train=int(trained.sum()), held_out=held_out, groups=groups, fit_labels=fit_labels
        )


@dataclass(frozen=True)
class View:
    """The rows of a gallery with one set of leaves.

    Attributes
    ----------
    index : Index
        Rows whose serial numbers count the samples in the order in which they were added.
    samples : Samples
    kind : LeafKind or None
        What the leaves are; None without leaves.
    """

    index: Index
    samples: Samples
    kind: LeafKind | None

    @cached_property
    def rows(self) -> NDArray[np.intp]:
        """Row of the index of each position."""
        row = np.full(self.samples.n_ever, -1, dtype=np.intp)
        row[self.index.serial] = np.arange(len(self.index))
        return row[self.samples.serials]

    @cached_property
    def alive_rows(self) -> NDArray[np.bool_] | None:
        """Rows of the index that were not removed; None if that is all."""
        all_are = len(self.samples) == len(self.index)
        return None if all_are else self.samples.alive_by_serial[self.index.serial]

    def rows_at(self, is_chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return a mask of rows of the index for a mask of positions."""
        by_serial = np.zeros(self.samples.n_ever, dtype=bool)
        by_serial[self.samples.serials] = is_chosen
        return by_serial[self.index.serial]

    def leaves(self, positions: NDArray[np.intp] | slice = slice(None)) -> NDArray:
        """Return leaves at some positions."""
        return self.index.leaves(self.rows[positions])


class Condition:
    """The samples that a condition leaves, worked out once for a gallery.

    Parameters
    ----------
    mask : ndarray of bool, by position
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask
        share = float(mask.mean()) if len(mask) else 0.0
        #: Share of the gallery that is copied.
        self.copied = share if share <= FEW_ROWS else 0.0
        self._parts: dict[int, tuple[View, View, NDArray[np.bool_]]] = {}

    def part(self, view: View) -> tuple[View, NDArray[np.bool_]]:
        """Return the view to search, and the rows of its index that the condition leaves.

        A condition that leaves few rows has an index of its own, so that a search costs what it leaves.
        """
        known = self._parts.get(id(view))
        if known is None or known[0] is not view:
            part = view
            if self.copied:
                by_serial = np.zeros(view.samples.n_ever, dtype=bool)
                by_serial[view.samples.serials[self.mask]] = True
                part = replace(view, index=view.index.keep(by_serial))
            known = view, part, part.rows_at(self.mask)
            self._parts[id(view)] = known
        return known[1], known[2]


@value("gallery")
@dataclass(frozen=True)
class Gallery:
    """Samples to search; every change makes another gallery, which shares what stayed.

    Attributes
    ----------
    samples : Samples
    index : Index
        Rows, sorted by leaves of a kind, if there is one.
    metric : VisualMetric or None
        Maps features to rows of the index; None of codes.
    kind : LeafKind or None
    dtype : dtype
        Of features or codes.
    raw : tuple of ndarray or None
        The features in the order of their serial numbers, where rows do not tell them.
    origin : LeafOrigin
    classes : ndarray of shape (n_classes,)
        Labels that can be predicted: those of the training set, and the gallery's.
    """

    samples: Samples
    index: Index
    metric: VisualMetric | None
    kind: LeafKind | None
    dtype: np.dtype
    raw: tuple[NDArray, ...] | None = None
    origin: LeafOrigin = field(default_factory=LeafOrigin)
    classes: NDArray = field(default_factory=lambda: np.empty(0))

    def added(
        self,
        X: NDArray,
        labels: NDArray | None,
        ids: ArrayLike | None,
        leaves: NDArray | None,
        classes: NDArray,
        metadata: Metadata | None = None,
    ) -> Gallery:
        """Add samples at the end; leaves are of the gallery's kind."""
        samples, n_ever = self.samples.added(len(X), labels, ids, metadata), self.samples.n_ever
        if samples is None:
            return self.compacted().added(X, labels, ids, leaves, classes, metadata)
        serials = np.arange(n_ever, n_ever + len(X))
        gallery = replace(
            self,
            samples=samples,
            index=self.index.appended(X, serials, leaves, self.metric or COSINE),
            raw=None if self.raw is None else (*self.raw, X.copy()),
            classes=classes,
        )
        return gallery.with_held_out(self.held_out)

    def removed(self, ids: ArrayLike) -> Gallery:
        """Remove samples by their ids."""
        samples, index = self.samples.removed(ids), self.index
        if len(samples) and (index.rows.is_exact or len(samples) < (1 - DEAD_SHARE) * len(index)):
            index = index.keep(samples.alive_by_serial)
        gallery = replace(self, index=index, samples=samples).with_held_out(self.held_out)
        return gallery.compacted() if samples.is_sparse else gallery

    def compacted(self) -> Gallery:
        """Drop everything of removed samples, and number the others anew."""
        alive = self.samples.is_alive
        if alive is None:
            return self
        gallery = replace(
            self,
            samples=self.samples.renumbered(),
            index=self.index.keep(alive).numbered(np.cumsum(alive) - 1),
            raw=None if self.raw is None else (self.features,),
            origin=self.origin.kept(alive),
        )
        trained = alive[: self.origin.n_train]
        return gallery.with_held_out({name: leaves[trained] for name, leaves in self.held_out.items()})

    def view(self, kind: LeafKind | None, make: Callable[[], tuple[NDArray, NDArray[np.intp]]]) -> View:
        """Return the rows with leaves of a kind; what was computed for one kind is kept.

        ``make()`` gives leaves by position, and the order of leaves in which close ones are side by side.
        """
        if kind is None or not len(self):  # an emptied gallery has nothing to sort
            return self.plain_view
        views: dict = self.__dict__.setdefault("views", {})
        if kind not in views:
            if kind == self.kind:
                views[kind] = self.plain_view
            else:
                leaves, series = make()
                if self.kind is None or self._n_bytes <= SMALL:
                    index = self.index
                    if self.plain_view.alive_rows is not None:
                        index = index.keep(self.samples.alive_by_serial)
                    views[kind] = View(index.sorted_by(leaves, series), self.samples, kind)
                else:  # the same rows in the same order: bounds are looser, and nothing is copied
                    index = self.index.with_leaves(self.plain_view.rows, leaves)
                    views[kind] = View(index, self.samples, kind)
        return views[kind]

    def with_series(self, series: NDArray[np.intp]) -> Gallery:
        """Make room for more leaves, behind those that there are."""
        if self.kind is None:
            return self
        gallery = replace(self, index=self.index.with_series(series))
        return gallery.with_held_out(self.held_out)

    @property
    def _n_bytes(self) -> int:
        return len(self.index) * self.index.queries(np.arange(1)).nbytes

    @cached_property
    def plain_view(self) -> View:
        """The rows as they are sorted."""
        return View(self.index, self.samples, self.kind)

    @property
    def held_out(self) -> dict[str, NDArray]:
        """Leaves of the samples of the fit, by serial number, of each assignment that was asked for."""
        return self.__dict__.setdefault("held_out_leaves", {})

    def with_held_out(self, leaves: dict[str, NDArray]) -> Gallery:
        """Take over what another gallery has computed; return this one."""
        self.__dict__["held_out_leaves"] = leaves
        return self

    def condition(self, text: str) -> Condition:
        """Work out a condition on the metadata; the last ones that were asked for are kept."""
        if self.samples.metadata is None:
            raise ValueError("where needs metadata: set_gallery(..., metadata=) gives the gallery some.")
        kept: dict[str, Condition] = self.__dict__.setdefault("conditions", {})
        found = kept.get(text) if isinstance(text, str) else None
        if found is None:
            found = Condition(holds(text, self.samples.position_metadata, len(self)))
            copied = found.copied
            # The newest ones whose copies are small enough together stay.
            for number, (old, condition) in enumerate(reversed(list(kept.items()))):
                copied += condition.copied
                if number + 1 >= MOST_CONDITIONS or copied > MOST_COPIED:
                    kept.pop(old, None)
            kept[text] = found
        return found

    def columns(self, names: Sequence[str]) -> dict[str, NDArray]:
        """Return columns of the metadata at each position.

        Raises
        ------
        ValueError
            For unknown names; close ones are suggested.
        """
        there = self.samples.position_metadata
        return {name: known_column(name, there) for name in ([names] if isinstance(names, str) else names)}

    def known_share(self, source: str, estimate: Callable[[], float]) -> float:
        """Return the share of samples whose class is known, estimated once for each source of leaves."""
        shares: dict = self.__dict__.setdefault("shares", {})
        if source not in shares:
            shares[source] = estimate()
        return shares[source]

    @property
    def labels(self) -> NDArray | None:
        """Label at each position."""
        return self.samples.position_labels

    @property
    def ids(self) -> NDArray:
        """Id at each position."""
        return self.samples.position_ids

    def holds_the_same(self, other: Gallery) -> bool:
        """Return whether the samples are those of another gallery."""
        return self.samples is other.samples

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
            return raw[self.samples.serials[positions]]
        rows = self.plain_view.rows[positions]
        queries = self.index.queries(rows)
        return queries if self.metric is None else self.metric.originals(queries, self.index.norms(rows))

    def unit_features(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        """Find the features at some positions, scaled to unit length or zero."""
        return unit_rows(self.features_at(positions).astype(np.float64))[0]

    def visual_rows(self, positions: NDArray[np.intp] | slice) -> NDArray[np.float64]:
        """Take the rows at some positions, whose cosine distances are the visual distance."""
        return unit_rows(self.queries(positions).astype(np.float64))[0]

    def queries(self, positions: NDArray[np.intp] | slice = slice(None)) -> NDArray:
        """Take the rows at some positions as they are searched for."""
        return self.index.queries(self.plain_view.rows[positions])

    def as_queries(self, X: NDArray) -> NDArray:
        """Map checked features to rows that are searched for; codes stay."""
        return X if self.metric is None else self.metric.rows(X)[0]

    def __len__(self) -> int:
        return len(self.samples)
