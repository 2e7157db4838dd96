"""What tells a network from all others: its weights, attributes, hooks and code, as one hash."""

from __future__ import annotations

import contextlib
import dis
import enum
import functools
import hashlib
import importlib
import io
import logging
import os
import re
import sys
import sysconfig
import types
import warnings
import weakref
import zipfile
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx, nn

#: What training and evaluation change, and results of a frozen network do not depend on.
IGNORED = {"training"}
#: Dictionaries by running numbers: of these only the values count.
NUMBERED = "hooks"
#: How torch tells classes of one name apart within a process.
_MANGLED = re.compile(rb"[./]?___torch_mangle_\d+")
_NUMBERS = (bool, int, float, complex, str, bytes)
_PLAIN = (*_NUMBERS, type(None), type(Ellipsis), torch.dtype, torch.device)
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
_TENSORS = (torch.Tensor, nn.Parameter, getattr(nn, "Buffer", nn.Parameter))
#: What every class has, and what Python notes in one.
_OF_PYTHON = ("__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__slotnames__")
_MADE_BY_PYTHON = ("__firstlineno", "__static_attr", "__annotate", "__annotations_", "__abstract", "_abc_")
#: Members that only say where a value lies.
_NO_CONTENT = (
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
    type(vars(namedtuple("_", "a"))["a"]),
)
_LIBRARIES = tuple(
    str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


class UntellableError(ValueError):
    """A part of a network cannot be told from others by its content."""


def digest_of(network: Any, *more: Any) -> str:
    """Hash a network, or several things, by content.

    Code of installed packages counts by name and version, all other code by its instructions, and by the
    globals that it uses.

    Parameters
    ----------
    network : nn.Module
        Or whatever it consists of. An attribute ``cache_key`` of it counts in place of all but its weights.
    *more : object
        What counts besides.

    Returns
    -------
    digest : str

    Raises
    ------
    UntellableError
        For an object whose content cannot be read; it is named.
    """
    key = getattr(network, "cache_key", None)
    digest, item = _Digest(), network
    if key is not None:
        item = ("cache_key", str(key), network.state_dict() if isinstance(network, nn.Module) else None)
    digest.add(item, "the network")
    digest.add(more, "what comes with the network")
    return digest.hash.hexdigest()


class _Digest:
    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # so that no number of an object is used twice

    def write(self, *words: Any) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogatepass")
            self.hash.update(len(data).to_bytes(8, "little"))
            self.hash.update(data)

    def add(self, item: Any, where: str) -> None:
        """Add an object; `where` is what an error calls it."""
        if type(item) in _PLAIN:
            self.write(type(item).__name__, repr(item))
            return
        if not isinstance(item, tuple):  # whether equal ones are one object is chance
            if id(item) in self._seen:
                self.write("again", self._seen[id(item)])
                return
            self._seen[id(item)] = len(self._kept)
            self._kept.append(item)
        for kinds, add in _KINDS:
            if isinstance(item, kinds):
                add(self, item, where)
                return
        self._add_object(item, where)

    def _add_tensor(self, tensor: torch.Tensor, where: str) -> None:
        if tensor.is_sparse or tensor.is_quantized or tensor.is_meta:
            raise UntellableError(f"{where} is a tensor of a layout that cannot be read.")
        try:
            values = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
            content = values.flatten().view(torch.uint8).numpy().data if values.numel() else b""
        except (RuntimeError, ValueError, TypeError) as error:
            raise UntellableError(f"{where} is a tensor that cannot be read.") from error
        self.write("tensor", str(values.dtype), tuple(values.shape))
        self.hash.update(content)
        if type(tensor) not in _TENSORS:
            self.add(type(tensor), where)
        self._add_state(getattr(tensor, "__dict__", {}), where)

    def _add_array(self, array: np.ndarray, where: str) -> None:
        self.write("array", str(array.dtype), array.shape)
        if isinstance(array, np.ma.MaskedArray):
            self._add_array(np.ma.getmaskarray(array), where)
            array = np.ma.getdata(array)
        if array.dtype.hasobject:
            self.add(array.tolist(), where)
        else:
            self.hash.update(np.ascontiguousarray(array).tobytes())

    def _add_sequence(self, items: Sequence, where: str) -> None:
        self.write(type(items).__name__, len(items))
        if type(items) not in (list, tuple, torch.Size):
            self.add(type(items), where)
            self._add_state(getattr(items, "__dict__", {}), where)
        for i, item in enumerate(items):
            self.add(item, f"{where}[{i}]")

    def _add_set(self, items: Set, where: str) -> None:
        digests = []
        for item in items:
            part = _Digest()
            part.add(item, where)
            digests.append(part.hash.digest())
        self.write("set", *sorted(digests))

    def _add_mapping(self, items: Mapping, where: str) -> None:
        self.write("mapping", len(items))
        if type(items) not in (dict, OrderedDict, types.MappingProxyType):
            self.add((type(items), getattr(items, "default_factory", None)), where)
            self._add_state(getattr(items, "__dict__", {}), where)
        for key, value in items.items():
            self.add(key, where)
            self.add(value, f"{where}[{key!r}]")

    def _add_partial(self, function: functools.partial, where: str) -> None:
        self.write("partial")
        self.add((function.func, function.args, function.keywords), where)

    def _add_method(self, method: types.MethodType, where: str) -> None:
        self.write("method")
        self.add(method.__func__, where)
        self.add(method.__self__, where)

    def _add_function(self, function: types.FunctionType, where: str) -> None:
        code, name = function.__code__, f"{function.__module__}.{function.__qualname__}"
        self.write("function", name)
        self._add_state(vars(function), where)
        if _is_installed(code.co_filename):
            self._add_version(function.__globals__.get("__name__"))
            return
        self._add_code(code)
        self.add((function.__defaults__, function.__kwdefaults__), where)
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:
                self.write("empty cell")
                continue
            self.add(content, f"a variable of {name}")
        attributes = _names_of(code, ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"))
        for used in sorted(_names_of(code, ("LOAD_GLOBAL", "LOAD_NAME"))):
            if used in function.__globals__:
                self.write(used)
                self._add_used(function.__globals__[used], attributes, f"{used} of {function.__module__}")
        for module in sorted(_names_of(code, ("IMPORT_NAME",))):
            with contextlib.suppress(ImportError):
                self._add_used(importlib.import_module(module), attributes, module)

    def _add_used(self, item: Any, attributes: set[str], where: str) -> None:
        """Add what code uses by a name: of a module that is not installed, its file and the attributes."""
        self.add(item, where)
        if isinstance(item, types.ModuleType) and not _is_library(item.__name__):
            for name in sorted(attributes & vars(item).keys()):
                self.write(name)
                self._add_used(vars(item)[name], attributes, f"{where}.{name}")

    def _add_code(self, code: types.CodeType) -> None:
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        self.write("code", code.co_code, code.co_names, code.co_varnames, code.co_freevars, counts)
        self.write(getattr(code, "co_exceptiontable", b""))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            else:
                self.write(_canonical(constant))

    def _add_type(self, kind: type, where: str) -> None:
        self.write("class", kind.__module__, kind.__qualname__)
        for base in kind.__bases__:  # classes that a library makes of a user's own have that as a base
            self.add(base, where)
        if type(kind) is not type:
            self.add(type(kind), where)
        members = [_inside(value) for value in vars(kind).values()]
        files = [value.__code__.co_filename for value in members if isinstance(value, types.FunctionType)]
        is_own = any(not _is_installed(file) and Path(file).is_file() for file in files)
        if not is_own and self._add_library(kind.__module__):
            return
        for name, value in sorted(vars(kind).items()):
            if name in _OF_PYTHON or name.startswith(_MADE_BY_PYTHON):
                continue
            if not isinstance(value, _NO_CONTENT):
                self.write(name)
                self.add(_inside(value), f"{kind.__qualname__}.{name}")

    def _add_library(self, module: str | None) -> bool:
        """Add the version of an installed package, and tell whether a module is of one."""
        if _is_library(module):
            self._add_version(module)
            return True
        return False

    def _add_version(self, module: str | None) -> None:
        top = module.partition(".")[0] if isinstance(module, str) else "builtins"
        self.write("version", getattr(sys.modules.get(top), "__version__", sys.version.partition(" ")[0]))

    def _add_python_module(self, module: types.ModuleType, where: str) -> None:
        self.write("module", module.__name__)
        if not self._add_library(module.__name__) and getattr(module, "__file__", None):
            with contextlib.suppress(OSError):
                self.write(Path(str(module.__file__)).read_bytes())

    def _add_built_in(self, function: Any, where: str) -> None:
        owner = getattr(function, "__objclass__", None) or getattr(function, "__module__", None)
        name = getattr(function, "__qualname__", getattr(function, "__name__", repr(function)))
        self.write("built-in", owner, name)
        bound_to = getattr(function, "__self__", None)
        if bound_to is not None and not isinstance(bound_to, types.ModuleType):
            self.add(bound_to, where)

    def _add_script(self, script: Any, where: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            buffer = io.BytesIO()
            torch.jit.save(script, buffer)
        with zipfile.ZipFile(buffer) as archive:
            records = [
                (_MANGLED.sub(b"", name.partition("/")[2].encode()), _MANGLED.sub(b"", archive.read(name)))
                for name in archive.namelist()
                # Places in the source, and a number of this very archive.
                if not name.endswith(".debug_pkl") and "serialization_id" not in name
            ]
        for name, content in sorted(records):
            self.write("TorchScript", name, content)

    def _add_graph(self, module: fx.GraphModule, where: str) -> None:
        self.write("graph", module.code)
        state = {name: value for name, value in vars(module).items() if name not in ("_graph", "_code")}
        self._add_state(state, where)

    def _add_module(self, module: nn.Module, where: str) -> None:
        self.add(type(module), where)
        state = {name: value for name, value in vars(module).items() if name not in IGNORED}
        hooks = {
            name: value for name, value in state.items() if NUMBERED in name and isinstance(value, Mapping)
        }
        numbers = {key: i for i, key in enumerate(sorted({key for value in hooks.values() for key in value}))}
        for name, value in hooks.items():
            state[name] = [(numbers[key], of_key) for key, of_key in value.items()]
        self._add_state(state, where)

    def _add_state(self, state: Mapping[str, Any], where: str) -> None:
        for name, value in state.items():
            self.write(name)
            self.add(value, f"{where}.{name}")

    def _add_object(self, item: Any, where: str) -> None:
        kind = type(item)
        self.add(kind, where)
        if isinstance(item, _NUMBERS):  # of a class of its own
            self.write(next(base for base in _NUMBERS if isinstance(item, base)).__repr__(item))
        slots = [name for base in kind.__mro__ for name in _slots(base) if hasattr(item, name)]
        self._add_state({name: getattr(item, name) for name in slots}, where)
        self._add_state(getattr(item, "__dict__", {}), where)
        self._add_reduced(item, where)  # content that is no attribute

    def _add_reduced(self, item: Any, where: str) -> None:
        """Add an object as pickle would write it."""
        try:
            reduced = item.__reduce_ex__(4)
        except Exception as error:
            kind = type(item).__name__
            raise UntellableError(f"{where} is a {kind}, whose content cannot be read.") from error
        if isinstance(reduced, str):
            self.write("global", reduced)
            return
        self.add(tuple(reduced[:3]), where)
        for items in reduced[3:5]:
            self.add(None if items is None else list(items), where)


def _canonical(constant: Any) -> str:
    """Write a constant of code; sets have no order of their own."""
    if isinstance(constant, frozenset):
        return f"set {sorted(map(_canonical, constant))}"
    if isinstance(constant, tuple):
        return f"tuple {[_canonical(one) for one in constant]}"
    return f"{type(constant).__name__} {constant!r}"


def _inside(member: Any) -> Any:
    """Return the functions that a member of a class holds."""
    if isinstance(member, (staticmethod, classmethod)):
        return member.__func__
    if isinstance(member, property):
        return member.fget, member.fset
    return member.func if isinstance(member, functools.cached_property) else member


def _slots(kind: type) -> Iterator[str]:
    slots = vars(kind).get("__slots__", ())
    for name in (slots,) if isinstance(slots, str) else slots:
        if name not in ("__dict__", "__weakref__"):
            yield name


def _names_of(code: types.CodeType, operations: tuple[str, ...]) -> set[str]:
    """Return the names that some operations of code use."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in operations}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_of(constant, operations)
    return names


@functools.cache
def _is_installed(file: str) -> bool:
    """Tell whether a file of code belongs to Python or to an installed package."""
    if file.startswith("<frozen "):
        return True
    place = str(Path(file).resolve())
    return any(place.startswith(f"{folder}{os.sep}") for folder in _LIBRARIES)


@functools.cache
def _is_library(module: str | None) -> bool:
    """Tell whether a module belongs to an installed package, whose version tells its code."""
    top = module.partition(".")[0] if isinstance(module, str) else "builtins"
    if top in sys.builtin_module_names or top in ("torch", "builtins"):
        return True
    if top == "__main__":
        return False
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return False
    return _is_installed(file)


def _add_enum(digest: _Digest, member: enum.Enum, where: str) -> None:
    digest.write("enum", type(member).__module__, type(member).__qualname__, member.name)
    digest.add(member.value, where)


def _add_ufunc(digest: _Digest, function: np.ufunc, where: str) -> None:
    if getattr(np, function.__name__, None) is not function:
        raise UntellableError(f"{where} is a ufunc, whose content cannot be read.")
    digest.write("ufunc", function.__name__)


def _add_reference(digest: _Digest, reference: weakref.ReferenceType, where: str) -> None:
    digest.write("reference")
    digest.add(reference(), where)


def _add_generator(digest: _Digest, generator: torch.Generator, where: str) -> None:
    digest.add(generator.get_state(), where)


_Adder = Callable[[_Digest, Any, str], None]
#: The first kind that fits says how an object is added.
_KINDS: tuple[tuple[Any, _Adder], ...] = (
    (torch.Tensor, _Digest._add_tensor),
    (torch.jit.ScriptModule, _Digest._add_script),
    (torch.jit.ScriptFunction, _Digest._add_script),
    (fx.GraphModule, _Digest._add_graph),
    (nn.Module, _Digest._add_module),
    (np.ndarray, _Digest._add_array),
    (np.generic, lambda digest, item, where: digest._add_array(np.asarray(item), where)),
    (enum.Enum, _add_enum),
    (np.ufunc, _add_ufunc),
    (weakref.ReferenceType, _add_reference),
    (torch.utils.hooks.RemovableHandle, lambda digest, item, where: digest.write("handle")),
    ((list, tuple, torch.Size), _Digest._add_sequence),
    (Set, _Digest._add_set),
    (Mapping, _Digest._add_mapping),
    (functools.partial, _Digest._add_partial),
    (types.MethodType, _Digest._add_method),
    (types.FunctionType, _Digest._add_function),
    (type, _Digest._add_type),
    (types.ModuleType, _Digest._add_python_module),
    (_BUILT_IN, _Digest._add_built_in),
    (torch.Generator, _add_generator),
    (logging.Logger, lambda digest, item, where: digest.write("logger")),
    ((Path, range, slice), lambda digest, item, where: digest.write(repr(item))),
)
