"""Imports are those that docs/layers.py declares, and the package loads no optional dependency."""

import ast
import graphlib
import importlib
import importlib.util
import inspect
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


@pytest.mark.parametrize(
    "package",
    PACKAGES,
)
def test_parameters_are_documented(package):
    if package == ".nn":
        pytest.importorskip("skorch", reason="needs the extra nn")
    module = importlib.import_module(f"sklearn_hierret{package}")
    for name in (name for name in module.__all__ if not name.isupper()):
        function = getattr(module, name)
        parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in (2, 4)]
        documented = set(re.findall(r"\w+", function.__doc__.partition("Returns\n")[0]))
        assert {p.name for p in parameters} <= documented, name
