"""What a search is done by: the parameters that may be set after fit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from sklearn_hierret._sklearn import HasMethods, Interval, StrOptions, validate_parameter_constraints
from sklearn_hierret._state import value
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy


class Fittable(HasMethods):
    """Objects with some methods, and an example for those who pass text instead."""

    def __init__(self, methods: str | list[str], example: str) -> None:
        super().__init__(methods)
        self.example = example

    def __str__(self) -> str:
        return f"{super().__str__()}, such as {self.example},"


#: Parameters of all that ranks by leaves.
CONSTRAINTS: dict = {
    "hierarchy": [
        None,
        ClassHierarchy,
        CombinedHierarchy,
        Fittable("fit", "LinkageHierarchyBuilder('ward')"),
        list,
    ],
    "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="both")],  # infinity included
    "metric": [StrOptions({"auto", "cosine", "whitened"}), HasMethods(["fit", "transform"])],
    "stem": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
    "gallery_leaves": [StrOptions({"auto", "predicted", "labels"})],
    "new_classes": [StrOptions({"auto", "labels", "discover", "ignore"})],
    "assignment": [StrOptions({"soft", "hard"})],
    "novelty": ["boolean", StrOptions({"auto"})],
    "n_neighbors": [Interval(Integral, 1, None, closed="left")],
    "class_model": [None, Fittable(["fit", "predict"], "DiscriminantClassifier()")],
    "backend": [StrOptions({"numpy", "faiss"})],
    "n_jobs": [None, Integral],
    "verbose": ["verbose"],
}


def constraints_of(names: str) -> dict:
    """Return the constraints of parameters, whose names are separated by spaces."""
    return {name: CONSTRAINTS[name] for name in names.split()}


#: Parameters that may be set after fit.
LATE = ("alpha", "stem", "assignment", "novelty", "n_neighbors", "backend", "n_jobs", "verbose")


@value("options")
@dataclass(frozen=True)
class Options:
    """Checked parameters of a search.

    Attributes
    ----------
    alpha : float
        Weight of D_H in galleries of known classes.
    alpha_is_chosen : bool
        Whether fit chose it, so that galleries with unknown classes may change it.
    stem, assignment, novelty, n_neighbors, backend, n_jobs
        See `HierarchicalRetriever` and `HammingRetriever`.
    name : str or None
        What messages begin with; None for no messages.
    """

    alpha: float
    alpha_is_chosen: bool = False
    stem: float | str = "auto"
    assignment: str = "soft"
    novelty: bool | str = False
    n_neighbors: int = 5
    backend: str = "numpy"
    n_jobs: int | None = None
    name: str | None = None

    @classmethod
    def of(cls, params: dict[str, Any], alpha: float, name: str) -> Options:
        """Check the parameters of an estimator of some name, for which fit chose an alpha."""
        late = {key: params[key] for key in LATE if key in params}
        validate_parameter_constraints({key: CONSTRAINTS[key] for key in late}, late, name)
        given, verbose = late.pop("alpha"), late.pop("verbose", False)
        is_chosen = isinstance(given, str)
        return cls(alpha if is_chosen else float(given), is_chosen, **late, name=name if verbose else None)

    def print(self, message: str) -> None:
        """Print a message, if messages are wanted."""
        if self.name is not None:
            print(f"[{self.name}] {message}", flush=True)

    @property
    def progress(self) -> Callable[[int, int], None] | None:
        """What is told how many queries are done, and of how many; None if no messages are wanted."""
        if self.name is None:
            return None
        start = time.perf_counter()

        def report(done: int, total: int) -> None:
            passed = time.perf_counter() - start
            left = f", about {passed * (total - done) / done:.0f} s left" if done < total else ""
            self.print(f"searched {done} of {total} queries in {passed:.1f} s{left}")

        return report
