"""Conditions on the metadata of a gallery, as text: parsed against a whitelist, never run as code."""

from __future__ import annotations

import ast
import datetime
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_COMPARISONS: dict[type, Callable] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
#: Longer conditions, or deeper ones, are none that a person wrote.
MOST_CHARACTERS, MOST_PARTS = 10_000, 2_000
_QUOTED = re.compile(r"`([^`]*)`|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'", flags=re.DOTALL)


def holds(text: str, columns: Mapping[str, NDArray], n_rows: int) -> NDArray[np.bool_]:
    """Tell which rows a condition holds for.

    Parameters
    ----------
    text : str
        Comparisons of columns with constants or with each other, ``in`` and ``not in`` included, joined by
        ``and``, ``or`` and ``not``. A name that is no Python name stands in backticks. A missing value
        fulfils no comparison.
    columns : mapping from name to ndarray of shape (n_rows,)
    n_rows : int

    Returns
    -------
    mask : ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        For text that is no such condition, and for unknown columns; close names are suggested.
    TypeError
        For values that cannot be compared.
    """
    return _Condition(text, columns, n_rows).mask()


def known_column(name: str, columns: Mapping[str, NDArray]) -> NDArray:
    """Return a column, or raise a ValueError that suggests names."""
    if name not in columns:
        near = get_close_matches(str(name), list(columns), n=3)
        hint = f": perhaps {' or '.join(map(repr, near))}" if near else f", of {list(columns)[:10]}"
        raise ValueError(f"No column of the metadata is called {name!r}{hint}.")
    return columns[name]


class _Condition:
    """A parsed condition, and the columns that it is about."""

    def __init__(self, text: str, columns: Mapping[str, NDArray], n_rows: int) -> None:
        if not isinstance(text, str):
            raise TypeError(f'where must be text such as "price < 20", got {type(text).__name__}.')
        self.text, self.columns, self.n_rows = text, columns, n_rows
        self.names: dict[str, str] = {}

    def mask(self) -> NDArray[np.bool_]:
        """Work it out."""
        if len(self.text) > MOST_CHARACTERS:
            raise self._refused(f"it has more than {MOST_CHARACTERS} characters")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd escapes and comparisons
                tree = ast.parse(_QUOTED.sub(self._named, self.text).strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._refused("it cannot be parsed") from None
        if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
            raise self._refused(f"it has more than {MOST_PARTS} parts")
        try:
            return self._truth(tree.body)
        except RecursionError:
            raise self._refused("its parts lie too deep in one another") from None

    def _named(self, match: re.Match) -> str:
        """Give a name in backticks a name that Python parses."""
        if match[1] is None:
            return match[0]
        name = f"_quoted_{len(self.names)}_"
        self.names[name] = match[1]
        return name

    def _truth(self, node: ast.AST) -> NDArray[np.bool_]:
        if isinstance(node, ast.BoolOp):
            joined = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return joined.reduce([self._truth(part) for part in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._truth(node.operand)
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
            found = [
                self._compared(left, op, right)
                for left, op, right in zip(parts, node.ops, parts[1:], strict=False)
            ]
            return np.logical_and.reduce(found)
        if isinstance(node, ast.Name):
            values = self._value(node)
            if values.dtype == bool:
                return values
            raise self._refused(f"the column {self._name(node)!r} is not true or false: compare it")
        raise self._refused(f"{ast.unparse(node)[:60]!r} is no comparison")

    def _compared(self, left: ast.AST, op: ast.cmpop, right: ast.AST) -> NDArray[np.bool_]:
        one = self._value(left)
        if isinstance(op, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.List, ast.Tuple, ast.Set)):
                raise self._refused("`in` needs a list such as ('a', 'b')")
            found = np.zeros(self.n_rows, dtype=bool)
            for element in right.elts:
                found |= self._by(operator.eq, one, self._value(element))
            return found if isinstance(op, ast.In) else ~found & ~self._missing(one)
        if type(op) not in _COMPARISONS:
            raise self._refused(f"{type(op).__name__!r} is none of its comparisons")
        return self._by(_COMPARISONS[type(op)], one, self._value(right))

    def _by(self, compare: Callable, one: Any, other: Any) -> NDArray[np.bool_]:
        try:
            one, other = _as_dates(one, other), _as_dates(other, one)
        except ValueError:
            text = next(side for side in (one, other) if isinstance(side, str))
            raise self._refused(f"{text[:60]!r} is no date") from None
        is_there = ~(self._missing(one) | self._missing(other))
        result = np.zeros(self.n_rows, dtype=bool)
        sides = [np.broadcast_to(np.asarray(side), (self.n_rows,))[is_there] for side in (one, other)]
        if not is_there.any():
            return result
        if compare not in (operator.eq, operator.ne) and len({_kind(side) for side in sides}) > 1:
            kinds = " and ".join(_kind(side) for side in sides)
            raise TypeError(f"where={self.text[:200]!r} compares {kinds} by order.")
        try:
            result[is_there] = compare(*sides)
        except TypeError:
            raise TypeError(f"where={self.text[:200]!r} compares values that have no order.") from None
        return result

    def _missing(self, values: Any) -> NDArray[np.bool_]:
        return np.broadcast_to(np.asarray(pd.isna(values)), (self.n_rows,))

    def _value(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name):
            return known_column(self._name(node), self.columns)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            value = self._value(node.operand)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool)):
            return node.value
        raise self._refused(f"{ast.unparse(node)[:60]!r} is no column and no constant")

    def _name(self, node: ast.Name) -> str:
        return self.names.get(node.id, node.id)

    def _refused(self, reason: str) -> ValueError:
        return ValueError(
            f"where={self.text[:200]!r} is no condition: {reason}. Conditions compare columns with "
            "constants, such as \"price < 20 and brand in ('x', 'y')\"."
        )


def _kind(values: NDArray) -> str:
    """Say what values are that have an order among themselves."""
    if values.dtype.kind in "biuf":
        return "numbers"
    if values.dtype.kind in "US":
        return "text"
    if values.dtype.kind == "M":
        return "dates"
    if isinstance(values[0], (int, float, np.number)):
        return "numbers"
    return "text" if isinstance(values[0], str) else "others"


def _as_dates(value: Any, beside: Any) -> Any:
    """Read text beside dates as a date."""
    is_date = isinstance(beside, np.ndarray) and beside.dtype.kind == "M"
    if is_date and isinstance(value, (str, datetime.date)):
        return np.datetime64(pd.Timestamp(value))
    return value
