"""Neighbours of queries in a Dask array, block by block on its workers."""

from __future__ import annotations

from typing import Any

import numpy as np


def kneighbors_of_blocks(
    retriever: Any, dtype: np.dtype, X: Any, n_neighbors: int, within: Any
) -> tuple[Any, Any]:
    """Return Dask arrays of distances, in some dtype, and of indices, chunked as the queries are.

    The retriever is sent to each worker once.
    """
    import dask
    import dask.array as da

    if X.ndim != 2:
        raise ValueError(f"Expected a dask array of two dimensions, got {X.ndim}.")
    if X.shape[1] != retriever.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(retriever).__name__} is expecting "
            f"{retriever.n_features_in_} features as input."
        )
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    sent = dask.delayed(retriever, traverse=False)
    search = dask.delayed(_kneighbors, nout=2)
    parts = [search(sent, dtype, block, n_neighbors, within) for block in X.to_delayed().ravel()]

    def assembled(which: int, dtype: Any) -> Any:
        return da.concatenate(
            [
                da.from_delayed(part[which], shape=(rows, n_neighbors), dtype=dtype)
                for part, rows in zip(parts, X.chunks[0], strict=True)
            ],
            allow_unknown_chunksizes=True,
        )

    return assembled(0, dtype), assembled(1, np.intp)


def _kneighbors(retriever: Any, dtype: np.dtype, X: Any, n_neighbors: int, within: Any) -> Any:
    if not len(X):
        empty = np.empty((0, n_neighbors))
        return empty.astype(dtype), empty.astype(np.intp)
    return retriever.kneighbors(X, n_neighbors, within=within)
