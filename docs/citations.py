"""Sphinx: references of docstrings are paragraphs with a number, without the hashes that keep them apart."""

from __future__ import annotations

from typing import Any

from docutils import nodes


def to_paragraphs(app: Any, doctree: nodes.document, docname: str) -> None:
    """Replace each citation; links to it keep their target."""
    for citation in list(doctree.findall(nodes.citation)):
        label = citation.next_node(nodes.label)
        number = label.astext().rpartition("-")[2] or label.astext()
        text: list[Any] = [nodes.Text(f"[{number}] ")]
        for part in citation.children:
            if part is not label:
                text += part.children if isinstance(part, nodes.paragraph) else [part]
        citation.replace_self(nodes.paragraph("", "", *text))  # which takes over the ids


def setup(app: Any) -> dict[str, bool]:
    app.connect("doctree-resolved", to_paragraphs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
