"""Leaves of a gallery: its labels, where they are known, or what a class model predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.building import HeldOutLeaves, LeafModel, certain


class LeafKind(NamedTuple):
    """What leaves are: one class or several, predicted or, where known, labels."""

    assignment: str
    source: str


class LeafOrigin(NamedTuple):
    """Where the leaves of a gallery come from.

    Attributes
    ----------
    gallery_leaves : {"auto", "predicted", "labels"}
        For new queries.
    n_train : int
        The first so many samples of the gallery were those of fit.
    held_out : HeldOutLeaves or None
        Their leaves, by class models that did not see them; None where they are not at hand.
    """

    gallery_leaves: str = "predicted"
    n_train: int = 0
    held_out: HeldOutLeaves | None = None


def leaves_of_gallery(
    leaf_model: LeafModel,
    kind: LeafKind,
    origin: LeafOrigin,
    X: NDArray,
    labels: NDArray | None,
    serials: NDArray[np.intp],
    assign: Callable[[NDArray], NDArray],
    for_class_model: Callable[[NDArray], NDArray],
) -> NDArray:
    """Leaves of samples of a gallery.

    Parameters
    ----------
    leaf_model : LeafModel
    kind : LeafKind
        Of the result.
    origin : LeafOrigin
    X : ndarray of shape (n_samples, n_features)
        All training samples that are left, or none.
    labels : ndarray of shape (n_samples,) or None
    serials : ndarray of shape (n_samples,)
        Number of each sample in the gallery; the training samples come first.
    assign : callable
        Gives the leaves that the class model predicts.
    for_class_model : callable
        Gives what the class model is fitted to.
    """
    known = np.full(len(X), -1)
    if kind.source == "labels":
        known = leaf_model.of_labels(labels, origin.gallery_leaves)
    leaves = certain(np.maximum(known, 0), assign(X[:1]))
    trained = np.flatnonzero(serials < origin.n_train)
    if np.any(known[trained] < 0):
        held_out = None if origin.held_out is None else origin.held_out.of_kind(kind.assignment)
        if held_out is None:
            assert labels is not None
            features = for_class_model(X[trained])
            mine = leaf_model.held_out(features, labels[trained], kind.assignment).leaves
        else:
            mine = held_out[serials[trained]]
        todo = known[trained] < 0
        leaves[trained[todo]] = mine[todo]
    todo = np.flatnonzero((known < 0) & (serials >= origin.n_train))
    if len(todo):
        leaves[todo] = assign(X if len(todo) == len(X) else X[todo])
    return leaves
