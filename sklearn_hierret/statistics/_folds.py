"""Statistics of unit rows, fold by fold, and some of the rows.

Everything here depends on the set of samples alone, not on their order or on the blocks they come in:
a row's fold and its rank among the rows of its class are hashes of the row itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from sklearn_hierret._arrays import check_memory_share, check_same_kind, row_chunks, unit_rows
from sklearn_hierret._state import value
from sklearn_hierret._training import TrainingSet

#: Rows that are kept of all classes together, and of each class at least.
MOST_ROWS, LEAST_ROWS = 1 << 15, 8
#: Binary places of the projections that tell rows apart: rounding a unit row to single precision moves a
#: projection by less than a thousandth of their unit.
HASH_BITS = 12


@value("fold statistics")
@dataclass(frozen=True)
class FoldStatistics:
    """Counts, sums and second moments of unit rows in each fold, and the rows that are kept.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted labels.
    counts : ndarray of shape (n_folds, n_classes)
    sums : ndarray of shape (n_folds, n_classes, n_features), float64
    moments : ndarray of shape (n_folds, n_features, n_features), float64, or None
        Sums of outer products, about the origin; None where there are fewer samples than features, all of
        which are among the rows: these say the same in less space.
    rows : ndarray of shape (n_rows, n_features)
        Kept unit rows, sorted by class, then by key.
    codes : ndarray of shape (n_rows,)
        Class of each kept row.
    keys : ndarray of shape (n_rows,), uint64
        Those with the smallest keys of a class are kept.
    folds : ndarray of shape (n_rows,)
    row_weights : ndarray of shape (n_rows,), float64, or None
        Sample weights of the kept rows; None where each counts for 1. Counts, sums and moments are
        weighted where there are weights.
    sizes : ndarray of shape (n_classes,) or None
        Samples of each class, where there are weights.
    """

    classes: NDArray
    counts: NDArray
    sums: NDArray[np.float64]
    moments: NDArray[np.float64] | None
    rows: NDArray
    codes: NDArray[np.intp]
    keys: NDArray[np.uint64]
    folds: NDArray[np.int8]
    row_weights: NDArray[np.float64] | None = None
    sizes: NDArray[np.int64] | None = None

    @classmethod
    def of_block(
        cls,
        X: NDArray,
        y: NDArray,
        n_folds: int,
        seed: int,
        *,
        groups: NDArray[np.uint64] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> FoldStatistics:
        """Summarize samples, float32 or float64, in chunks; those of one group share a fold."""
        classes, codes = np.unique(y, return_inverse=True)
        (n, d), n_classes = X.shape, len(classes)
        sums = np.zeros((n_folds * n_classes, d))
        class_counts = np.bincount(codes, minlength=n_classes)
        moments = None if _rows_suffice(class_counts, d) else np.zeros((n_folds, d, d))
        keys, folds = np.empty(n, dtype=np.uint64), np.empty(n, dtype=np.int8)
        for rows in row_chunks(n, 32 * d):
            unit = unit_rows(X[rows].astype(np.float64, copy=False))[0]
            keys[rows], folds[rows] = hashed(unit, n_folds, seed)
            if groups is not None:
                folds[rows] = folds_of_groups(groups[rows], n_folds, seed)
            if moments is not None:
                for fold in range(n_folds):
                    is_member = folds[rows] == fold
                    members = unit[is_member]
                    heavy = members if weights is None else members * weights[rows][is_member, None]
                    moments[fold] += heavy.T @ members
            group = folds[rows].astype(np.intp) * n_classes + codes[rows]
            of_rows = np.ones(len(unit)) if weights is None else weights[rows]
            sums += csr_array((of_rows, (group, np.arange(len(unit)))), shape=(len(sums), len(unit))) @ unit
        cells = folds.astype(np.intp) * n_classes + codes
        counts = np.bincount(cells, weights, minlength=n_folds * n_classes)
        kept = smallest_of_classes(keys, codes, most_per_class(class_counts))
        return cls(
            classes,
            counts.reshape(n_folds, n_classes),
            sums.reshape(n_folds, n_classes, d),
            moments,
            unit_rows(X[kept])[0],
            codes[kept],
            keys[kept],
            folds[kept],
            None if weights is None else weights[kept],
            None if weights is None else class_counts,
        )

    def merge(self, other: FoldStatistics) -> FoldStatistics:
        """Statistics of the samples of both; neither changes."""
        check_same_kind(other.classes, self.classes, "Labels", "those before")
        classes = np.union1d(self.classes, other.classes)
        members, others_of = self._among(classes), other._among(classes)
        row_weights = sizes = None
        if self.row_weights is not None or other.row_weights is not None:
            row_weights = np.concatenate([self._weights(), other._weights()])
            sizes = members._sizes() + others_of._sizes()
        counts = members.counts + others_of.counts
        n_of_classes = counts.sum(axis=0) if sizes is None else sizes
        codes = np.concatenate([members.codes, others_of.codes])
        keys = np.concatenate([members.keys, others_of.keys])
        kept = smallest_of_classes(keys, codes, most_per_class(n_of_classes))
        moments = None
        if not _rows_suffice(n_of_classes, self.n_features):
            check_size(int(n_of_classes.sum()), self.n_features, self.n_folds, len(classes))
            moments = members._all_moments() + others_of._all_moments()
        return FoldStatistics(
            classes,
            counts,
            members.sums + others_of.sums,
            moments,
            np.concatenate([members.rows, others_of.rows])[kept],
            codes[kept],
            keys[kept],
            np.concatenate([members.folds, others_of.folds])[kept],
            None if row_weights is None else row_weights[kept],
            sizes,
        )

    def less(self, other: FoldStatistics) -> FoldStatistics:
        """Statistics without the samples of the other, which are among these; classes without samples go.

        Raises
        ------
        ValueError
            If these have fewer samples of a class.
        """
        if not np.isin(other.classes, self.classes).all():
            raise ValueError("Samples of classes that there are not cannot be taken away.")
        others_of = other._among(self.classes)
        counts = self.counts - others_of.counts
        if counts.min() < -1e-9:
            raise ValueError("There are fewer samples of a class in a fold than are to be taken away.")
        stays = _without(self.codes, self.keys, others_of.codes, others_of.keys)
        sums = self.sums - others_of.sums
        moments = None if self.moments is None else self.moments - other._all_moments()
        present = counts.sum(axis=0) > 1e-9
        number = np.cumsum(present) - 1
        sizes = None
        if self.sizes is not None or other.sizes is not None:
            sizes = (self._sizes() - others_of._sizes())[present]
        return FoldStatistics(
            self.classes[present],
            counts[:, present],
            sums[:, present],
            moments,
            self.rows[stays],
            number[self.codes[stays]],
            self.keys[stays],
            self.folds[stays],
            None if self.row_weights is None else self.row_weights[stays],
            sizes,
        )

    def _among(self, classes: NDArray) -> FoldStatistics:
        """Place the classes of the same samples among more classes."""
        if len(classes) == len(self.classes):
            return self
        place = np.searchsorted(classes, self.classes)
        counts = np.zeros((self.n_folds, len(classes)), dtype=self.counts.dtype)
        sums = np.zeros((self.n_folds, len(classes), self.n_features))
        counts[:, place], sums[:, place] = self.counts, self.sums
        sizes = None
        if self.sizes is not None:
            sizes = np.zeros(len(classes), dtype=np.int64)
            sizes[place] = self.sizes
        return replace(self, classes=classes, counts=counts, sums=sums, codes=place[self.codes], sizes=sizes)

    def _weights(self) -> NDArray[np.float64]:
        return np.ones(len(self.rows)) if self.row_weights is None else self.row_weights

    def _sizes(self) -> NDArray[np.int64]:
        return self.class_counts if self.sizes is None else self.sizes

    @property
    def n_folds(self) -> int:
        return len(self.counts)

    @property
    def n_features(self) -> int:
        return self.rows.shape[1]

    @property
    def class_counts(self) -> NDArray:
        """Samples of each class, or their weights."""
        return self.counts.sum(axis=0)

    def training_set(self, seed: int) -> TrainingSet:
        """Return the kept rows as samples that are dealt to the folds that they are in."""
        return TrainingSet(self.rows, self.classes, self.codes, self.group_of_folds(seed)[self.folds])

    def group_of_folds(self, seed: int) -> NDArray[np.uint64]:
        """Return a group for each fold, whose samples are dealt to it."""
        numbers = np.arange(64 * self.n_folds, dtype=np.uint64)
        dealt = folds_of_groups(numbers, self.n_folds, seed)
        return np.array([numbers[dealt == fold][0] for fold in range(self.n_folds)])

    def _all_moments(self) -> NDArray[np.float64]:
        """Moments, of the rows if need be."""
        if self.moments is not None:
            return self.moments
        rows = self.rows * np.sqrt(self._weights())[:, None]
        folds = [rows[self.folds == fold] for fold in range(self.n_folds)]
        return np.stack([of_fold.T @ of_fold for of_fold in folds])

    def without(self, fold: int | None) -> tuple[NDArray, NDArray[np.float64], NDArray[np.float64] | None]:
        """Sum counts, sums and moments of all folds but one, or of all."""
        others = [f for f in range(self.n_folds) if f != fold]
        return (
            self.counts[others].sum(axis=0),
            self.sums[others].sum(axis=0),
            None if self.moments is None else self.moments[others].sum(axis=0),
        )

    def of_classes(self, chosen: NDArray[np.bool_]) -> FoldStatistics:
        """Statistics of some classes alone, with all folds in one.

        Moments are not kept by class: those of the other classes are taken from their kept rows.
        """
        counts, sums, moments = self.without(None)
        is_mine = chosen[self.codes]
        if moments is not None:
            others = self.rows[~is_mine].astype(np.float64)
            others *= np.sqrt(stands_for(self.codes, counts, self.row_weights))[~is_mine, None]
            moments = (moments - others.T @ others)[None]
        number = np.cumsum(chosen) - 1
        return FoldStatistics(
            self.classes[chosen],
            counts[None, chosen],
            sums[None, chosen],
            moments,
            self.rows[is_mine],
            number[self.codes[is_mine]],
            self.keys[is_mine],
            np.zeros(int(is_mine.sum()), dtype=np.int8),
            None if self.row_weights is None else self.row_weights[is_mine],
            None if self.sizes is None else self.sizes[chosen],
        )


def stands_for(
    codes: NDArray[np.intp], counts: NDArray, row_weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """How many samples each kept row stands for: those of a class share what the class counts for."""
    of_kept = np.bincount(codes, row_weights, minlength=len(counts))
    shares = counts / np.where(of_kept > 0, of_kept, 1)
    return shares[codes] if row_weights is None else shares[codes] * row_weights


def check_size(n_samples: int, n_features: int, n_folds: int, n_classes: int) -> None:
    """Raise a MemoryError if statistics, and what a fit makes of them, need more than half of the memory."""
    check_memory_share(
        8 * n_features * (n_folds + 4) * (min(n_samples, n_features) + n_classes),
        f"The statistics of {n_features} features",
        "reduce the features first, as with PCA(n_components=1024) in a Pipeline.",
    )


def _rows_suffice(counts: NDArray[np.int64], n_features: int) -> bool:
    """Whether moments are not worth their space: fewer samples than features, none of them dropped."""
    return counts.sum() < n_features and int(counts.max()) <= most_per_class(counts)


def most_per_class(counts: NDArray[np.int64]) -> int:
    """Rows that are kept of a class at most, so that all classes together keep `MOST_ROWS`.

    It never grows as samples are added: what was dropped is never wanted again.
    """
    rising = np.sort(counts)
    # With a limit between rising[i - 1] and rising[i], the classes from i on keep `limit` rows each.
    smaller = np.concatenate([[0], np.cumsum(rising)[:-1]])
    limits = (MOST_ROWS - smaller) // np.arange(len(rising), 0, -1)
    fits = np.flatnonzero(limits < rising)
    limit = int(limits[fits[0]]) if len(fits) else int(rising[-1])
    return max(LEAST_ROWS, limit)


def smallest_of_classes(keys: NDArray[np.uint64], codes: NDArray[np.intp], limit: int) -> NDArray[np.intp]:
    """Rows of the smallest keys of each class, sorted by class, then by key."""
    order = np.lexsort((keys, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sizes = np.diff(starts, append=len(codes))
    rank = np.arange(len(codes)) - np.repeat(starts, sizes)
    return order[rank < limit]


def _without(
    codes: NDArray[np.intp],
    keys: NDArray[np.uint64],
    gone_codes: NDArray[np.intp],
    gone_keys: NDArray[np.uint64],
) -> NDArray[np.intp]:
    """Rows that stay if some go, each of which takes one row of its class and key, if there is one."""
    table = pd.DataFrame({"code": np.append(codes, gone_codes), "key": np.append(keys, gone_keys)})
    table["goes"] = np.arange(len(table)) >= len(codes)
    table["nth"] = table.groupby(["code", "key", "goes"]).cumcount()
    is_met = table.duplicated(["code", "key", "nth"], keep=False)
    return np.flatnonzero(~is_met.to_numpy()[: len(codes)])


def hashed(unit: NDArray[np.float64], n_folds: int, seed: int) -> tuple[NDArray[np.uint64], NDArray[np.int8]]:
    """Key and fold of unit rows, which depend on nothing else, their dtype included.

    A row is known by its projection to a random direction, rounded so coarsely that scaling the row, and
    rounding it to single precision, almost never moves it. Equal rows are in one fold.

    Parameters
    ----------
    unit : ndarray of shape (n_samples, n_features), float64
    n_folds, seed : int
    """
    directions = np.random.RandomState(seed).standard_normal((unit.shape[1], 2))
    projected = unit @ directions
    place = np.floor(projected * 2.0**HASH_BITS).astype(np.int64).view(np.uint64)
    first, second = _mixed(place[:, 0]), _mixed(place[:, 1])
    folds = (_mixed(first) % np.uint64(n_folds)).astype(np.int8)
    # Rows of one cell are told apart by their second projection.
    return (first & np.uint64(0xFFFFFFFF00000000)) | (second >> np.uint64(32)), folds


def folds_of_groups(groups: NDArray[np.uint64], n_folds: int, seed: int) -> NDArray[np.int8]:
    """Deal samples to folds by the hashes of their groups."""
    return (_mixed(groups ^ np.uint64(seed)) % np.uint64(n_folds)).astype(np.int8)


def folds_of(
    X: NDArray, n_folds: int, seed: int, groups: NDArray[np.uint64] | None = None
) -> NDArray[np.int8]:
    """Find the fold of each of some rows, as `FoldStatistics.of_block` deals them."""
    if groups is not None:
        return folds_of_groups(groups, n_folds, seed)
    folds = np.empty(len(X), dtype=np.int8)
    for rows in row_chunks(len(X), 24 * X.shape[1]):
        unit = unit_rows(X[rows].astype(np.float64, copy=False))[0]
        folds[rows] = hashed(unit, n_folds, seed)[1]
    return folds


def row_keys(X: NDArray, seed: int = 0) -> NDArray[np.uint64]:
    """Hash rows, in order to draw some of them in a way that depends on nothing but the rows."""
    keys = np.empty(len(X), dtype=np.uint64)
    for rows in row_chunks(len(X), 24 * X.shape[1], at_most=4096):
        keys[rows] = hashed(unit_rows(X[rows].astype(np.float64, copy=False))[0], 1, seed)[0]
    return keys


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix 64 bits so that every bit depends on all others (splitmix64, a bijection)."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
