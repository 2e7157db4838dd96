"""FAISS, for codes without leaves; the results are those of `search`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._sklearn import get_chunk_n_rows
from sklearn_hierret.search._index import Index, Segment

#: How many times as many codes FAISS is asked for as are wanted.
DEEPER = 4


def require_faiss() -> None:
    """Raise an ImportError that says how to install FAISS, if it is missing."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        raise ImportError("backend='faiss' needs FAISS: python -m pip install faiss-cpu") from None


def search_by_faiss(
    queries: NDArray[np.uint8],
    index: Index,
    n_neighbors: int,
    search: Callable[..., tuple[NDArray, NDArray[np.intp]]],
    *,
    own_row: NDArray[np.intp] | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Ask FAISS for more codes than wanted, so that none that ties with the k-th is missing, and sort them.

    Where more codes than that are tied, or not all rows are allowed, the function `search` is asked. The
    other arguments, and the results, are those of `search`.
    """
    require_faiss()
    depth = DEEPER * (n_neighbors + 1)
    if allowed is not None or len(index.segments) > 1 or depth >= len(index):
        return search(queries, n_neighbors, own_row=own_row, allowed=allowed)
    other, serial = _faiss_index(index.segments[0]), index.serial
    distances = np.empty((len(queries), n_neighbors))
    serials = np.empty((len(queries), n_neighbors), dtype=np.intp)
    n_rows = get_chunk_n_rows(100 * depth)
    for start in range(0, len(queries), n_rows):
        subset = np.arange(start, min(start + n_rows, len(queries)))
        counts, rows = other.search(queries[subset], depth)
        counts = counts.astype(np.int64)
        # Of the codes at the last distance some may be missing; the query itself may be one.
        is_whole = counts[:, -1] > counts[:, n_neighbors]
        if own_row is not None:
            counts[rows == own_row[subset, None]] = 8 * queries.shape[1] + 1
        order = np.lexsort((serial[rows], counts), axis=1)[:, :n_neighbors]
        distances[subset] = np.take_along_axis(counts, order, axis=1) / (8 * queries.shape[1])
        serials[subset] = serial[np.take_along_axis(rows, order, axis=1)]
        tied = subset[~is_whole]
        if len(tied):
            own = None if own_row is None else own_row[tied]
            distances[tied], serials[tied] = search(queries[tied], n_neighbors, own_row=own)
    return distances, serials


#: Indexes that were made; they go with their segments.
_MADE: WeakKeyDictionary[Segment, Any] = WeakKeyDictionary()


def _faiss_index(segment: Segment) -> Any:
    """Put the same codes into a FAISS index."""
    if segment not in _MADE:
        from faiss import IndexBinaryFlat

        codes = segment.rows.queries(np.arange(len(segment)))
        index: Any = IndexBinaryFlat(8 * codes.shape[1])
        # Counting, for what it finds need not be sorted again.
        index.use_heap = False
        index.add(codes)
        _MADE[segment] = index
    return _MADE[segment]
