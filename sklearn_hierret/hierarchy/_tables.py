"""Trees as tables: clusters level by level, and data frames from coarse to fine."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Sequence
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._frames import as_frame
from sklearn_hierret._names import is_blank
from sklearn_hierret.hierarchy._nodes import (
    Nodes,
    as_label_array,
    number_nodes,
    plain_value,
    shorten,
    sorted_labels,
)
from sklearn_hierret.hierarchy._sources import name_of, read_text


def nodes_from_levels(levels: ArrayLike, classes: ArrayLike | None, heights: ArrayLike | None) -> Nodes:
    """Nodes from an array of clusters; see `ClassHierarchy.from_levels`."""
    levels = np.asarray(levels)
    if levels.ndim != 2 or len(levels) < 2:
        raise ValueError(f"levels must have shape (n_levels >= 2, n_classes), got {levels.shape}.")
    n_levels, n_classes = levels.shape
    labels = np.arange(n_classes) if classes is None else as_label_array(classes)  # type: ignore[arg-type]
    if len(labels) != n_classes:
        raise ValueError(f"levels has {n_classes} columns, but there are {len(labels)} classes.")
    level_heights = np.arange(n_levels, dtype=float) if heights is None else np.asarray(heights, dtype=float)
    if level_heights.shape != (n_levels,):
        raise ValueError(f"levels has {n_levels} rows, but heights has shape {level_heights.shape}.")
    if len(np.unique(levels[0])) < n_classes:
        raise ValueError("The first row of levels must separate all classes.")
    if len(np.unique(levels[-1])) > 1:
        raise ValueError("The last row of levels must hold all classes in one cluster (the root).")
    parent: dict[Hashable, Hashable] = {}
    node_height: dict[Hashable, float] = dict.fromkeys(range(n_classes), 0.0)
    node_of_class: list[Hashable] = list(range(n_classes))
    for level in range(1, n_levels):
        finer, coarser = levels[level - 1], levels[level]
        _, first, members_of = np.unique(coarser, return_index=True, return_inverse=True)
        pairs = np.unique(np.stack([members_of, np.unique(finer, return_inverse=True)[1]]), axis=1)
        if pairs.shape[1] > len(np.unique(finer)):
            raise ValueError(f"Row {level} of levels splits a cluster of row {level - 1}.")
        joined = np.bincount(pairs[0]) > 1
        if level == n_levels - 1 and not parent:
            joined[:] = True  # a single class has a root, too
        for cluster in np.flatnonzero(joined).tolist():
            node = ("cluster", level, int(first[cluster]))
            node_height[node] = float(level_heights[level])
            for i in np.flatnonzero(members_of == cluster).tolist():
                parent[node_of_class[i]] = node
                node_of_class[i] = node
    inner = [node for node in node_height if isinstance(node, tuple)]
    names = {node: f"level {node[1]}, cluster of {labels[node[2]]}" for node in inner}
    return number_nodes(parent, list(range(n_classes)), labels, node_height, names)


def nodes_from_frame(table: Any) -> Nodes:
    """Nodes from a DataFrame, one row a class; see `ClassHierarchy.from_frame`."""
    frame = as_frame(table)
    rows = [tuple(row) for row in frame.astype(object).itertuples(index=False, name=None)]
    if not rows or not frame.shape[1]:
        raise ValueError("The frame has no row, or no column: one row a class is expected.")
    missing = frame.isna().to_numpy() | np.array([[is_blank(value) for value in row] for row in rows])
    if missing[:, -1].any():
        raise ValueError(f"Row {int(np.flatnonzero(missing[:, -1])[0])} has no class in the last column.")
    paths_of: dict[Hashable, dict[tuple, list[int]]] = {}
    for number, (row, gaps) in enumerate(zip(rows, missing, strict=True)):
        path = tuple((i, plain_value(v)) for i, v in enumerate(row[:-1]) if not gaps[i])
        paths_of.setdefault(plain_value(row[-1]), {}).setdefault(path, []).append(number)
    _check_one_path(paths_of, rows)
    path_of = {label: next(iter(paths)) for label, paths in paths_of.items()}
    parent: dict[Hashable, Hashable] = {}
    for path in path_of.values():
        for depth in range(len(path), 0, -1):
            parent[path[:depth]] = path[: depth - 1]
    labels = sorted_labels(path_of)
    # Leaves are numbered, inner nodes are their paths: a class may share a name with one.
    parent.update({i: path_of[label] for i, label in enumerate(labels)})
    inner = {node for node in [*parent, ()] if isinstance(node, tuple)}
    names = {node: node[-1][1] if node else "root" for node in inner}
    return number_nodes(parent, list(range(len(labels))), as_label_array(labels), None, names)


def nodes_from_csv(source: Any, columns: Sequence[Any] | None, sep: str) -> Nodes:
    """Nodes from a text table with a header; see `ClassHierarchy.from_csv`."""
    title = name_of(source)
    try:
        lines = [row for row in csv.reader(StringIO(read_text(source)), delimiter=sep, strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"{title}: this is no table ({error}).") from None
    if not lines:
        raise ValueError(f"{title}: this is no table, it is empty.")
    header = [cell.strip() for cell in lines[0]]
    for number, row in enumerate(lines[1:], start=1):
        if len(row) != len(header):
            raise ValueError(f"{title}, row {number}: {len(row)} cells below {len(header)} columns.")
    rows = [[cell.strip() for cell in row] for row in lines[1:]]
    frame = pd.DataFrame(rows, columns=header, dtype=object)
    if columns is not None:
        if not len(columns):
            raise ValueError("columns must name one column at least, that of the classes.")
        absent = [name for name in columns if name not in frame.columns]
        if absent:
            raise ValueError(
                f"{title} has no columns {shorten(absent)}; it has {shorten(list(frame.columns))}."
            )
        frame = frame[list(columns)]
    try:
        return nodes_from_frame(frame)
    except ValueError as error:
        raise ValueError(f"{title}: {error}") from None


def _check_one_path(paths_of: dict[Hashable, dict[tuple, list[int]]], rows: list[tuple]) -> None:
    """Raise a ValueError that names the classes below several paths, with the rows of each path."""
    several = {label: paths for label, paths in paths_of.items() if len(paths) > 1}
    if not several:
        return
    shown = [
        f"{label!r} "
        + ", ".join(
            f"below {' / '.join(str(v) for _, v in path) or 'the root'} in {_rows(numbers)}"
            for path, numbers in paths.items()
        )
        for label, paths in list(several.items())[:10]
    ]
    more = f"; {len(several)} classes in all" if len(several) > 10 else ""
    first = [row[0] for row in rows]
    is_reversed = len(rows[0]) > 1 and len(set(first)) == len(set(rows)) > len({row[-1] for row in rows})
    advice = " The columns seem to be fine to coarse: reverse them." if is_reversed else ""
    raise ValueError(f"Classes occur below two different paths: {'; '.join(shown)}{more}.{advice}")


def _rows(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return f"row{'s' if len(numbers) > 1 else ''} {shown}"


def frame_from_nodes(parents: NDArray[np.intp], node_names: tuple[Hashable, ...], classes: NDArray) -> Any:
    """DataFrame of the way from the root (left out) to each class, left-aligned."""
    above = parents.tolist()
    paths = []
    for leaf in range(len(classes)):
        path, node = [], above[leaf]
        while above[node] != -1:
            path.append(node_names[node])
            node = above[node]
        paths.append(path[::-1])
    width = max(len(path) for path in paths)
    columns = [f"level_{i}" for i in range(width)]
    # A class that is less deep has its missing levels next to itself.
    padded = [path + [None] * (width - len(path)) for path in paths]
    frame = pd.DataFrame(padded, columns=columns, dtype=object)
    frame["class"] = classes
    return frame
