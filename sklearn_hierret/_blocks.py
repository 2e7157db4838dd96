"""Statistics of Dask arrays, block by block on the workers."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from sklearn_hierret._arrays import feature_dtype

#: Blocks whose statistics are merged by one task.
FAN_IN = 8


def is_dask(X: Any) -> bool:
    """Whether X is a Dask array; Dask is not imported for the question."""
    return type(X).__module__.partition(".")[0] == "dask" and hasattr(X, "to_delayed")


def statistics_of_blocks(X: Any, y: Any, of_block: Callable, *args: Any) -> Any:
    """Statistics of a Dask array, merged in a tree on the workers.

    Parameters
    ----------
    X : dask array of shape (n_samples, n_features)
        Chunked by rows; columns are put together.
    y : dask array or array-like of shape (n_samples,)
    of_block : callable
        ``of_block(X, y, *args)`` gives the statistics of some samples, which have a method
        ``merge(other)`` that changes neither.
    *args
        Passed to `of_block`.
    """
    import dask
    import dask.array as da

    if X.ndim != 2:
        raise ValueError(f"Expected a dask array of two dimensions, got {X.ndim}.")
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    if not is_dask(y):
        y = da.from_array(np.asarray(y))
    if not _unknown(X, y) and y.shape[0] != X.shape[0]:
        raise ValueError(f"{X.shape[0]} samples, but {y.shape[0]} labels.")
    if y.numblocks[0] != X.numblocks[0] or (y.chunks[0] != X.chunks[0] and not _unknown(X, y)):
        y = y.rechunk((X.chunks[0],))
    checked, merge = dask.delayed(_checked), dask.delayed(_merged)
    blocks = zip(X.to_delayed().ravel(), y.to_delayed().ravel(), strict=True)
    parts = [checked(x, labels, of_block, args) for x, labels in blocks]
    while len(parts) > 1:
        parts = [merge(parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
    result = parts[0].compute()
    if result is None:
        raise ValueError("The dask array has no samples.")
    return result


def _unknown(*arrays: Any) -> bool:
    return any(np.isnan(size) for array in arrays for size in array.chunks[0])


def _checked(X: Any, y: Any, of_block: Callable, args: tuple) -> Any:
    X = np.ascontiguousarray(X, dtype=feature_dtype(X))
    y = np.asarray(y)
    if len(X) != len(y):
        raise ValueError(f"A block has {len(X)} samples and {len(y)} labels.")
    if not np.all(np.isfinite(X.sum(dtype=np.float64))) and not np.all(np.isfinite(X)):
        raise ValueError("Input X contains NaN or infinity.")
    return of_block(X, y, *args) if len(X) else None


def _merged(parts: list) -> Any:
    subset = [part for part in parts if part is not None]
    return reduce(lambda one, other: one.merge(other), subset) if subset else None
