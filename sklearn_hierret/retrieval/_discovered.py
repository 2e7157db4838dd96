"""Discovered leaves of a gallery as users see and change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_none_missing, check_same_kind
from sklearn_hierret._frames import tabular
from sklearn_hierret.hierarchy import ClassHierarchy, shorten
from sklearn_hierret.leaves import likeliest
from sklearn_hierret.new_classes import LEAST_ROWS, DiscoveredClasses
from sklearn_hierret.retrieval._new_classes import check_evidence, discovered
from sklearn_hierret.retrieval._searcher import Searcher

#: Ids of the most central rows of a leaf.
N_CENTRAL = 5


def discovered_of(searcher: Searcher) -> DiscoveredClasses:
    """Return the discovered classes of a gallery.

    Raises
    ------
    ValueError
        If none were sought.
    """
    new = None if searcher.leaf_model is None else searcher.leaf_model.new
    if not isinstance(new, DiscoveredClasses):
        raise ValueError(
            "No new classes were sought in this gallery: set it without labels, or with "
            "new_classes='discover', or call discover()."
        )
    return new


def discovered_labels(searcher: Searcher) -> set:
    """Return the labels of discovered leaves, of which there may be none."""
    new = None if searcher.leaf_model is None else searcher.leaf_model.new
    return set(new.labels.tolist()) if isinstance(new, DiscoveredClasses) else set()


@tabular
def discovered_table(searcher: Searcher) -> pd.DataFrame:
    """Return a row for each discovered leaf, see `HierarchicalRetriever.discover`."""
    new, model, gallery = discovered_of(searcher), searcher.leaves.model, searcher.gallery
    leaf = likeliest(searcher.leaves.view(of_gallery=False).leaves())
    rows = []
    for label, direction, position, probability in zip(
        new.labels.tolist(), new.directions, model.open_model.positions, new.probability_new, strict=True
    ):
        members = np.flatnonzero(leaf == position)
        cosines = gallery.queries(members) @ direction
        central = members[np.argsort(-cosines, kind="stable")[:N_CENTRAL]]
        tree = model.tree
        node = tree.node_names[tree.parents[position]] if isinstance(tree, ClassHierarchy) else None
        rows.append((label, len(members), gallery.ids[central].tolist(), float(probability), node))
    return pd.DataFrame(rows, columns=["leaf", "size", "central_ids", "probability_new", "node"])


def sought_again(searcher: Searcher) -> Searcher:
    """Seek clusters anew; a leaf that keeps most of its rows keeps its label."""
    gallery, model = searcher.gallery, searcher.leaf_model
    check_evidence(model)
    assert model is not None
    if len(gallery) < 2 * LEAST_ROWS:
        raise ValueError(
            f"discover() needs a gallery of at least {2 * LEAST_ROWS} samples, twice the least cluster; this "
            f"one has {len(gallery)}."
        )
    if searcher.leaves.kind(of_gallery=False).source == "labels":
        raise ValueError(
            "discover() is for galleries whose leaves are predicted, and the labels of this one are its "
            "leaves: set it without labels, or with gallery_leaves='predicted'."
        )
    before = model.new if isinstance(model.new, DiscoveredClasses) else None
    leaf_before = _labels_of(searcher)
    changed = discovered(model.closed, gallery.features, gallery.samples.serials, searcher.options)
    after = replace(searcher, leaf_model=changed).renewed()
    if before is None:
        return after
    new = changed.new
    assert isinstance(new, DiscoveredClasses)
    labels = _kept_labels(leaf_before, _labels_of(after), before.labels, new.labels)
    return replace(after, leaf_model=changed.opened(new.relabelled(labels)))


def _labels_of(searcher: Searcher) -> NDArray:
    return searcher.leaves.labels_of(searcher.leaves.view(of_gallery=False).leaves())


def _kept_labels(before: NDArray, after: NDArray, old: NDArray, new: NDArray) -> NDArray:
    """Give new leaves the labels of those most of whose rows they hold, and labels of their own otherwise."""
    labels = dict(zip(new.tolist(), new.tolist(), strict=True))
    taken: set = set()
    for label in old.tolist():
        held, counts = np.unique(after[before == label], return_counts=True)
        if len(held) and 2 * counts.max() > counts.sum() and held[counts.argmax()] in labels:
            heir = held[counts.argmax()].item() if hasattr(held, "item") else held[counts.argmax()]
            if heir not in taken:
                labels[heir] = label
                taken.add(heir)
    # Labels that were not inherited must differ from those that were.
    kept = {labels[heir] for heir in taken}
    free = (label for label in _others(new, kept))
    return np.array(
        [labels[label] if label in taken else next(free) for label in new.tolist()], dtype=object
    ).astype(np.result_type(old, new) if old.dtype.kind != "O" else object)


def _others(new: NDArray, kept: set) -> Any:
    """Yield provisional labels that are not taken, without end."""
    for label in new.tolist():
        if label not in kept:
            yield label
    number = len(new)
    while True:
        number += 1
        label = f"new {number}" if new.dtype.kind in "UO" else new.max() + number
        if label not in kept and label not in new.tolist():
            yield label


def edited(
    searcher: Searcher, name: Mapping | None, merge: Sequence[ArrayLike] | None, drop: ArrayLike | None
) -> Searcher:
    """Name, merge and drop discovered leaves, in this order; see `HierarchicalRetriever.discover`."""
    new, model = discovered_of(searcher), searcher.leaves.model
    if name is not None and not isinstance(name, Mapping):
        raise ValueError(f"name must be a mapping from leaves to labels, got {name!r}.")
    if isinstance(merge, (str, Mapping)) or any(isinstance(leaves, str) for leaves in merge or ()):
        raise ValueError(f"merge must be a sequence of sequences of leaves, got {merge!r}.")
    if name:
        new = _named(new, name, model.closed.tree.classes)
    for leaves in merge or ():
        places = _places(new, leaves)
        if len(places) < 2:
            raise ValueError(f"Two leaves or more can be merged, got {leaves!r}.")
        new = new.merged(places)
    if drop is not None:
        kept = np.ones(len(new.labels), dtype=bool)
        kept[_places(new, np.atleast_1d(np.asarray(drop)))] = False
        new = new.kept(kept)
    changed = replace(searcher, leaf_model=model.opened(new))
    return changed.renewed() if merge or drop is not None else changed


def _named(new: DiscoveredClasses, name: Mapping, classes: NDArray) -> DiscoveredClasses:
    places = _places(new, list(name))
    labels = new.labels.tolist()
    given = np.asarray(list(name.values()))
    check_none_missing(given, "names of leaves")
    check_same_kind(given, classes, "Names of leaves", "the labels seen at fit")
    for place, label in zip(places, given.tolist(), strict=True):
        labels[place] = label
    clash = sorted({label for label in labels if labels.count(label) > 1 or label in set(classes.tolist())})
    if clash:
        raise ValueError(f"Classes or other leaves have these names already: {shorten(clash)}.")
    as_labels = np.array(labels, dtype=object if classes.dtype.kind == "O" else None)
    return new.relabelled(as_labels)


def _places(new: DiscoveredClasses, leaves: Any) -> list[int]:
    place = {label: i for i, label in enumerate(new.labels.tolist())}
    wanted = np.asarray(leaves, dtype=object).ravel().tolist()
    gone = [label for label in wanted if label not in place]
    if gone:
        raise ValueError(f"The gallery has no discovered leaves {shorten(gone)}; see discovered_.")
    if len(set(wanted)) < len(wanted):
        raise ValueError("Each leaf may be given once.")
    return [place[label] for label in wanted]
