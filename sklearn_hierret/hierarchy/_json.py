"""Trees as JSON, the one format that keeps everything."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.hierarchy._nodes import Nodes, as_label_array, plain_value
from sklearn_hierret.hierarchy._sources import MARK, read_source, write_text

_FORMAT = "sklearn_hierret.ClassHierarchy/1"
_KEYS = ("classes", "parents", "heights", "node_names")


def nodes_from_json(source: Any) -> tuple[Nodes, str]:
    """Nodes and origin from JSON; see `ClassHierarchy.from_json`."""
    text, title = read_source(source, "JSON", is_json)
    try:
        tree = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"{title}{line}: this is no JSON ({error}).") from None
    if not isinstance(tree, dict) or tree.get("format") != _FORMAT:
        raise ValueError(f"{title}: this is no hierarchy as to_json writes it ('format': {_FORMAT!r}).")
    missing = [key for key in _KEYS if not isinstance(tree.get(key), list)]
    if missing:
        raise ValueError(f"{title}: {missing[0]!r} is missing or no list.")
    try:
        parents = np.array(tree["parents"], dtype=np.intp)
        heights = np.array(tree["heights"], dtype=np.float64)
        hash(tuple(tree["node_names"] + tree["classes"]))
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{title}: {error}") from None
    nodes = Nodes(as_label_array(tree["classes"]), parents, heights, tuple(tree["node_names"]))
    return nodes, tree.get("origin", "given")


def is_json(text: str) -> bool:
    """Tell JSON from a path."""
    return text.removeprefix(MARK).lstrip()[:1] in ("{", "[", '"')


def json_from_nodes(
    classes: NDArray,
    parents: NDArray[np.intp],
    heights: NDArray[np.float64],
    node_names: tuple[Hashable, ...],
    origin: str,
    path: Any,
) -> str:
    """JSON text; see `ClassHierarchy.to_json`."""
    names = [plain_value(name) for name in node_names]
    for value in [*classes.tolist(), *names]:
        if not isinstance(value, (str, int, float, bool)):
            raise ValueError(f"JSON holds text and numbers, not {value!r}.")
    values = [_FORMAT, classes.tolist(), parents.tolist(), heights.tolist(), names]
    tree = dict(zip(("format", *_KEYS), values, strict=True))
    if origin != "given":
        tree["origin"] = origin
    text = json.dumps(tree, ensure_ascii=False) + "\n"
    if not _is_text(text):
        text = json.dumps(tree) + "\n"
    if path is not None:
        write_text(text, path)
    return text


def _is_text(text: str) -> bool:
    """Tell whether UTF-8 can hold a text; names of files that are not UTF-8 are no text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
