"""Open each built page in a headless Chromium, and look for its own heading.

python docs/check_built.py BUILT_DOCS [CHROMIUM]
"""

from __future__ import annotations

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

SOURCE = Path(__file__).parent


def heading_of(page: Path) -> str:
    """The first heading of a source page, in plain text."""
    lines = page.read_text().splitlines()
    if page.suffix == ".rst":
        return lines[0].strip()
    title = next(line for line in lines if line.startswith("# "))
    return title.removeprefix("# ").replace("`", "").strip()


def shown_heading(html: Path, chromium: str) -> str:
    """The first heading that a browser makes of a page."""
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", html.resolve().as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    found = re.search(r"<h1[^>]*>(.*?)</h1>", dom, re.DOTALL)
    text = re.sub(r"<a class=\"headerlink.*?</a>|<[^>]+>", "", found.group(1)) if found else ""
    return " ".join(unescape(text).split())


def main() -> None:
    built, chromium = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "chromium"
    pages = sorted([*SOURCE.glob("*.md"), *SOURCE.glob("*.rst")])
    pages = [page for page in pages if not page.stem.startswith("sg_")]
    wrong = []
    for page in pages:
        expected, shown = heading_of(page), shown_heading(built / f"{page.stem}.html", chromium)
        if shown != expected:
            wrong.append(f"{page.name}: {expected!r} expected, {shown!r} shown")
    live = shown_heading(built / "digits_explorer.html", chromium)
    if live != "Digits":
        wrong.append(f"digits_explorer.html: 'Digits' expected, {live!r} shown")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(pages)} pages and the live one show their own headings.")


if __name__ == "__main__":
    main()
