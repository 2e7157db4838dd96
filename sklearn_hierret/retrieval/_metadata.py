"""Columns beside a gallery's samples, which conditions are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_hierret._frames import as_frame, is_table
from sklearn_hierret._state import value
from sklearn_hierret.retrieval._columns import Column


@value("metadata")
@dataclass(frozen=True)
class Metadata:
    """A table by serial number, which grows as the gallery does.

    Attributes
    ----------
    names : tuple of str
    columns : tuple of Column
    """

    names: tuple[str, ...]
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: Any, n_rows: int) -> Metadata:
        """Copy a table of pandas, polars or Arrow, or a mapping from names to columns.

        Raises
        ------
        ValueError
            For another number of rows, and names that are repeated.
        TypeError
            For what is no table, and names that are no text.
        """
        if not is_table(table) and not isinstance(table, dict):
            raise TypeError(f"metadata must be a DataFrame or a dict of columns, got {type(table).__name__}.")
        try:
            frame = as_frame(table) if is_table(table) else pd.DataFrame(table)
        except ValueError as error:
            raise ValueError(f"metadata must have a value for each sample in each column: {error}") from None
        if len(frame) != n_rows:
            raise ValueError(f"{n_rows} samples, but {len(frame)} rows of metadata.")
        names = frame.columns.tolist()
        if not all(isinstance(name, str) for name in names):
            raise TypeError("Columns of metadata must have text as names.")
        if len(set(names)) < len(names):
            raise ValueError("Columns of metadata must have distinct names.")
        return cls(tuple(names), tuple(Column((column_values(frame[name]),)) for name in names))

    @classmethod
    def given(cls, table: Any, n_rows: int) -> Metadata | None:
        """Copy a table, if there is one; see `of`."""
        return None if table is None else cls.of(table, n_rows)

    def appended(self, other: Metadata) -> Metadata:
        """Add the rows of another table, which has the same columns in any order.

        Raises
        ------
        ValueError
            For other columns.
        """
        if set(other.names) != set(self.names):
            missing, more = set(self.names) - set(other.names), set(other.names) - set(self.names)
            raise ValueError(
                "New metadata must have the gallery's columns: "
                f"missing {sorted(missing)}, unknown {sorted(more)}."
            )
        of_name = dict(zip(other.names, other.columns, strict=True))
        columns = [
            _joined(column, of_name[name]) for name, column in zip(self.names, self.columns, strict=True)
        ]
        return Metadata(self.names, tuple(columns))

    def changed(self, rows: NDArray[np.intp], other: Metadata) -> Metadata:
        """Take the values of some rows from another table; columns that it lacks stay.

        Raises
        ------
        ValueError
            For columns that are not there.
        """
        unknown = sorted(set(other.names) - set(self.names))
        if unknown:
            raise ValueError(f"The metadata has no columns {unknown}: set_metadata(table) replaces it.")
        of_name = dict(zip(self.names, self.columns, strict=True))
        for name, column in zip(other.names, other.columns, strict=True):
            before = of_name[name].array
            new = _cast(name, column.array, before)
            values = before.astype(np.result_type(before.dtype, new.dtype))
            values[rows] = new
            of_name[name] = Column((values,))
        return Metadata(self.names, tuple(of_name.values()))

    def at(self, serials: NDArray[np.intp]) -> Metadata:
        """Take some rows."""
        return Metadata(self.names, tuple(Column((column.array[serials],)) for column in self.columns))

    def arrays(self, serials: NDArray[np.intp] | slice) -> dict[str, NDArray]:
        """Return the values of each column in some rows."""
        return {name: column.array[serials] for name, column in zip(self.names, self.columns, strict=True)}


def column_values(column: pd.Series) -> NDArray:
    """Copy a column: dates without a zone are dates, those with one are in UTC, text is objects."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if isinstance(column.dtype, (pd.CategoricalDtype, pd.StringDtype)):
        column = column.astype(object)
    return column.to_numpy(copy=True)


def _cast(name: str, values: NDArray, before: NDArray) -> NDArray:
    """Make values of the kind that a column has.

    Raises
    ------
    ValueError
        For values that are of another kind.
    """
    kind = before.dtype.kind
    if kind == "O":
        return values.astype(object)
    try:
        if kind == "M":
            return pd.to_datetime(pd.Series(values)).to_numpy().astype(before.dtype)
        if kind == "b" and values.dtype.kind != "b":
            raise ValueError
        return values if values.dtype.kind in "biuf" else values.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"The column {name!r} holds {before.dtype}, and {values.tolist()[:3]!r} cannot be put there: "
            "set_metadata(table) replaces it."
        ) from None


def _joined(column: Column, other: Column) -> Column:
    """Append a column; numbers and other things together are objects."""
    if column.array.dtype.kind == "M" and pd.isna(other.array).all():
        other = Column((np.full(len(other.array), "NaT", dtype=column.array.dtype),))
    kinds = {column.array.dtype.kind, other.array.dtype.kind}
    if len(kinds) > 1 and not kinds <= set("iufb") - {"b"}:
        column, other = (Column((part.array.astype(object),)) for part in (column, other))
    return column.appended(other.array)
