"""The taxonomy of the National Center for Biotechnology Information: ``nodes.dmp`` and ``names.dmp``."""

from __future__ import annotations

import io
import os
from collections.abc import Hashable, Iterator
from typing import Any

from numpy.typing import ArrayLike

from sklearn_hierret.hierarchy._nodes import Nodes, ancestors_of, as_label_array
from sklearn_hierret.hierarchy._parent_child import Edges, classes_of, nodes_from_edges
from sklearn_hierret.hierarchy._sources import name_of, read_text, utf8_of


def nodes_from_ncbi(nodes: Any, names: Any, classes: ArrayLike | None) -> Nodes:
    """Nodes of taxa; see `ClassHierarchy.from_ncbi`."""
    parent: dict[Hashable, Hashable] = {}
    for where, fields in _records(nodes, 2):
        taxon, above = _number(fields[0], where), _number(fields[1], where)
        if taxon in parent:
            raise ValueError(f"{where}: taxon {taxon} occurs a second time.")
        parent[taxon] = above
    if not parent:
        raise ValueError(f"{name_of(nodes)}: no taxon found.")
    orphans = [taxon for taxon, above in parent.items() if above not in parent]
    if orphans:
        raise ValueError(f"{name_of(nodes)}: the parent of taxon {orphans[0]} is no taxon.")
    above_of = {taxon: above for taxon, above in parent.items() if above != taxon}  # the root's is itself
    edges = Edges({}, dict.fromkeys(parent), {}, name_of(nodes), int)
    edges.parents_of.update({taxon: [above] for taxon, above in above_of.items()})
    labels = classes_of(edges, classes)
    if all(isinstance(label, float) for label in labels):  # as a column with gaps has them
        labels = [int(label) for label in labels]  # type: ignore[call-overload]
    kept = ancestors_of(above_of, labels)
    if classes is None and len(kept) < len(parent):
        raise ValueError(f"{name_of(nodes)}: there is a cycle beside the tree.")
    few = {taxon: edges.parents_of[taxon] for taxon in kept if taxon in above_of}
    edges = Edges(few, kept, {}, edges.source, int)
    name_of_taxon = None if names is None else _names(names, kept)
    return nodes_from_edges(
        edges, classes if classes is None else as_label_array(labels), names=name_of_taxon
    )


def _names(source: Any, kept: dict) -> dict[int, str]:
    """Return the scientific names of some taxa."""
    results = {}
    for where, fields in _records(source, 4):
        if fields[3] == "scientific name" and (taxon := _number(fields[0], where)) in kept:
            results[taxon] = fields[1]
    return results


def _records(source: Any, n_fields: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the fields of each line, a line at a time: the files have millions."""
    title = name_of(source)
    is_path = isinstance(source, (str, os.PathLike))
    file = open(source, encoding="utf-8-sig") if is_path else io.StringIO(read_text(source))  # noqa: SIM115
    with file, utf8_of(source):
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            fields = [field.strip("\t ") for field in line.rstrip("\r\n").split("|")]
            if len(fields) < n_fields:
                raise ValueError(
                    f"{title}, line {number}: fields that are divided by '|' are expected, got {line[:60]!r}."
                )
            yield f"{title}, line {number}", fields


def _number(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{where}: {text!r} is no number of a taxon.") from None
