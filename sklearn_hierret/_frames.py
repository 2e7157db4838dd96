"""Tables of pandas, polars and Arrow: one way in, one way out.

polars and Arrow hand out their columns as lists, without further packages: their ``to_pandas`` needs
pyarrow, and narwhals comes with scikit-learn from version 1.9 on only.
"""

from __future__ import annotations

import importlib
from typing import Any

import pandas as pd
from sklearn import get_config


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
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    return frame.infer_objects()


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


def returned(frame: pd.DataFrame) -> Any:
    """Return a table as ``sklearn.set_config(transform_output="polars")`` asks for it, or as it is."""
    if get_config()["transform_output"] != "polars":
        return frame
    polars = importlib.import_module("polars")
    return polars.DataFrame(
        {str(name): [_plain(value) for value in frame[name].tolist()] for name in frame.columns},
        strict=False,
    )


def _plain(value: Any) -> Any:
    """Return None for what is missing."""
    return None if value is None or value is pd.NA or value is pd.NaT else value


def _is_polars(table: Any) -> bool:
    return type(table).__module__.partition(".")[0] == "polars" and hasattr(table, "columns")
