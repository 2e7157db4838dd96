"""Leaves of a gallery: its labels, where they are known, or what a class model predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.building import HeldOutLeaves, LeafModel, float_dtype, hard_leaves, joined_leaves


class LeafKind(NamedTuple):
    """What leaves are: one class or several, predicted or, where known, labels.

    With `unknown_on_root`, a sample with a label that the hierarchy lacks is 1 away from all leaves.
    """

    assignment: str
    source: str
    unknown_on_root: bool = False


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

    def kept(self, is_alive: NDArray[np.bool_]) -> LeafOrigin:
        """Of the samples that are left, by serial number."""
        trained = is_alive[: self.n_train]
        held_out = self.held_out
        if held_out is not None:
            held_out = HeldOutLeaves(held_out.leaves[trained], held_out.folds[trained])
        return self._replace(n_train=int(trained.sum()), held_out=held_out)


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
        known = leaf_model.of_labels(labels, "auto" if kind.unknown_on_root else origin.gallery_leaves)
    by_label = np.flatnonzero(known >= 0)
    held_out = np.flatnonzero((known < 0) & (serials < origin.n_train))
    others = np.flatnonzero((known < 0) & (serials >= origin.n_train))
    parts = [(by_label, hard_leaves(known[by_label], float_dtype(X)))] if len(by_label) else []
    if len(held_out):
        there = None if origin.held_out is None else origin.held_out.of_kind(kind.assignment)
        if there is not None:
            mine = there[serials[held_out]]
        else:
            assert labels is not None
            trained = np.flatnonzero(serials < origin.n_train)
            features = for_class_model(X[trained])
            mine = leaf_model.held_out(features, labels[trained], kind.assignment).leaves
            mine = mine[np.searchsorted(trained, held_out)]
        parts.append((held_out, mine))
    if len(others) or not parts:
        parts.append((others, assign(X if len(others) == len(X) else X[others])))
    if kind.unknown_on_root:
        parts = [(rows, leaves if rows is by_label else _on_root(leaves)) for rows, leaves in parts]
    if len(parts) == 1:
        return parts[0][1]
    rows = np.concatenate([rows for rows, _ in parts])
    return joined_leaves([leaves for _, leaves in parts])[np.argsort(rows)]


def _on_root(leaves: NDArray) -> NDArray:
    """The same classes with no probability: all of it lies on the root."""
    leaves = leaves.copy()
    leaves["probability"] = 0
    return leaves
