"""Names that people would take for the same: they differ by what is hardly seen, such as blanks or case."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

#: Labels that are compared, at most.
MOST = 100_000


def hint(unknown: Iterable, known: Iterable) -> str:
    """Return a sentence on unknown names that are known ones but for blanks, case or Unicode form; or ""."""
    by_form = {_form(name).casefold(): name for name in known if isinstance(name, str)}
    for name in unknown:
        if isinstance(name, str) and (other := by_form.get(_form(name).casefold())) is not None:
            return f" {name!r} and {other!r} differ only by {_difference(name, other)}."
    return ""


def warn_of_twins(classes: NDArray) -> None:
    """Warn of classes whose names look the same: they differ only by blanks or Unicode form."""
    if classes.dtype.kind not in "UO" or len(classes) > MOST:
        return
    seen: dict[str, Any] = {}
    for name in classes.tolist():
        if not isinstance(name, str):
            continue
        other = seen.setdefault(_form(name), name)
        if other != name:
            warnings.warn(
                f"The classes {other!r} and {name!r} differ only by {_difference(name, other)}, and are two "
                "classes.",
                UserWarning,
                stacklevel=5,
            )
            return


def is_blank(value: Any) -> bool:
    """Tell whether a cell of a table is text that holds nothing."""
    return isinstance(value, str) and not value.strip()


def _form(name: str) -> str:
    return " ".join(_visible(unicodedata.normalize("NFKC", name)).split())


def _visible(name: str) -> str:
    """Leave out characters that nobody sees, such as zero-width spaces and marks of direction."""
    return "".join(c for c in name if unicodedata.category(c) != "Cf") if not name.isascii() else name


def _difference(name: str, other: str) -> str:
    if " ".join(name.split()) == " ".join(other.split()):
        return "blanks"
    if _visible(name) == _visible(other):
        return "characters that have no width"
    return "Unicode form" if _form(name) == _form(other) else "case"
