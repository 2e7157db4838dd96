"""Write below each block of Python on a page what it prints.

    python docs/outputs.py docs/start.md README.md

`tests/test_documents.py` compares them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"```python\n(.*?)```(\n+```text\n(.*?)```)?", flags=re.DOTALL)


def shown(text: str) -> str:
    """Return the page with its outputs as they are now."""
    names: dict = {}

    def with_output(match: re.Match) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(match[1], "a block of the page", "exec"), names)
        lines = [line.rstrip() for line in out.getvalue().splitlines()]
        block = f"```python\n{match[1]}```"
        return block + ("\n\n```text\n" + "\n".join(lines) + "\n```" if lines else "")

    return BLOCK.sub(with_output, text)


if __name__ == "__main__":
    paths = [Path(name).resolve() for name in sys.argv[1:]]
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:  # blocks write files
            os.chdir(folder)
            path.write_text(shown(path.read_text()))
            os.chdir(path.parent)
