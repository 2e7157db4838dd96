"""The route of one fit and one query: functions and files of the package that they go through, in order.

``python -m tests.benchmarks.route`` prints both; docs/design.md has what it says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.datasets import load_digits

import sklearn_hierret
from sklearn_hierret import HierarchicalRetriever

PACKAGE = Path(sklearn_hierret.__file__).parent


def route_of(call: Callable[[], Any]) -> tuple[list[tuple[str, str]], int]:
    """Find the package's functions on the way of a call, and how often they have X checked."""
    functions: dict[tuple[str, str], None] = {}
    n_checks = 0

    def hook(frame: Any, event: str, argument: Any) -> None:
        nonlocal n_checks
        if event != "call":
            return
        code = frame.f_code
        path = Path(code.co_filename)
        caller = Path(frame.f_back.f_code.co_filename) if frame.f_back else path
        if code.co_name == "validate_data" and caller.is_relative_to(PACKAGE):
            n_checks += 1
        n_checks += code.co_name == "checked_rows"
        if path.is_relative_to(PACKAGE) and not code.co_name.startswith("<"):
            functions[str(path.relative_to(PACKAGE)), code.co_qualname] = None

    sys.setprofile(hook)
    try:
        call()
    finally:
        sys.setprofile(None)
    return list(functions), n_checks


def main() -> None:
    X, y = load_digits(return_X_y=True)
    retriever = HierarchicalRetriever(n_jobs=1)
    for name, call in (
        ("fit", lambda: retriever.fit(X[:900], y[:900])),
        ("kneighbors", lambda: retriever.kneighbors(X[900:901])),
    ):
        functions, n_checks = route_of(call)
        files = dict.fromkeys(file for file, _ in functions)
        print(f"{name}: {len(functions)} functions in {len(files)} files, X is checked {n_checks} times")
        for file in files:
            print(f"    {file}: {', '.join(function for f, function in functions if f == file)}")


if __name__ == "__main__":
    main()
