"""Single pairs of a query and a row, in float64 and the same in every batch, and their order."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.search._candidates import padded
from sklearn_hierret.search._index import GalleryIndex

#: Rows in float64 that are multiplied pair by pair: they stay in the caches.
PAIR_BYTES = 1 << 19
#: Columns that einsum adds up in one go; its order of addition depends on the batch beyond.
_ONE_GO = 4096


def run_dots(
    left: NDArray, counts: NDArray[np.intp], right: Callable[[slice], NDArray]
) -> NDArray[np.float64]:
    """Dot products in float64 of each left row with a run of right rows.

    Each is the same bit for bit in every batch.

    Parameters
    ----------
    left : ndarray of shape (n_left, n_columns)
    counts : ndarray of shape (n_left,)
        Length of each row's run; the runs follow one another.
    right : callable
        Gives some of the right rows.
    """
    n_columns = left.shape[1]
    dots = np.zeros(int(counts.sum()))
    ends = np.cumsum(counts)
    cuts = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(counts)]
    for first, last in pairwise(cuts):
        count = int(counts[first]) if last > first else 0
        size = max(1, PAIR_BYTES // (8 * n_columns * max(1, count)))
        for start in range(first, last if count else first, size):
            stop = min(start + size, last)
            mine = slice(int(ends[start]) - count, int(ends[stop - 1]))
            rows = right(mine).astype(np.float64, copy=False).reshape(stop - start, count, n_columns)
            own = left[start:stop].astype(np.float64, copy=False)
            out = dots[mine].reshape(stop - start, count)
            for column in range(0, n_columns, _ONE_GO):
                some = slice(column, column + _ONE_GO)
                out += np.einsum("qkd,qd->qk", rows[..., some], own[:, some])
    return dots


def cosine_pairs(
    queries: NDArray, counts: NDArray[np.intp], rows: NDArray[np.intp], index: GalleryIndex
) -> NDArray[np.float64]:
    """Cosine distances of single pairs of unit rows, in float64, the same in every batch.

    Parameters
    ----------
    queries : ndarray of shape (n_queries, n_features)
    counts : ndarray of shape (n_queries,)
        Pairs of each query, which lie one after another.
    rows : ndarray of shape (n_pairs,)
        Rows of the index.
    """
    dots = run_dots(queries, counts, lambda some: index.take("unit", rows[some]))
    return np.clip(1.0 - dots, 0.0, 2.0)


def ranked_pairs(
    keys: tuple[NDArray, ...], serial: NDArray[np.intp], counts: NDArray[np.intp], ends: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Pairs of each query in the order of the last key, then of those before it, then of serial."""
    if not len(serial):
        return np.zeros((len(counts), 0), dtype=np.intp)
    everyone = np.arange(len(counts))
    start = (ends - counts)[:, None]
    if len(keys) == 1:
        table = padded(keys[0], ends, counts, everyone, np.inf)
        order = np.argsort(table, axis=1)
        table = np.take_along_axis(table, order, axis=1)
        inside = np.arange(1, table.shape[1]) < counts[:, None]
        if not np.any((table[:, 1:] == table[:, :-1]) & inside):
            return np.minimum(start + order, len(serial) - 1)
    order = np.lexsort((serial, *keys, np.repeat(everyone, counts)))
    places = np.minimum(start + np.arange(int(counts.max())), len(serial) - 1)
    return order[places]
