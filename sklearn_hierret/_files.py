"""Files and folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """A file or folder to write that gets its name when it is complete, or goes away.

    Raises
    ------
    OSError
        If the folder can't be written to; it is named.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        workplace = Path(tempfile.mkdtemp(dir=target.parent, prefix=".part-"))
    except OSError as error:
        raise OSError(f"{target.parent} can't be written to: {error.strerror or error}.") from error
    try:
        part = workplace / target.name
        yield part
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(part, target)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
