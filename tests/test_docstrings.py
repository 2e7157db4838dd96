"""Public docstrings: parameters in the signature's order, what is returned, a verb first."""

import importlib
import inspect

import pytest
from numpydoc.validate import validate

from tests.test_layering import PACKAGES

#: Left out: parameters that several functions share say "See ..." (PR04, PR07), what is returned may need no
#: further description (RT03, RT04), properties name a value (GL08), and the rest is a matter of taste.
IGNORED = {
    "ES01",
    "EX01",
    "GL01",
    "GL02",
    "GL03",
    "GL07",
    "GL08",
    "PR04",
    "PR07",
    "PR08",
    "RT02",
    "RT03",
    "RT04",
    "SA01",
}


def docstrings(package):
    module = importlib.import_module(f"sklearn_hierret{package}")
    for name in module.__all__:
        item = getattr(module, name)
        if not callable(item):
            continue
        yield f"sklearn_hierret{package}.{name}"
        for member, function in (
            inspect.getmembers(item, inspect.isfunction) if isinstance(item, type) else []
        ):
            is_ours = function.__module__.startswith("sklearn_hierret")
            if is_ours and not member.startswith("_") and function.__doc__ is not None:
                yield f"sklearn_hierret{package}.{name}.{member}"


@pytest.mark.parametrize("package", PACKAGES)
def test_public_docstrings(package):
    if package == ".nn":
        pytest.importorskip("skorch", reason="needs the extra nn")
    faults = {}
    for name in docstrings(package):
        errors = [error for error in validate(name)["errors"] if error[0] not in IGNORED]
        if errors:
            faults[name] = errors
    assert faults == {}
