"""The description of a saved network, which is not trusted: only what `save` writes is accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy

FORMAT = "sklearn_hierret.CNNFeatureExtractor/1"
#: Parameters that the network is made of.
PARTS = ("backbone", "pooling", "loss")
#: Parameters that are sizes of weights, too.
SIZES = ("n_bits", "n_hidden")
#: Bounds of what a description may ask for: a side of an image, its numbers, letters of a label, a batch.
MOST_SIDE, MOST_PIXELS, MOST_LETTERS, MOST_NUMBER = 1 << 14, 1 << 27, 1 << 12, 1 << 24
_KINDS: dict[str, Any] = {
    "class": str,
    "versions": dict,
    "parameters": dict,
    "not_saved": dict,
    "hierarchy": (dict, type(None)),
    "classes": list,
    "cluster_classes": (list, type(None)),
    "dtype_of_classes": str,
    "image_shape": list,
    "image_statistics": list,
}


def read_description(path: Path, cls: Any, largest: int) -> dict[str, Any]:
    """Check what a file says, and return it in the types that an extractor holds.

    Parameters
    ----------
    path : Path
    cls : type
        Of the extractor.
    largest : int
        Size of the weights' largest dimension: no network is larger than its weights.

    Raises
    ------
    ValueError
        For anything that `save` would not write; file and key are named.
    """
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: this is no JSON ({error}).") from None
    if not isinstance(results, dict) or results.get("format") != FORMAT:
        raise ValueError(f"{path}: the format is not {FORMAT!r}.")
    results = {"class": cls.__name__, "cluster_classes": None, **results}
    for key, kinds in _KINDS.items():
        if key not in results:
            raise ValueError(f"{path}: {key!r} is missing.")
        if not isinstance(results[key], kinds):
            raise ValueError(f"{path}: {key!r} is a {type(results[key]).__name__}.")
    if results["class"] != cls.__name__:
        raise ValueError(f"{path.parent} holds a {results['class']}, not a {cls.__name__}.")
    readers: dict[str, Callable[[Any], Any]] = {
        "parameters": lambda value: _parameters(value, cls, largest),
        "not_saved": _not_saved,
        "hierarchy": _hierarchy,
        "classes": lambda value: _classes(value, results["dtype_of_classes"]),
        "cluster_classes": lambda value: _clusters(value, len(results["classes"]), largest),
        "image_shape": lambda value: _image_shape(value, largest),
        "image_statistics": lambda value: _statistics(value, results["image_shape"]),
    }
    for key, read in readers.items():
        try:
            results[key] = read(results[key])
        except (ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
            raise ValueError(f"{path}: {key!r}: {error}") from None
    return results


def _parameters(values: dict, cls: Any, largest: int) -> dict[str, Any]:
    for name, value in values.items():
        if name in PARTS:
            if not isinstance(value, str):
                raise ValueError(f"{name} must be a name, got {value!r}.")
        elif name not in cls._saved_parameters:
            raise ValueError(f"{name!r} is not saved.")
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) > 64:
            raise ValueError(f"{name} has {len(numbers)} numbers.")
        for number in numbers:
            if isinstance(number, (int, float)) and not abs(number) <= (
                largest if name in SIZES else MOST_NUMBER
            ):
                raise ValueError(f"{name} is {number!r}: too large.")
            if not isinstance(number, (str, Real, type(None))):
                raise ValueError(f"{name} must be text or numbers, got {number!r}.")
    _check_values(values)
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def _check_values(values: dict[str, Any]) -> None:
    """Raise a ValueError for values that the parameters cannot have."""
    kinds: dict[str, tuple[Callable[[Any], bool], str]] = {
        "image_size": (_is_size, "None, or height and width"),
        "feature_layer": (lambda v: v is None or isinstance(v, str), "None or a name"),
        "retrieval_k": (lambda v: _is_number(v, 1), "a positive integer"),
        "mixed_precision": (lambda v: isinstance(v, bool), "true or false"),
        "batch_size": (lambda v: _is_number(v, 1) or v == -1, "a positive integer, or -1"),
        "n_bits": (lambda v: _is_number(v, 1), "a positive integer"),
        "n_hidden": (lambda v: v is None or _is_number(v, 1), "None or a positive integer"),
    }
    for name, (is_right, expected) in kinds.items():
        if name in values and not is_right(values[name]):
            raise ValueError(f"{name} must be {expected}, got {values[name]!r}.")


def _is_number(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_size(value: Any) -> bool:
    is_pair = isinstance(value, list) and len(value) == 2
    return value is None or (is_pair and all(_is_number(v, 1) and v <= MOST_SIDE for v in value))


def _not_saved(values: dict) -> dict[str, str]:
    for name, what in values.items():
        if name not in PARTS or not isinstance(what, str):
            raise ValueError(f"{name!r} is no part of a network.")
    return values


def _hierarchy(value: Any) -> ClassHierarchy | CombinedHierarchy | None:
    if value is None:
        return None
    parts = value.get("hierarchies", [value])
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise ValueError("hierarchies as to_json writes them are expected.")
    trees = [ClassHierarchy.from_json(json.dumps(part)) for part in parts]
    return CombinedHierarchy(trees, value["weights"]) if "hierarchies" in value else trees[0]


def _classes(values: list, dtype: str) -> np.ndarray:
    kind = np.dtype(dtype)
    if kind.kind not in "iufUbO" or kind.itemsize > 4 * MOST_LETTERS:
        raise ValueError(f"labels can't be of dtype {dtype!r}.")
    if not values or not all(isinstance(value, (str, Real)) for value in values):
        raise ValueError("labels must be text or numbers.")
    classes = np.array(values, dtype=kind)
    if len(set(classes.tolist())) < len(classes):
        raise ValueError("labels must be distinct.")
    return classes


def _clusters(values: list | None, n_classes: int, largest: int) -> np.ndarray | None:
    if values is None:
        return None
    if len(values) > largest or not all(_is_number(value, 0) for value in values):
        raise ValueError("the class of each cluster is expected, by number.")
    clusters = np.array(values, dtype=np.intp)
    if not np.array_equal(np.unique(clusters), np.arange(n_classes)):
        raise ValueError(f"clusters must be of the {n_classes} classes, and each class must have some.")
    return clusters


def _image_shape(values: list, largest: int) -> tuple[int, int, int]:
    if len(values) != 3 or not all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        raise ValueError(f"height, width and channels are expected, got {values!r}.")
    height, width, channels = values
    if not (0 < height <= MOST_SIDE and 0 < width <= MOST_SIDE and 0 < channels <= largest):
        raise ValueError(f"{values!r} is out of range.")
    if height * width * channels > MOST_PIXELS:
        raise ValueError(f"{values!r} is too large.")
    return height, width, channels


def _statistics(values: list, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    if len(values) != 2:
        raise ValueError("means and deviations are expected.")
    mean, deviation = (np.array(part, dtype=np.float32) for part in values)
    for part in (mean, deviation):
        if part.shape != (shape[2],) or not np.all(np.isfinite(part)):
            raise ValueError(f"one finite number a channel is expected, got {part.tolist()!r}.")
    if not np.all(deviation > 0):
        raise ValueError(f"deviations must be above 0, got {deviation.tolist()!r}.")
    return mean, deviation
