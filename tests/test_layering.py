"""A layer imports only lower layers, and the package loads no optional dependency."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_hierret

ROOT = Path(sklearn_hierret.__file__).parent
#: From the bottom up; each may import those before it.
LAYERS = [
    "_arrays",
    "_blocks",
    "_files",
    "_trusted",
    "images",
    "hierarchy",
    "datasets",
    "gaussian",
    "discriminant",
    "building",
    "search",
    "embedding",
    "hashing",
    "metrics",
    "retrieval",
    "evaluation",
    "model_selection",
    "display",
    "nn",
    "study",
]


def imported_parts(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = (
                [node.module]
                if node.module != "sklearn_hierret"
                else [f"sklearn_hierret.{a.name}" for a in node.names]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (n.split(".")[1] for n in names if n.startswith("sklearn_hierret."))


def test_layers_import_downwards_only():
    for path in ROOT.rglob("*.py"):
        if path == ROOT / "__init__.py":
            continue
        layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
        assert layer in LAYERS, f"{path} is in no layer"
        for other in imported_parts(path):
            assert LAYERS.index(other) <= LAYERS.index(layer), f"{path} imports {other}"


def test_hierarchy_knows_numpy_only():
    allowed = {
        "numpy",
        "pandas",
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


@pytest.mark.parametrize("package", ["", ".datasets", ".images", ".model_selection", ".nn"])
def test_every_public_name_has_an_example(package):
    if package == ".nn":
        pytest.importorskip("skorch", reason="needs the extra nn")
    module = importlib.import_module(f"sklearn_hierret{package}")
    objects = [name for name in module.__all__ if not name.isupper()]
    without = [name for name in objects if ">>> " not in getattr(module, name).__doc__]
    assert without == []


def test_public_names_are_documented():
    for name in filter(lambda name: not name.isupper(), sklearn_hierret.__all__):
        doc = getattr(sklearn_hierret, name).__doc__
        assert doc, name
        assert len(doc) > 100, name
