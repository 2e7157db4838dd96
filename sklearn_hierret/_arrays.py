"""What every layer needs around arrays: dtypes, chunks, and fits that fail cleanly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray
from scipy.sparse import csr_array, csr_matrix
from sklearn import get_config
from sklearn.utils.validation import validate_data

from sklearn_hierret._frames import rows_of_column
from sklearn_hierret._sklearn import get_chunk_n_rows

#: Names of half and single precision.
SINGLE = {"float16", "float32", "halffloat[pyarrow]", "float[pyarrow]"}
#: Of the machine's memory that a fit may plan with.
MEMORY_SHARE = 0.5
#: Of features that need no conversion.
_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def feature_dtype(X: Any, wanted: Any = None) -> Any:
    """float32 for half and single precision features, float64 for everything else; or what is wanted.

    Raises
    ------
    TypeError
        For times and durations, which scikit-learn's checks would take for numbers.
    ValueError
        For images and paths.
    """
    _check_no_images(X)
    # Of a DataFrame its columns decide, whether they are NumPy's, pandas', Arrow's or polars'.
    is_frame = hasattr(X, "dtypes") and getattr(X, "ndim", 2) == 2
    dtypes = list(X.dtypes) if is_frame else [getattr(X, "dtype", None)]
    if any(getattr(dtype, "kind", None) in ("m", "M") for dtype in dtypes):
        raise TypeError("Features must be numbers, got times or durations.")
    if wanted is not None:
        return wanted
    names = {str(getattr(dtype, "name", dtype)).rpartition(".")[2].lower() for dtype in dtypes}
    return np.float32 if names and names <= SINGLE else np.float64


def _check_no_images(X: Any) -> None:
    """Raise a ValueError for images and paths in place of features."""
    first = X[0] if isinstance(X, (list, tuple)) and len(X) else None
    if isinstance(X, (np.ndarray, pd.Series)) and X.ndim == 1 and len(X):
        first = X[0] if isinstance(X, np.ndarray) else X.iloc[0]
    ndim = getattr(X, "ndim", None)
    what = None
    if isinstance(ndim, int) and ndim > 2:
        what = f"an array with dim {ndim}, of shape {tuple(X.shape)}; are these images?"
    elif isinstance(first, (str, os.PathLike)):
        what = f"text such as {str(first)!r}; are these paths of images?"
    elif hasattr(first, "convert") and hasattr(first, "mode"):
        what = "images of pillow."
    if what is not None:
        raise ValueError(
            f"X must hold features, one row a sample, and is {what} FrozenFeatureExtractor and "
            "CNNFeatureExtractor of sklearn_hierret.nn make features of images, in a Pipeline before this."
        )


def checked_rows(estimator: Any, X: Any, dtype: Any = None) -> NDArray:
    """Check features for a fitted estimator, in some dtype or in that which suits them."""
    # What scikit-learn checks takes a fifth of the time of a search for one query.
    is_plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype in _FLOATS and len(X) > 0
    if is_plain and not hasattr(estimator, "feature_names_in_") and X.shape[1] == estimator.n_features_in_:
        rows = np.ascontiguousarray(X, dtype=dtype)
        with np.errstate(all="ignore"):
            is_finite = np.isfinite(rows.sum())
        if is_finite:
            return rows
    X = rows_of_column(X)
    return validate_data(estimator, X, dtype=feature_dtype(X, dtype), order="C", reset=False)


def plain_labels(labels: Any) -> Any:
    """Return pandas' nullable integers and booleans as NumPy's, which scikit-learn would make floats of.

    All other labels stay as they are, and so do those some of which are missing.
    """
    if isinstance(labels, pd.DataFrame):
        if labels.shape[1] != 1:
            return labels
        plain = plain_labels(labels.iloc[:, 0])
        return labels if isinstance(plain, pd.Series) else plain[:, None]
    if not isinstance(labels, (pd.Series, pd.Index, ExtensionArray)) or isinstance(labels.dtype, np.dtype):
        return labels
    name = str(labels.dtype).lower()
    if not name.startswith(("int", "uint", "bool")) or pd.isna(labels).any():
        return labels
    kind = bool if name.startswith("bool") else np.uint64 if name.startswith("u") else np.int64
    return labels.to_numpy(dtype=kind)


def places_in(known: NDArray, values: NDArray) -> NDArray[np.intp]:
    """Return where each value stands in an unsorted array, first if several times; -1 where it does not."""
    if not len(known):
        return np.full(len(values), -1, dtype=np.intp)
    order = np.argsort(known, kind="stable")
    place = order[np.minimum(np.searchsorted(known, values, sorter=order), len(order) - 1)]
    return np.where(known[place] == values, place, -1)


def check_none_missing(values: NDArray, what: str) -> None:
    """Raise a ValueError if there is a NaN, NaT or None."""
    if pd.isna(values).any():
        raise ValueError(f"Some {what} are missing (NaN, NaT or None): leave those samples out.")


def check_two_classes(classes: NDArray) -> None:
    """Raise a ValueError if there is only one class."""
    if len(classes) < 2:
        raise ValueError(f"At least two classes are needed, got one class: {classes.tolist()[0]!r}.")


def check_nested(estimator: Any, params: dict, name: str, remedy: str) -> None:
    """Raise a ValueError if ``name__...`` is to be set and there is nothing to set it on."""
    nested = [key for key in params if key.startswith(f"{name}__")]
    target = params.get(name, getattr(estimator, name))
    if nested and not hasattr(target, "set_params"):
        raise ValueError(f"{nested[0]!r} cannot be set, since {name} is {target!r}: pass {remedy}.")


def check_positive_integer(value: Any, name: str) -> None:
    """Raise a ValueError unless `value` is an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")


def check_memory_share(n_bytes: int, what: str, remedy: str) -> None:
    """Raise a MemoryError if something needs more than half of the machine's memory.

    Nothing is raised where the machine does not tell how much it has.
    """
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return
    if n_bytes > MEMORY_SHARE * there:
        raise MemoryError(
            f"{what} would take about {n_bytes / 1e9:.1f} GB, more than {MEMORY_SHARE:.0%} of the "
            f"{there / 1e9:.1f} GB of this machine: {remedy}"
        )


def check_same_kind(labels: NDArray, others: NDArray, name: str, other_name: str) -> None:
    """Raise a ValueError if two label arrays are of kinds that never match: text, bytes and others."""
    kinds = {_kind(labels), _kind(others)}
    if len(kinds) == 2 and None not in kinds:
        words = " and ".join(kind for kind in ("text", "bytes", "numbers") if kind in kinds)
        raise ValueError(f"{name} are {labels.dtype} and {other_name} {others.dtype}: {words} never match.")


def _kind(labels: NDArray) -> str | None:
    """Return what labels are; None for objects that are mixed."""
    if labels.dtype.kind != "O":
        return {"U": "text", "S": "bytes"}.get(labels.dtype.kind, "numbers")
    names = {
        "text" if isinstance(label, str) else "bytes" if isinstance(label, bytes) else "numbers"
        for label in labels.ravel()[:1000].tolist()
    }
    return names.pop() if len(names) == 1 else None


def row_chunks(n_rows: int, row_bytes: int, at_most: float = np.inf) -> Iterator[slice]:
    """Slices of rows that need at most scikit-learn's ``working_memory`` each, or `at_most` MiB."""
    if n_rows:
        memory = min(at_most, get_config()["working_memory"])
        size = get_chunk_n_rows(max(1, int(row_bytes)), max_n_rows=n_rows, working_memory=memory)
        for start in range(0, n_rows, size):
            yield slice(start, min(n_rows, start + size))


def rows_of(X: Any, rows: slice, n_rows: int) -> Any:
    """Take rows of an array or a frame of `n_rows` rows; all of them are X as it is."""
    if rows == slice(0, n_rows):
        return X
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def neighbor_graph(
    weights: NDArray, indices: NDArray[np.intp], n_columns: int, counts: NDArray[np.intp] | None = None
) -> Any:
    """Make the sparse graph of neighbours, (n_rows, n_columns), as scikit-learn's transformer returns it.

    Numbers of columns are 32-bit integers where they fit: some programs take no others.

    Parameters
    ----------
    weights : ndarray of shape (n_rows, k)
    indices : ndarray of shape (n_rows, k)
    n_columns : int
    counts : ndarray of shape (n_rows,), optional
        Neighbours of each row, of which weights and indices are in one piece then; default: k of each.
    """
    if counts is None:
        counts = np.full(len(indices), indices.shape[1])
    dtype = np.int32 if max(indices.size, n_columns) <= np.iinfo(np.int32).max else np.int64
    kind = csr_array if get_config().get("sparse_interface") == "sparray" else csr_matrix
    starts = np.append(0, np.cumsum(counts)).astype(dtype)
    return kind((weights.ravel(), indices.ravel().astype(dtype), starts), shape=(len(counts), n_columns))


def few_rows(n_rows: int, n_columns: int, n_bytes: int = 1 << 20) -> Iterator[slice]:
    """Slices of rows that take so many bytes in float64, by default few enough to stay in the caches."""
    size = max(1, n_bytes // (8 * max(1, n_columns)))
    for start in range(0, n_rows, size):
        yield slice(start, min(n_rows, start + size))


def without_own(
    own: NDArray[np.intp], distances: NDArray, indices: NDArray[np.intp]
) -> tuple[NDArray, NDArray[np.intp]]:
    """Neighbours of each row without its own number, or without the last."""
    is_other = indices != own[:, None]
    is_other[is_other.all(axis=1), -1] = False
    shape = len(indices), indices.shape[1] - 1
    return distances[is_other].reshape(shape), indices[is_other].reshape(shape)


def unit_rows(X: NDArray) -> tuple[NDArray, NDArray[np.float64]]:
    """Rows divided by their norms, and the norms; zero rows stay zero.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64

    Returns
    -------
    unit : ndarray of shape (n_samples, n_features), in the dtype of `X`
    norms : ndarray of shape (n_samples,)
    """
    unit = np.empty(X.shape, dtype=X.dtype)
    norms = np.empty(len(X))
    for rows in few_rows(len(X), X.shape[1]):
        # Scaled by the largest entry first, so that squares neither overflow nor vanish.
        values = X[rows].astype(np.float64)
        scale = np.abs(values).max(axis=1)
        values /= np.where(scale > 0, scale, 1.0)[:, None]
        length = np.sqrt(np.einsum("ij,ij->i", values, values))
        values /= np.where(length > 0, length, 1.0)[:, None]
        unit[rows] = values
        norms[rows] = length * scale
    return unit, norms


@contextmanager
def unchanged_on_error(estimator: Any) -> Iterator[None]:
    """Give an estimator its old attributes back if its fit fails half-way."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
