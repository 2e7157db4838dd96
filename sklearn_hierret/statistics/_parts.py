"""Covariances within classes of all samples, of all but one fold, and of all but one group of classes."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.statistics._folds import FoldStatistics
from sklearn_hierret.statistics._within import WithinClasses

#: Groups of classes, each of which plays the part of classes that nobody has seen.
N_GROUPS = 5
#: With more features a decomposition takes long, and only so many groups are left out.
MANY_FEATURES, FEWER_GROUPS = 512, 3
#: Orthonormal columns (n_features, n_rows), and the rows in them.
Basis = tuple[NDArray[np.float64], NDArray[np.float64]]


class Group(NamedTuple):
    """Samples without a group of classes, and which kept rows are of that group.

    Attributes
    ----------
    others : FoldStatistics
    within : WithinClasses
        Of the others.
    held : ndarray of shape (n_held,)
        Kept rows of the group, in the order of their keys.
    """

    others: FoldStatistics
    within: WithinClasses
    held: NDArray[np.intp]


class Parts:
    """Decompositions of statistics, each made once: what a model and a metric are both chosen with.

    Parameters
    ----------
    statistics : FoldStatistics
    """

    def __init__(self, statistics: FoldStatistics) -> None:
        self.statistics = statistics
        self._folds: dict[int | None, WithinClasses] = {}
        self._groups: dict[int, Group | None] = {}

    def within(self, fold: int | None = None) -> WithinClasses:
        """Decompose the covariance of all samples, or of those that are not in a fold."""
        if fold not in self._folds:
            members = slice(None) if fold is None else self.statistics.folds != fold
            self._folds[fold] = _decomposed(self.statistics, fold, self._basis, members)
        return self._folds[fold]

    def groups(self) -> list[Group]:
        """Leave out one of some groups of classes each; not where fewer than two classes would be left."""
        n_groups = N_GROUPS if self.statistics.n_features <= MANY_FEATURES else FEWER_GROUPS
        results = [self._without_group(number) for number in range(n_groups)]
        return [group for group in results if group is not None]

    def held(self, fold: int) -> NDArray[np.intp]:
        """Kept rows of a fold, in the order of their keys."""
        place = np.flatnonzero(self.statistics.folds == fold)
        return place[np.argsort(self.statistics.keys[place], kind="stable")]

    @cached_property
    def group_of_class(self) -> NDArray[np.intp]:
        """Group of each class: classes of about one size are dealt to all groups.

        It follows from the samples alone: sizes and keys of rows, not the order of the labels.
        """
        statistics = self.statistics
        counts = statistics.class_counts
        first = np.full(len(counts), np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(first, statistics.codes, statistics.keys)
        order = np.lexsort((first, -counts))
        group = np.empty(len(counts), dtype=np.intp)
        for start in range(0, len(order), N_GROUPS):
            subset = order[start : start + N_GROUPS]
            group[subset[np.argsort(first[subset], kind="stable")]] = np.arange(len(subset))
        return group

    def _without_group(self, number: int) -> Group | None:
        if number not in self._groups:
            statistics, is_held = self.statistics, self.group_of_class == number
            results = None
            if is_held.any() and np.count_nonzero(~is_held) >= 2:
                held = np.flatnonzero(is_held[statistics.codes])
                held = held[np.argsort(statistics.keys[held], kind="stable")]
                others = statistics.of_classes(~is_held)
                basis = None
                if others.moments is None:
                    assert self._basis is not None
                    columns, coordinates = self._basis
                    basis = columns, coordinates[~is_held[statistics.codes]]
                results = Group(others, _decomposed(others, None, basis, dtype=np.float32), held)
            self._groups[number] = results
        return self._groups[number]

    @cached_property
    def _basis(self) -> Basis | None:
        """A basis of what all rows span, where there are fewer of them than features."""
        if self.statistics.moments is not None:
            return None
        columns, triangle = np.linalg.qr(self.statistics.rows.astype(np.float64).T)
        weights = self.statistics.row_weights
        # Moments are sums of products: each row enters with the root of its weight.
        return columns, triangle.T if weights is None else triangle.T * np.sqrt(weights)[:, None]


def _decomposed(
    statistics: FoldStatistics,
    fold: int | None,
    basis: Basis | None,
    rows: NDArray[np.bool_] | slice = slice(None),
    dtype: type = np.float64,
) -> WithinClasses:
    counts, sums, moments = statistics.without(fold)
    if moments is not None:
        return WithinClasses.of(counts, sums, moments, dtype=dtype)
    assert basis is not None
    columns, coordinates = basis
    return WithinClasses.of_rows(counts, sums, columns, coordinates[rows], dtype)
