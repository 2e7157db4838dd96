"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".part-"


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Yield a file or folder to write that gets its name when it is complete, or goes away.

    What it replaces stays until then. Links are followed, and devices and pipes written to as they are.

    Raises
    ------
    OSError
        If the folder can't be written to; it is named.
    """
    target = Path(os.path.realpath(target))
    if target.exists() and not target.is_file() and not target.is_dir():
        yield target
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{_PREFIX}{os.getpid()}-"))
    except OSError as error:
        raise OSError(f"{target.parent} can't be written to: {error.strerror or error}.") from error
    try:
        part = workplace / target.name
        yield part
        if target.is_dir():
            if not part.is_dir():
                raise IsADirectoryError(
                    f"{target} is a folder, and a file is to be written: name a file in it."
                )
            shutil.rmtree(target)
        elif target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what `written_whole` left in a folder and those below it when its process was killed.

    What a process that runs is writing stays.
    """
    for path in folder.rglob(f"{_PREFIX}*"):
        if not _runs(path.name.removeprefix(_PREFIX).partition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)


def _runs(number: str) -> bool:
    """Tell whether a process of this number runs here."""
    try:
        os.kill(int(number), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True
