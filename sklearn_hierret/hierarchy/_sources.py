"""Text that taxonomies come in: paths, open files and lines, with names for error messages."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sklearn_hierret._files import written_whole

#: What some programs begin a text with.
MARK = "\ufeff"


def is_file(source: Any) -> bool:
    """Whether a source is a path or an open text file."""
    return isinstance(source, (str, os.PathLike)) or hasattr(source, "read")


def name_of(source: Any) -> str:
    """Return what error messages call a source."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return str(getattr(source, "name", "pairs"))


@contextlib.contextmanager
def utf8_of(source: Any) -> Iterator[None]:
    """Raise a ValueError that names the source where what is read from it is no UTF-8."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(f"{name_of(source)}: this is no UTF-8 text file ({error.reason}).") from None


def read_text(source: Any) -> str:
    """Return the text of a path or an open text file.

    Raises
    ------
    ValueError
        If it is no UTF-8 text; the file is named.
    """
    with utf8_of(source):
        if isinstance(source, (str, os.PathLike)):
            with open(source, encoding="utf-8-sig") as file:
                text = file.read()
        else:
            text = source.read()
    if isinstance(text, str):
        text = text.removeprefix(MARK)
    else:
        raise ValueError(f"{name_of(source)}: open it as a text file, not in binary mode.")
    if "\0" in text:
        raise ValueError(f"{name_of(source)}: this is no text file (it has NUL characters).")
    return text


def read_source(source: Any, what: str, is_text: Callable[[str], bool]) -> tuple[str, str]:
    """Return the text of a path, an open file or a text, and what error messages call it.

    Parameters
    ----------
    source : str, path or text file object
    what : str
        What texts of this kind are called.
    is_text : callable
        Tells of a string whether it is the text and no path.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        If there is no such file, or it is no text.
    """
    if isinstance(source, str) and (not source.strip() or is_text(source)):
        return source.removeprefix(MARK), what
    if not is_file(source):
        raise TypeError(f"{what} is a path, a text file or a text, got {type(source).__name__}.")
    return read_text(source), name_of(source)


def write_text(text: str, path: Any) -> None:
    """Write a text as UTF-8 with plain line ends; if that fails, a file that was there stays.

    Raises
    ------
    ValueError
        For names that are no text, such as those of files whose names are not UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        around = text[max(0, error.start - 20) : error.end + 20]
        raise ValueError(
            f"A name is no text that UTF-8 can hold, at {around!r}; to_json writes it."
        ) from None
    with written_whole(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def is_int(text: str) -> bool:
    """Whether an id is an integer; "01" and "1_0" are other ids than "1" and "10"."""
    try:
        return str(int(text)) == text
    except ValueError:
        return False


def read_names(names: Any, id_type: type) -> dict[Hashable, str]:
    """Names of ids: a mapping, or a text file with an id and a name a line."""
    if isinstance(names, Mapping):
        return {key: str(value) for key, value in names.items()}
    if not is_file(names):
        raise TypeError(f"names must be a mapping or a text file, got {type(names).__name__}.")
    results: dict[Hashable, str] = {}
    for number, line in enumerate(read_text(names).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{name_of(names)}, line {number}"
        parts = line.strip().split("\t" if "\t" in line.strip() else None, maxsplit=1)
        if len(parts) < 2:
            raise ValueError(f"{where}: an id and a name are expected, got {line!r}.")
        try:
            key = id_type(parts[0].strip())
        except ValueError:
            raise ValueError(f"{where}: {parts[0]!r} is no {id_type.__name__}.") from None
        if key in results:
            raise ValueError(f"{where}: {parts[0]} has a second name.")
        results[key] = parts[1].strip()
    return results
