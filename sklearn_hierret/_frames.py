"""Tables of pandas, polars and Arrow: one way in, one way out.

polars and Arrow hand out their columns as lists, without further packages: their ``to_pandas`` needs
pyarrow, and narwhals comes with scikit-learn from version 1.9 on only.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from sklearn import config_context, get_config

Function = TypeVar("Function", bound=Callable)


def is_table(source: Any) -> bool:
    """Tell whether something is a table with named columns, of whatever package."""
    return isinstance(source, pd.DataFrame) or hasattr(source, "to_pydict") or _is_polars(source)


def as_frame(table: Any) -> pd.DataFrame:
    """Return a table as a pandas DataFrame; those of pandas stay as they are.

    Raises
    ------
    TypeError
        If it is no table.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if hasattr(table, "collect") and hasattr(table, "lazy"):  # a LazyFrame of polars
        table = table.collect()
    if hasattr(table, "to_pydict"):
        columns = table.to_pydict()
    elif _is_polars(table):
        columns = table.to_dict(as_series=False)
    else:
        raise TypeError(
            f"A DataFrame is expected, of pandas, polars or Arrow, got {type(table).__name__}: "
            "pandas.DataFrame(...) makes one of most things."
        )
    # With None among them, integers stay Python's.
    return pd.DataFrame(
        {
            name: pd.Series(values, dtype=object if None in values and _are_integers(values) else None)
            for name, values in columns.items()
        }
    )


def _are_integers(values: list) -> bool:
    return all(value is None or isinstance(value, int) for value in values)


def as_list(column: Any) -> Any:
    """Return a column of a table, of any package, as a list; everything else stays as it is."""
    if is_table(column) and not isinstance(column, pd.DataFrame):
        column = as_frame(column)
    if isinstance(column, pd.DataFrame):
        return column.iloc[:, 0].tolist() if column.shape[1] == 1 else column
    for method in ("to_list", "to_pylist"):
        if hasattr(column, method):
            return getattr(column, method)()
    return column


def rows_of_column(X: Any) -> Any:
    """Return a column of vectors, of pandas, polars or Arrow, as a matrix; everything else stays as it is.

    Fixed-size lists of Arrow and arrays of polars are not copied where they lie in one piece.

    Raises
    ------
    ValueError
        For vectors of several lengths, or missing ones.
    """
    if isinstance(X, pd.DataFrame) and X.shape[1] == 1:
        column = X.iloc[:, 0]
        rows = rows_of_column(column) if column.dtype == object or _is_of_arrow(column.dtype) else column
        return X if rows is column else rows
    is_column = hasattr(X, "to_numpy") and getattr(X, "ndim", 1) == 1 and hasattr(X, "__len__")
    if isinstance(X, np.ndarray) or not is_column or is_table(X) or not len(X):
        return X
    if hasattr(X, "null_count") and hasattr(X, "type"):  # an array of Arrow
        piece = X.combine_chunks() if hasattr(X, "chunks") else X
        if hasattr(X.type, "list_size") and not X.null_count:
            return piece.flatten().to_numpy(zero_copy_only=False).reshape(len(X), X.type.list_size)
        values = piece.to_numpy(zero_copy_only=False)
    else:
        values = X.to_numpy()
    if values.ndim == 2 or values.dtype != object or isinstance(values[0], str):
        return values if values.ndim == 2 else X
    are_vectors = [hasattr(value, "__len__") for value in values]
    if not any(are_vectors):
        return X
    if not all(are_vectors):
        raise ValueError(f"The vector of row {are_vectors.index(False)} is missing: leave such rows out.")
    if len({len(value) for value in values}) > 1:
        raise ValueError("A column of vectors must have vectors of one length.")
    return np.stack([np.asarray(value) for value in values])


def _is_of_arrow(dtype: Any) -> bool:
    return isinstance(dtype, pd.ArrowDtype) if hasattr(pd, "ArrowDtype") else False


def tabular(function: Function) -> Function:
    """Let a function that makes a table of pandas return what the configuration of scikit-learn asks for.

    That is a table of polars under ``sklearn.set_config(transform_output="polars")``.
    """

    @functools.wraps(function)
    def wrapped(*args: Any, **params: Any) -> Any:
        wanted = get_config()["transform_output"]
        with config_context(transform_output="default"):  # what is called inside works with pandas
            frame = function(*args, **params)
        return as_polars(frame) if wanted == "polars" else frame

    return wrapped  # type: ignore[return-value]


def as_polars(frame: pd.DataFrame) -> Any:
    """Return a table of pandas as one of polars; what is missing is null, numbers beside text are text."""
    polars = importlib.import_module("polars")
    return polars.DataFrame(
        {str(name): [_plain(value) for value in frame[name].tolist()] for name in frame.columns},
        strict=False,
    )


def _plain(value: Any) -> Any:
    """Return None for what is missing, and lists for arrays."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return list(value)
    return None if value is pd.NA or value is pd.NaT or value != value else value


def _is_polars(table: Any) -> bool:
    return type(table).__module__.partition(".")[0] == "polars" and hasattr(table, "columns")
