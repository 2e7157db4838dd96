"""States of fitted estimators that last: arrays and plain values, with a version.

A private class may be renamed or moved without a file noticing: files hold the names that values are
registered by here, and of classes only public ones.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, NoReturn, TypeVar

import numpy as np

#: Of what `VersionedState` writes; it rises where older files need other treatment.
VERSION = 1
_VALUE, _DTYPE = "sklearn_hierret value", "sklearn_hierret dtype"
_CLASSES: dict[str, type] = {}
_NAMES: dict[type, str] = {}
Class = TypeVar("Class", bound=type)


def value(name: str) -> Callable[[Class], Class]:
    """Register a dataclass or named tuple by the name that files call it."""

    def register(cls: Class) -> Class:
        assert name not in _CLASSES, name
        _CLASSES[name], _NAMES[cls] = cls, name
        return cls

    return register


def encoded(item: Any) -> Any:
    """Return arrays and plain values for registered values; fields with an underscore are caches."""
    name = _NAMES.get(type(item))
    if name is not None:
        names = [f.name for f in fields(item)] if is_dataclass(item) else item._fields
        return {_VALUE: name, **{n: encoded(getattr(item, n)) for n in names if not n.startswith("_")}}
    if isinstance(item, np.dtype):
        return {_DTYPE: item.str}
    if type(item) is dict:
        return {key: encoded(of_key) for key, of_key in item.items()}
    return type(item)(map(encoded, item)) if type(item) in (list, tuple) else item


def decoded(item: Any) -> Any:
    """Return what `encoded` was given."""
    if type(item) is dict:
        if _DTYPE in item:
            return np.dtype(item[_DTYPE])
        decoded_items = {key: decoded(of_key) for key, of_key in item.items() if key != _VALUE}
        return _CLASSES[item[_VALUE]](**decoded_items) if _VALUE in item else decoded_items
    return type(item)(map(decoded, item)) if type(item) in (list, tuple) else item


class VersionedState:
    """Mixin of estimators whose pickles hold a versioned state."""

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {"state_version": VERSION, **{name: encoded(item) for name, item in state.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        version, names = state.get("state_version"), state.keys() - {"_sklearn_version"}
        if version is None and any(name.startswith("_") or name.endswith("_") for name in names):
            refuse_old_file()
        if version is not None and version > VERSION:
            raise pickle.UnpicklingError(
                "This file was saved by a newer version of sklearn_hierret, which is needed to load it."
            )
        state = {name: decoded(item) for name, item in state.items() if name != "state_version"}
        super().__setstate__(state)  # type: ignore[misc]

    def __copy__(self) -> Any:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


def refuse_old_file(name: str = "") -> NoReturn:
    """Raise an error that says how to convert a file of version 0.2; a ``__getattr__`` of modules."""
    if name and not name[0].isupper():  # no class is asked for
        raise AttributeError(name)
    raise pickle.UnpicklingError(
        "This file was saved by sklearn_hierret 0.2 or older, and later versions cannot read it. Fit again; "
        "or load it with version 0.2, save what is to be kept as plain files (hierarchy_.to_json(), the "
        "gallery's features, labels and ids as arrays), and fit again with these."
    )


def publish(module: str, namespace: dict[str, Any]) -> None:
    """Name the public classes of a module by it, so that files do not name the private module inside."""
    for name in namespace["__all__"]:
        item = namespace[name]
        if isinstance(item, type) and item.__module__.startswith(f"{module}."):
            item.__module__ = module
