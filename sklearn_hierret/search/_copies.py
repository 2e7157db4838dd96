"""Copies of queries: gallery rows that equal them up to rounding, found by a lookup."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

#: Entries of unit rows of copies differ by this at most: some units of single precision.
TOLERANCE = 1e-6
#: Cells of the line that rows are projected to, and pairs that are compared at once.
CELLS, MOST_PAIRS = 2.0**16, 1 << 18


@dataclass(frozen=True)
class CopyLookup:
    """Rows by their cells on a random line.

    There are two grids: rows that rounding parts on one of them are together on the other.

    Attributes
    ----------
    unit : ndarray of shape (n_rows, n_features)
        Rows of unit length or zero.
    cells, order : tuples of two ndarrays of shape (n_rows,)
        Sorted cells on each grid, and the rows in this order.
    """

    unit: NDArray
    cells: tuple[NDArray[np.int64], ...]
    order: tuple[NDArray[np.intp], ...]

    @classmethod
    def of(cls, unit: NDArray) -> CopyLookup:
        """Project rows, and sort them."""
        grids = _cells(unit)
        order = tuple(np.argsort(grid, kind="stable") for grid in grids)
        return cls(unit, tuple(grid[by] for grid, by in zip(grids, order, strict=True)), order)

    def find(self, queries: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Find all copies of queries.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_features)
            Of unit length or zero; zero rows have no copies.

        Returns
        -------
        query, row : ndarrays of shape (n_pairs,)
            Sorted by query, then by row.
        """
        counts, firsts = [], []
        for grid, cells in zip(_cells(queries), self.cells, strict=True):
            firsts.append(np.searchsorted(cells, grid, side="left"))
            counts.append(np.searchsorted(cells, grid, side="right") - firsts[-1])
        pairs: list[NDArray[np.intp]] = []
        asked = np.flatnonzero(counts[0] + counts[1])
        ends = np.cumsum((counts[0] + counts[1])[asked])
        start = 0
        while start < len(asked):  # so many queries as have few enough candidates, one at least
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + MOST_PAIRS, side="right")))
            which = asked[start:stop]
            found = [
                np.stack([query, order[place]])
                for query, place, order in (
                    (*_expanded(which, first[which], count[which]), order)
                    for first, count, order in zip(firsts, counts, self.order, strict=True)
                )
            ]
            query, row = np.unique(np.concatenate(found, axis=1), axis=1)
            pairs.append(self._equal(queries, query, row))
            start = stop
        joined = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), dtype=np.intp)
        return joined[0], joined[1]

    def _equal(self, queries: NDArray, query: NDArray[np.intp], row: NDArray[np.intp]) -> NDArray[np.intp]:
        """Keep the pairs that are copies."""
        kept = []
        size = max(1, MOST_PAIRS // max(1, queries.shape[1]) * 8)
        for start in range(0, len(query), size):
            part = slice(start, start + size)
            asked = queries[query[part]]
            gap = np.abs(self.unit[row[part]] - asked).max(axis=1, initial=0)
            kept.append((gap <= TOLERANCE) & np.any(asked, axis=1))
        chosen = np.concatenate(kept) if kept else np.zeros(0, dtype=bool)
        return np.stack([query[chosen], row[chosen]])


def copies_first(
    distances: NDArray[np.float64],
    serials: NDArray[np.intp],
    query: NDArray[np.intp],
    serial: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Put copies at distance 0 before all other neighbours, in place, and return where they are.

    Parameters
    ----------
    distances, serials : ndarrays of shape (n_queries, n_neighbors)
        Neighbours in order.
    query, serial : ndarrays of shape (n_copies,)
        Copies that may be neighbours, sorted by query.

    Returns
    -------
    is_copy : ndarray of shape (n_queries, n_neighbors)
    """
    is_copy = np.zeros(distances.shape, dtype=bool)
    for start, stop in pairwise([*np.flatnonzero(np.diff(query, prepend=-1)), len(query)]):
        i, copies = query[start], np.sort(serial[start:stop])[: distances.shape[1]]
        others = np.flatnonzero(~np.isin(serials[i], copies))[: distances.shape[1] - len(copies)]
        far = np.concatenate([np.zeros(len(copies)), distances[i, others]])
        serials[i] = np.concatenate([copies, serials[i, others]])
        distances[i], is_copy[i, : len(copies)] = far, True
    return is_copy


def _cells(unit: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells of rows on two grids, of which one is shifted by half a cell."""
    direction = np.asarray(np.random.RandomState(0).standard_normal(unit.shape[1]), dtype=unit.dtype)
    projected = CELLS * (unit @ direction).astype(np.float64)
    return np.floor(projected).astype(np.int64), np.floor(projected + 0.5).astype(np.int64)


def _expanded(
    which: NDArray[np.intp], first: NDArray[np.intp], count: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return each query with each place of its cell."""
    query = np.repeat(which, count)
    place = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    return query, place
