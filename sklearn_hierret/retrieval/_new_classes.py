"""Leaf models of galleries that bring new classes: by labels, or by clusters."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.new_classes import LEAST_ROWS, MOST_ROWS, Sampled, TaughtClasses, discover
from sklearn_hierret.retrieval._gallery import Gallery, LeafOrigin
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._options import Options
from sklearn_hierret.statistics import row_keys


def opened(
    model: LeafModel | None, X: NDArray, labels: NDArray | None, origin: LeafOrigin, options: Options
) -> LeafModel | None:
    """Make the leaf model of a gallery, whatever classes an earlier one brought.

    Raises
    ------
    ValueError
        If clusters are asked for, and the gallery is too small or the fit kept no evidence.
    """
    if model is None or model.evidence is None:
        if origin.new_classes == "discover":
            check_evidence(model)
        return model
    closed = model.closed
    if labels is not None and origin.labels_teach:
        return _taught(closed, X, labels)
    if origin.n_train or not asks_for_clusters(closed, labels, origin, options):
        return closed
    if len(X) < 2 * LEAST_ROWS:
        if origin.new_classes == "discover":
            raise ValueError(
                f"new_classes='discover' needs a gallery of at least {2 * LEAST_ROWS} samples, twice the "
                f"least cluster; this one has {len(X)}."
            )
        return closed
    return discovered(closed, X, np.arange(len(X)), options)


def asks_for_clusters(model: LeafModel, labels: NDArray | None, origin: LeafOrigin, options: Options) -> bool:
    """Tell whether clusters are sought in a gallery."""
    if origin.new_classes == "discover":
        check_evidence(model)
        return True
    heeds = options.novelty is not False and model.known_model.tells_known
    if origin.new_classes != "auto" or labels is not None or not heeds:
        return False
    is_able = model.evidence is not None and model.evidence.coefficients is not None
    if not is_able:
        options.print("nothing was held out that tells new classes from known ones: no clusters are sought")
    return is_able


def check_evidence(model: LeafModel | None) -> None:
    """Raise a ValueError unless new classes can be told from known ones."""
    if model is None or model.evidence is None or model.evidence.coefficients is None:
        raise ValueError(
            "new_classes='discover' needs held-out classes that tell what is new: fit with more classes, "
            "with DiscriminantClassifier or alpha='auto', and with new_classes other than 'ignore'."
        )


def discovered(model: LeafModel, X: NDArray, serials: NDArray[np.intp], options: Options) -> LeafModel:
    """Seek clusters in a gallery; the result does not depend on the order of the rows."""
    start, evidence = time.perf_counter(), model.evidence
    assert evidence is not None
    chosen = np.argsort(row_keys(X), kind="stable")[:MOST_ROWS]
    sample = X[chosen]
    assignment = "soft" if model.known_model.tells_proba else "hard"
    leaves = np.concatenate(
        [
            model.known_model.leaves(sample[part], assignment)[:, :1]
            for part in row_chunks(len(sample), 16 * X.shape[1])
        ]
    )[:, 0]
    sampled = Sampled(
        evidence.visual(sample), serials[chosen], leaves["leaf"].astype(np.intp), leaves["probability"]
    )
    new = discover(sampled, evidence)
    new = new.relabelled(provisional_labels(model.tree.classes, len(new.labels)))
    passed = time.perf_counter() - start
    options.print(f"{len(new.labels)} provisional leaves of new classes in {passed:.1f} s")
    return model.opened(new)


def provisional_labels(classes: NDArray, n: int) -> NDArray:
    """Make labels of the kind of the classes that no class has."""
    used = set(classes.tolist())
    if classes.dtype.kind in "iuf":
        first = int(np.floor(max(used, default=0))) + 1
        return np.arange(first, first + n).astype(classes.dtype)
    labels: list = []
    number = 0
    while len(labels) < n:
        number += 1
        if f"new {number}" not in used:
            labels.append(f"new {number}")
    return np.array(labels, dtype=object if classes.dtype.kind == "O" else None) if n else classes[:0]


def _taught(closed: LeafModel, X: NDArray, labels: NDArray) -> LeafModel:
    """Let labelled rows teach the classes that the class model lacks."""
    known = closed.known_model.classes
    is_new = ~np.isin(labels, known)
    if not np.any(is_new):
        return closed
    new, codes = np.unique(labels[is_new], return_inverse=True)
    assert closed.evidence is not None
    rows = closed.evidence.visual(X[is_new])
    return closed.opened(TaughtClasses.of(new, rows, codes, _counts(labels[~is_new], known)))


def taught_more(model: LeafModel | None, X: NDArray, labels: NDArray, gallery: Gallery) -> LeafModel | None:
    """Let rows that are added to a labelled gallery teach; leaves that are there keep their numbers."""
    if model is None or model.evidence is None or not gallery.origin.labels_teach:
        return model
    known, old = model.known_model.classes, model.new
    is_new = ~np.isin(labels, known)
    if old is None and not np.any(is_new):
        return model
    before = labels[:0] if old is None else old.labels
    added = np.setdiff1d(labels[is_new], before)
    new = np.concatenate([before, added]) if len(before) else added
    rows, counts = model.evidence.visual(X[is_new]), _counts(labels[~is_new], known)
    taught = TaughtClasses.of(new, rows, _codes(labels[is_new], new), counts)
    if isinstance(old, TaughtClasses):
        return model.opened(old.joined(taught))
    assert gallery.labels is not None
    return model.opened(replace(taught, known_counts=counts + _counts(gallery.labels, known)))


def taught_less(model: LeafModel | None, gallery: Gallery) -> LeafModel | None:
    """Let what is left of a gallery teach."""
    if model is None or not isinstance(model.new, TaughtClasses):
        return model
    assert gallery.labels is not None
    new = model.new.labels[np.isin(model.new.labels, gallery.labels)]
    return (
        model.opened(_taught_by(model, gallery, new, np.arange(len(gallery)))) if len(new) else model.closed
    )


def by_halves(model: LeafModel, gallery: Gallery) -> tuple[NDArray[np.intp], list[LeafModel]]:
    """Return the half of each gallery row, and for each half a model that only the other half has taught.

    So no row takes part in the leaves that it, or what it is compared with, has as a query.
    """
    labels, taught = gallery.labels, model.new
    assert labels is not None
    assert isinstance(taught, TaughtClasses)
    half = np.empty(len(gallery), dtype=np.intp)
    for part in row_chunks(len(gallery), 16 * gallery.queries(np.arange(min(1, len(gallery)))).size):
        positions = np.arange(part.start, part.stop)
        half[part] = (row_keys(gallery.queries(positions)) >> np.uint64(40)) & np.uint64(1)
    models = []
    for mine in (0, 1):
        of_others = _taught_by(model, gallery, taught.labels, np.flatnonzero(half != mine))
        models.append(model.opened(replace(of_others, is_half=True)))
    return half, models


def _taught_by(
    model: LeafModel, gallery: Gallery, new: NDArray, positions: NDArray[np.intp]
) -> TaughtClasses:
    """Return what some gallery rows teach about new labels."""
    assert gallery.labels is not None
    labels, known = gallery.labels[positions], model.known_model.classes
    is_new = ~np.isin(labels, known)
    rows = _visual(model, gallery, positions[is_new])
    return TaughtClasses.of(new, rows, _codes(labels[is_new], new), _counts(labels[~is_new], known))


def _codes(labels: NDArray, distinct: NDArray) -> NDArray[np.intp]:
    """Return the place of each label among distinct ones in any order."""
    place = np.argsort(distinct, kind="stable")
    return place[np.searchsorted(distinct[place], labels)]


def _visual(model: LeafModel, gallery: Gallery, positions: NDArray[np.intp]) -> NDArray:
    """Return the visual rows of some gallery samples, as the evidence has them."""
    assert model.evidence is not None
    if gallery.metric is model.evidence.metric:
        return gallery.queries(positions)
    return model.evidence.visual(gallery.features_at(positions))


def _counts(labels: NDArray, known: NDArray) -> NDArray[np.float64]:
    """Count the rows of each known class."""
    distinct, counts = np.unique(labels, return_counts=True)
    by_label = dict(zip(distinct.tolist(), counts.tolist(), strict=True))
    return np.array([by_label.get(label, 0) for label in known.tolist()], dtype=np.float64)
