"""Imports are those that docs/layers.py declares, and the package loads no optional dependency."""

import ast
import functools
import graphlib
import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_hierret

#: Packages with public names.
PACKAGES = [
    "",
    ".datasets",
    ".descriptors",
    ".explorer",
    ".images",
    ".inspection",
    ".interaction",
    ".model_selection",
    ".nn",
    ".reranking",
]
ROOT = Path(sklearn_hierret.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


@pytest.fixture(scope="module")
def layers():
    path = Path(__file__).parents[1] / "docs" / "layers.py"
    spec = importlib.util.spec_from_file_location("layers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def imported_modules(path):
    """Modules of this package that a file imports, inside functions and for types as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                yield name if name in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imports_of_modules():
    return {
        name: {other for other in imported_modules(path) if other in MODULES} - {name}
        for name, path in MODULES.items()
    }


def test_imports_are_those_that_are_declared(layers):
    found = set()
    for name, others in imports_of_modules().items():
        if name != "sklearn_hierret":
            found |= {(name.split(".")[1], other.split(".")[1]) for other in others}
    assert {edge for edge in found if edge[0] != edge[1]} == set(layers.allowed().edges)
    assert {name.split(".")[1] for name in MODULES if name != "sklearn_hierret"} == set(layers.LAYERS)


def package_of(module):
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 else module


@functools.cache
def names_made_in(package):
    """Names that a package defines or sets: functions, classes, attributes."""
    made = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())) if package_of(name) == package else ():
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                made.add(node.name)
            elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
                made.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    return made


def private_uses(name, path):
    """Private names that a file uses and its package does not make: attributes, imports, strings."""
    package = package_of(name)
    known = names_made_in(package) | set(PROTECTED)
    for node in ast.walk(ast.parse(path.read_text())):
        used = []
        if isinstance(node, ast.Attribute):
            used = [node.attr]
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn"):
            modules = [] if node.module.startswith(package) else node.module.split(".")[2:]
            used = [*modules, *(a.name for a in node.names if f"{node.module}.{a.name}" not in MODULES)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            used = [arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)]
        for attribute in used:
            is_private = attribute.startswith("_") and not attribute.endswith("__")
            if is_private and attribute not in known:
                yield f"{name}:{node.lineno}: {attribute}"


#: Of scikit-learn's and of this package's bases, for subclasses.
PROTECTED = (
    "_fields",
    "_fit",
    "_get_params",
    "_lazy",
    "_model",
    "_nested",
    "_parameter_constraints",
    "_replace",
    "_rule",
    "_set_params",
    "_statistics",
    "_validate_names",
    "_validate_params",
)


def test_no_package_uses_private_names_of_another():
    uses = []
    for name, path in MODULES.items():
        if name not in ("sklearn_hierret._sklearn",):
            uses += private_uses(name, path)
    assert uses == []


#: Made or asked for by Python and scikit-learn.
NOT_COUNTED = r"__(?!init__).*__|set_.*_request|_sklearn_auto_.*|_parameter_constraints"
LARGE = (
    "HierarchicalRetriever",
    "HierarchicalRetrieverCV",
    "ClassHierarchy",
    "CNNFeatureExtractor",
    "CNNHashExtractor",
    "LatentGaussianExtractor",
)


def test_no_class_is_large():
    """Members of its own and of its bases in this package.

    A tree has many readers and writers, extractors have the hooks that skorch calls, and a retriever is a
    classifier, has scikit-learn's questions about neighbours, and a gallery.
    """
    large = {}
    for name in MODULES:
        if name.startswith("sklearn_hierret.nn") and importlib.util.find_spec("skorch") is None:
            continue
        if name.endswith("_compiled") or name.endswith("__main__"):
            continue
        for item in vars(importlib.import_module(name)).values():
            if isinstance(item, type) and item.__module__.startswith("sklearn_hierret"):
                members = {
                    member
                    for base in item.__mro__
                    if base.__module__.startswith("sklearn_hierret")
                    for member in vars(base)
                    if not re.fullmatch(
                        r"__(?!init__).*__|set_.*_request|_sklearn_auto_.*|_parameter_constraints", member
                    )
                }
                large[item.__name__] = len(members)
    assert {name: n for name, n in large.items() if n > 25 and name not in LARGE} == {}


def test_no_function_is_long():
    """Without its docstring; numba compiles one loop as a whole."""
    long = {}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                long[name, node.name] = node.end_lineno - body[0].lineno + 1 if body else 0
    assert [where for where, n in long.items() if n > 60] == [("sklearn_hierret.search._compiled", "visit")]


def test_no_module_is_in_a_circle():
    graphlib.TopologicalSorter(imports_of_modules()).prepare()  # raises for a circle, and names it


def test_the_design_page_has_the_declared_layers(layers):
    assert (layers.DOCS / "design.md").read_text(encoding="utf-8") == layers.page(), "run docs/layers.py"


def test_hierarchy_knows_arrays_only():
    allowed = {
        "numpy",
        "pandas",
        "scipy",
        "networkx",
        "sklearn_hierret",
        *sys.stdlib_module_names,
    }  # pandas inside to_frame, networkx inside to_networkx
    for path in (ROOT / "hierarchy").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {a.name.split(".")[0] for a in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module.split(".")[0] in allowed, path


def test_import_loads_nothing_optional():
    code = (
        "import sys, sklearn_hierret; "
        "print([m for m in ('torch', 'skorch', 'matplotlib', 'faiss', 'dask') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "package",
    PACKAGES,
)
def test_every_public_name_has_an_example(package):
    if package == ".nn":
        pytest.importorskip("skorch", reason="needs the extra nn")
    module = importlib.import_module(f"sklearn_hierret{package}")
    objects = [name for name in module.__all__ if not name.isupper()]
    without = [name for name in objects if ">>> " not in getattr(module, name).__doc__]
    assert without == []
