"""Changes of a gallery that are more than additions and removals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_same_kind, plain_labels
from sklearn_hierret.retrieval._columns import Column
from sklearn_hierret.retrieval._metadata import Metadata
from sklearn_hierret.retrieval._samples import one_per_row
from sklearn_hierret.retrieval._searcher import Searcher


def replaced(searcher: Searcher, X: NDArray, y: Any, ids: ArrayLike | None, *others: Any) -> Searcher:
    """Add samples at the end of the gallery, in place of those that have their ids."""
    if ids is None:
        raise ValueError("if_exists='replace' needs ids.")
    there = searcher.gallery.samples.those_there(ids)
    searcher = searcher.with_removed(there) if len(there) else searcher
    return searcher.with_added(X, y, ids, *others)


def with_metadata(searcher: Searcher, metadata: Metadata | None, ids: ArrayLike | None = None) -> Searcher:
    """Put a table beside the samples, or change what it says of some of them."""
    gallery = searcher.gallery.compacted()
    samples = gallery.samples
    if ids is not None and metadata is not None:
        if samples.metadata is None:
            raise ValueError("The gallery has no metadata to change: set_metadata(table) gives it some.")
        metadata = samples.metadata.changed(samples.positions_of(ids), metadata)
    gallery = replace(gallery, samples=replace(samples, metadata=metadata))
    return replace(searcher, gallery=gallery.with_held_out(gallery.held_out))


def corrected(searcher: Searcher, ids: ArrayLike, labels: ArrayLike) -> Searcher:
    """Correct labels of gallery samples; their leaves are made anew by `taught_again`."""
    gallery = searcher.gallery.compacted()
    if gallery.labels is None:
        raise ValueError("The gallery has no labels to correct: pass y to set_gallery.")
    positions = gallery.samples.positions_of(ids)
    corrected = one_per_row(np.atleast_1d(plain_labels(labels)), len(positions), "labels")
    check_same_kind(corrected, gallery.labels, "labels", "those of the gallery")
    # Longer names need room.
    y = np.concatenate([gallery.labels, corrected])[: len(gallery)]
    y[positions] = corrected
    origin = gallery.origin
    if origin.n_train and origin.fit_labels is None and not origin.by_fold:
        origin = origin._replace(fit_labels=gallery.labels[: origin.n_train])
    samples = replace(gallery.samples, labels=Column((y,)))
    return replace(searcher, gallery=replace(gallery, samples=samples, origin=origin))


def taught_again(searcher: Searcher) -> Searcher:
    """Let the labels of the gallery teach anew, and compute its leaves."""
    gallery, parents = searcher.gallery, None
    if searcher.leaf_model is not None and searcher.leaf_model.parents and gallery.labels is not None:
        there = set(np.unique(gallery.labels).tolist())
        parents = {label: name for label, name in searcher.leaf_model.parents if label in there}
    table = gallery.compacted().samples.metadata
    searcher = searcher.over(gallery.features, gallery.labels, gallery.ids, gallery.origin, parents, table)
    return searcher.with_ids_after(gallery.samples.next_id)
