"""What tells a network from all others: its weights, attributes, hooks and code, as one hash."""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import io
import logging
import re
import sys
import sysconfig
import types
import warnings
import zipfile
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
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), torch.dtype, torch.device)
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType, np.ufunc)
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
        if isinstance(item, _PLAIN):
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
        values = tensor.detach().cpu().contiguous()
        self.write("tensor", str(values.dtype), tuple(values.shape))
        self.hash.update(values.flatten().view(torch.uint8).numpy().data if values.numel() else b"")

    def _add_array(self, array: np.ndarray, where: str) -> None:
        self.write("array", str(array.dtype), array.shape)
        if array.dtype.hasobject:
            self.add(array.tolist(), where)
        else:
            self.hash.update(np.ascontiguousarray(array).tobytes())

    def _add_sequence(self, items: Sequence, where: str) -> None:
        self.write(type(items).__name__, len(items))
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
        name = f"{function.__module__}.{function.__qualname__}"
        self.write("function", name)
        if self._add_library(function.__module__):
            return
        self._add_code(function.__code__)
        self.add((function.__defaults__, function.__kwdefaults__), where)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents, f"a variable of {name}")
            except ValueError as error:
                if isinstance(error, UntellableError):
                    raise
                self.write("empty cell")
        for used in sorted(_names_of(function.__code__)):
            if used in function.__globals__:
                self.write(used)
                self.add(function.__globals__[used], f"{used} of {function.__module__}")

    def _add_code(self, code: types.CodeType) -> None:
        self.write("code", code.co_code, code.co_names, code.co_varnames, code.co_freevars)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            else:
                self.write(repr(constant))

    def _add_type(self, kind: type, where: str) -> None:
        self.write("class", kind.__module__, kind.__qualname__)
        if self._add_library(kind.__module__):
            return
        for base in kind.__bases__:
            self.add(base, where)
        for name, value in sorted(vars(kind).items()):
            if name in (
                "__dict__",
                "__weakref__",
                "__doc__",
                "__module__",
                "__annotations__",
                "__slotnames__",
            ):
                continue
            if name.startswith(("__firstlineno", "__static_attr", "__annotate", "__abstract", "_abc_")):
                continue
            if not isinstance(value, (types.GetSetDescriptorType, types.MemberDescriptorType)):
                self.write(name)
                self.add(_inside(value), f"{kind.__qualname__}.{name}")

    def _add_library(self, module: str | None) -> bool:
        """Add the version of an installed package, and tell whether a module is of one."""
        if not _is_library(module):
            return False
        top = (module or "").partition(".")[0]
        self.write("version", getattr(sys.modules.get(top), "__version__", sys.version.partition(" ")[0]))
        return True

    def _add_python_module(self, module: types.ModuleType, where: str) -> None:
        # What a function uses of a module that is not installed is read where the name leads.
        self.write("module", module.__name__)
        self._add_library(module.__name__)

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
        self._add_state(vars(module), where)

    def _add_state(self, state: Mapping[str, Any], where: str) -> None:
        for name, value in state.items():
            if name in IGNORED:
                continue
            self.write(name)
            is_numbered = NUMBERED in name and isinstance(value, Mapping)
            self.add(list(value.values()) if is_numbered else value, f"{where}.{name}")

    def _add_generator(self, generator: torch.Generator, where: str) -> None:
        self.add(generator.get_state(), where)

    def _add_object(self, item: Any, where: str) -> None:
        kind = type(item)
        self.add(kind, where)
        slots = [name for base in kind.__mro__ for name in _slots(base) if hasattr(item, name)]
        if not slots and not hasattr(item, "__dict__"):
            raise UntellableError(f"{where} is a {kind.__name__}, whose content cannot be read.")
        self._add_state({name: getattr(item, name) for name in slots}, where)
        self._add_state(getattr(item, "__dict__", {}), where)


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


def _names_of(code: types.CodeType) -> set[str]:
    """Return the globals that code uses."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_of(constant)
    return names


@functools.cache
def _is_library(module: str | None) -> bool:
    """Tell whether a module belongs to an installed package, whose version tells its code."""
    top = (module or "").partition(".")[0]
    if top in sys.builtin_module_names or top in ("torch", "builtins"):
        return True
    if top == "__main__":
        return False
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None:
        return False
    place = str(Path(file).resolve())
    return any(place.startswith(folder) for folder in _LIBRARIES)


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
    (enum.Enum, lambda digest, item, where: digest.write(type(item).__qualname__, item.name)),
    ((list, tuple, torch.Size), _Digest._add_sequence),
    (Set, _Digest._add_set),
    (Mapping, _Digest._add_mapping),
    (functools.partial, _Digest._add_partial),
    (types.MethodType, _Digest._add_method),
    (types.FunctionType, _Digest._add_function),
    (type, _Digest._add_type),
    (types.ModuleType, _Digest._add_python_module),
    (_BUILT_IN, _Digest._add_built_in),
    (torch.Generator, _Digest._add_generator),
    (logging.Logger, lambda digest, item, where: digest.write("logger")),
    ((Path, range, slice), lambda digest, item, where: digest.write(repr(item))),
)
