"""Sphinx: long tables are folded, with a CSV file of each beside the page."""

from __future__ import annotations

import csv
import html
from pathlib import Path
from typing import Any

from docutils import nodes

#: Rows that a table shows without a click.
MOST_ROWS = 12


def fold(app: Any, doctree: nodes.document, docname: str) -> None:
    """Wrap each table of more rows in an element that opens by a click, and write it as CSV."""
    if app.builder.format != "html" or docname == "api":
        return
    tables = [(table, rows_of(table)) for table in doctree.findall(nodes.table)]
    # Lists of links have no heads.
    long = [(table, rows) for table, rows in tables if len(rows) - 1 > MOST_ROWS and any(rows[0])]
    for number, (table, rows) in enumerate(long, start=1):
        name = f"{docname.replace('/', '_')}_{number}.csv"
        folder = Path(app.outdir) / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        up = "../" * docname.count("/")
        head = ", ".join(cell for cell in rows[0] if cell)[:90]
        opened = (
            f'<details class="long-table"><summary>{len(rows) - 1} rows: {html.escape(head)}</summary>'
            f'<p><a href="{up}tables/{name}" download>as CSV</a></p>'
        )
        parent, place = table.parent, table.parent.index(table)
        parent.insert(place, nodes.raw("", opened, format="html"))
        parent.insert(place + 2, nodes.raw("", "</details>", format="html"))


def rows_of(table: nodes.table) -> list[list[str]]:
    """Return the text of each cell."""
    return [[cell.astext() for cell in row.findall(nodes.entry)] for row in table.findall(nodes.row)]


def setup(app: Any) -> dict[str, bool]:
    app.connect("doctree-resolved", fold)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
