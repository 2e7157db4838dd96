"""Where to search: masks of positions, labels of leaves, names of nodes, ids, positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.retrieval._samples import Samples


def mask_or_labels(within: ArrayLike, n_gallery: int, has_bool_classes: bool) -> NDArray:
    """Return a mask of positions, of dtype bool, or labels of leaves."""
    if isinstance(within, (set, frozenset)):
        within = list(within)
    chosen = np.asarray(within)
    if isinstance(within, (list, tuple)) and chosen.dtype.kind in "US" and chosen.ndim == 1:
        chosen = np.array(within, dtype=object)  # numbers beside names stay numbers
    is_mask = chosen.dtype == bool
    if chosen.dtype == object and chosen.size:  # of a DataFrame, say
        is_mask = all(isinstance(value, (bool, np.bool_)) for value in chosen.ravel())
    if not is_mask:
        return chosen
    if chosen.shape == (n_gallery,):
        return chosen.astype(bool)
    if has_bool_classes:
        return chosen.astype(object)  # the labels are False and True
    raise ValueError(f"A mask of shape {chosen.shape} for a gallery of {n_gallery} samples.")


def named_samples(within: Mapping, samples: Samples) -> NDArray[np.bool_]:
    """Return a mask of the samples that a mapping names by "ids" or by "positions".

    Raises
    ------
    ValueError
        For other keys, unknown ids, and positions that the gallery does not have.
    """
    if list(within) not in (["ids"], ["positions"]):
        raise ValueError(f"within takes {{'ids': ...}} or {{'positions': ...}}, got the keys {list(within)}.")
    mask, [(kind, values)] = np.zeros(len(samples), dtype=bool), within.items()
    if kind == "ids":
        mask[samples.positions_of(list(dict.fromkeys(_listed(values))))] = True
        return mask
    positions = np.asarray(_listed(values)) if _listed(values) else np.empty(0, dtype=np.intp)
    if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
        raise ValueError(
            f"Positions must be integers in one row, got {positions.dtype} of shape {positions.shape}."
        )
    positions = positions.astype(np.intp)
    if positions.size and not (positions.min() >= 0 and positions.max() < len(samples)):
        raise ValueError(f"Positions must be from 0 to {len(samples) - 1}, as the gallery has them.")
    mask[positions] = True
    return mask


def _listed(values: Any) -> list:
    """List values, none of which is rounded."""
    if isinstance(values, (set, frozenset, list, tuple, range)):
        return list(values)
    return np.atleast_1d(np.asarray(values)).tolist()


def classes_below(tree: Any, values: NDArray) -> NDArray:
    """Return classes, and those below inner nodes that are named instead."""
    classes = set(tree.classes.tolist())
    if not isinstance(tree, ClassHierarchy) or classes.issuperset(values.tolist()):
        return values
    inner = list(range(tree.n_classes, tree.n_nodes))
    number = {tree.node_names[node]: node for node in inner}
    repeated = len(number) < len(inner)
    chosen = []
    unknown = [value for value in values.tolist() if value not in classes and value not in number]
    if unknown:
        raise ValueError(f"Labels missing in the hierarchy, and no names of its nodes: {unknown[:10]}.")
    for value in values.tolist():
        if value in classes:
            chosen.append(np.array([value], dtype=tree.classes.dtype))
            continue
        if repeated and sum(tree.node_names[node] == value for node in inner) > 1:
            raise ValueError(f"Several nodes are called {value!r}: give the classes below one of them.")
        chosen.append(tree.members(number[value]))
    return np.concatenate(chosen)
