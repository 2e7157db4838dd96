"""What tells samples of known classes from those of new ones: four signs, weighed by held-out classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from scipy.special import logsumexp
from sklearn.linear_model import LogisticRegression

from sklearn_hierret._arrays import row_chunks, unit_rows
from sklearn_hierret._state import value
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.class_models import HeldOutLeaves
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.statistics import row_keys, smallest_of_classes

#: Reference rows of the training set, and of a gallery: more tell hardly more (docs/new_classes.md).
N_REFERENCE = 1024
#: Neighbours whose mean cosine says how near reference rows are.
N_NEAR = 5
#: Groups of classes that are new once, in the simulation that weighs the signs.
N_GROUPS = 5
#: Held-out samples of a fold, and rows of a class that a prototype of the simulation is made of.
MOST_HELD, MOST_OF_CLASS = 1024, 32
#: Concentration where nothing was held out.
DEFAULT_CONCENTRATION = 20.0

#: ``held_out(fold, others, X)`` gives visual rows of samples by a metric that did not see their fold.
HeldOutRows = Callable[[int, NDArray[np.intp], NDArray], NDArray]


@value("evidence")
@dataclass(frozen=True)
class Evidence:
    """What a fit keeps in order to tell known classes from new ones.

    The signs of a sample are, in this order: how much nearer it is to gallery rows than to the nearest
    prototype; how much nearer it is to gallery rows than to training rows; its negative log-density under
    the prototypes; the negative logarithm of its largest class probability. All of them are larger for new
    classes.

    Attributes
    ----------
    metric : VisualMetric
    prototypes : ndarray of shape (n_classes, n_visual), float32
        Unit mean directions of the classes.
    counts : ndarray of shape (n_classes,)
        Training samples of each class.
    concentration : float
        Of von Mises-Fisher distributions around the prototypes, by held-out likelihood.
    reference : ndarray of shape (n_reference, n_visual), float32
        Visual rows of some training samples.
    coefficients : ndarray of shape (5,) or None
        Weights of the signs and an intercept, in the log-odds that a class is known where half of them
        are; None where nothing could be held out.
    """

    metric: VisualMetric
    prototypes: NDArray[np.float32]
    counts: NDArray[np.float64]
    concentration: float
    reference: NDArray[np.float32]
    coefficients: NDArray[np.float64] | None = None

    @property
    def log_share(self) -> NDArray[np.float64]:
        """Logarithm of the share of each class in the training set."""
        return np.log(self.counts / self.counts.sum())

    def visual(self, X: NDArray) -> NDArray[np.float32]:
        """Map features to rows of unit length."""
        return self.metric.rows(X)[0].astype(np.float32, copy=False)

    def scores(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute log-densities of the known classes, up to a constant, weighed by their shares."""
        scores = rows @ self.prototypes.T
        scores *= np.float32(self.concentration)
        scores += self.log_share.astype(np.float32)
        return scores

    def signs(
        self,
        rows: NDArray[np.float32],
        scores: NDArray[np.float32],
        largest: NDArray,
        gallery: NDArray[np.float32],
        own: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float64]:
        """Compute the signs of samples.

        Parameters
        ----------
        rows : ndarray of shape (n_samples, n_visual)
        scores : ndarray of shape (n_samples, n_classes)
        largest : ndarray of shape (n_samples,)
            Largest class probability of each.
        gallery : ndarray of shape (n_gallery, n_visual)
            Reference rows of the gallery.
        own : ndarray of shape (n_samples,), optional
            The reference row that each sample is itself; -1 for none.
        """
        near = nearness(rows @ gallery.T, own)
        nearest = ((scores - self.log_share.astype(np.float32)).max(axis=1)) / self.concentration
        to_training = nearness(rows @ self.reference.T, None)
        return signs_of(near, nearest, to_training, logsumexp(scores, axis=1), largest)

    def known_log_odds(self, signs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the log-odds that classes are known, where half of them are."""
        if self.coefficients is None:
            return np.full(len(signs), np.inf)
        return signs @ self.coefficients[:-1] + self.coefficients[-1]


def signs_of(
    near: NDArray, nearest: NDArray, to_training: NDArray, log_density: NDArray, largest: NDArray
) -> NDArray[np.float64]:
    """Make the signs of nearness to gallery, prototypes and training rows, density and probability."""
    least = np.maximum(np.asarray(largest, dtype=np.float64), 1e-6)
    columns = (near - nearest, near - to_training, -log_density, -np.log(least))
    return np.stack(columns, axis=1).astype(np.float64)


def nearness(cosines: NDArray[np.float32], own: NDArray[np.intp] | None) -> NDArray[np.float32]:
    """Average the largest cosines of each row; `own` is a column of each that does not count, or -1."""
    if own is not None:
        is_there = np.flatnonzero(own >= 0)
        cosines[is_there, own[is_there]] = -2
    k = min(N_NEAR, cosines.shape[1] - (own is not None))
    if k < 1:
        return np.zeros(len(cosines), dtype=np.float32)
    return np.partition(cosines, cosines.shape[1] - k, axis=1)[:, -k:].mean(axis=1)


def class_sums(rows: NDArray, codes: NDArray[np.intp], n_classes: int) -> NDArray[np.float64]:
    """Sum the rows of each class."""
    members = csr_array((np.ones(len(rows)), (codes, np.arange(len(rows)))), shape=(n_classes, len(rows)))
    return members @ rows.astype(np.float64, copy=False)


def directions_of(sums: NDArray[np.float64]) -> NDArray[np.float32]:
    """Scale sums to unit length."""
    return unit_rows(sums)[0].astype(np.float32)


def fit_evidence(
    training: TrainingSet,
    metric: VisualMetric,
    held_out_rows: HeldOutRows,
    held_out: HeldOutLeaves | None,
) -> Evidence:
    """Keep prototypes and reference rows of a training set, and weigh the signs.

    Parameters
    ----------
    training : TrainingSet
    metric : VisualMetric
        Of all samples.
    held_out_rows : callable
        Gives visual rows by the other folds alone.
    held_out : HeldOutLeaves or None
        With the probabilities of some samples; without them nothing is weighed.
    """
    X, codes, n_classes = training.X, training.codes, len(training.classes)
    sums, reference, keys = 0.0, [], row_keys(X)
    chosen = np.sort(least(keys, N_REFERENCE))
    for part in row_chunks(len(X), 16 * X.shape[1]):
        rows = metric.rows(X[part])[0]
        sums = sums + class_sums(rows, codes[part], n_classes)
        inside = chosen[(chosen >= part.start) & (chosen < part.stop)] - part.start
        reference.append(rows[inside].astype(np.float32))
    evidence = Evidence(
        metric,
        directions_of(np.asarray(sums)),
        np.bincount(codes, minlength=n_classes).astype(np.float64),
        DEFAULT_CONCENTRATION,
        np.concatenate(reference),
    )
    if held_out is None or held_out.sample is None or held_out.proba is None:
        return evidence
    parts = [
        part
        for fold in range(int(held_out.folds.max()) + 1)
        if (part := _simulated(training, keys, held_out_rows, held_out, fold)) is not None
    ]
    if not parts:
        return evidence
    concentration = _concentration(parts)
    weights = _weights(parts, concentration, _groups(evidence.prototypes))
    return replace(evidence, concentration=concentration, coefficients=weights)


def least(keys: NDArray[np.uint64], most: int) -> NDArray[np.intp]:
    """Choose the positions of the smallest keys, in the order of the keys."""
    return np.argsort(keys, kind="stable")[:most]


@dataclass(frozen=True)
class _Simulated:
    """Held-out samples of a fold as a gallery, and what the other folds are to it.

    Attributes
    ----------
    codes : ndarray of shape (n_held,)
    proba : ndarray of shape (n_held, n_classes)
    near : ndarray of shape (n_held,)
        Nearness to each other.
    to_training : ndarray of shape (n_held, n_reference)
        Cosines to rows of other folds.
    reference_codes : ndarray of shape (n_reference,)
    to_prototypes : ndarray of shape (n_held, n_classes)
        Cosines to the prototypes of other folds.
    counts : ndarray of shape (n_classes,)
        Samples in the other folds.
    """

    codes: NDArray[np.intp]
    proba: NDArray[np.float32]
    near: NDArray[np.float32]
    to_training: NDArray[np.float32]
    reference_codes: NDArray[np.intp]
    to_prototypes: NDArray[np.float32]
    counts: NDArray[np.int64]


def _simulated(
    training: TrainingSet,
    keys: NDArray[np.uint64],
    held_out_rows: HeldOutRows,
    held_out: HeldOutLeaves,
    fold: int,
) -> _Simulated | None:
    """Compare held-out samples of a fold with each other and with the other folds."""
    X, codes, n_classes = training.X, training.codes, len(training.classes)
    assert held_out.sample is not None
    assert held_out.proba is not None
    place = np.flatnonzero(held_out.folds[held_out.sample] == fold)
    place = place[least(keys[held_out.sample[place]], MOST_HELD)]
    others = np.flatnonzero(held_out.folds != fold)
    counts = np.bincount(codes[others], minlength=n_classes)
    if len(place) <= N_NEAR or np.count_nonzero(counts) < 2:
        return None
    mine = held_out.sample[place]
    reference = others[least(keys[others], N_REFERENCE)]
    of_classes = others[smallest_of_classes(keys[others], codes[others], MOST_OF_CLASS)]
    rows = held_out_rows(fold, others, X[np.concatenate([mine, reference, of_classes])])
    rows = rows.astype(np.float32, copy=False)
    held, of_reference, of_class = np.split(rows, np.cumsum([len(mine), len(reference)]))
    prototypes = directions_of(class_sums(of_class, codes[of_classes], n_classes))
    to_each_other = held @ held[:N_REFERENCE].T
    own = np.where(np.arange(len(held)) < N_REFERENCE, np.arange(len(held)), -1)
    return _Simulated(
        codes[mine],
        held_out.proba[place],
        nearness(to_each_other, own),
        held @ of_reference.T,
        codes[reference],
        held @ prototypes.T,
        counts,
    )


def _log_share(counts: NDArray) -> NDArray[np.float64]:
    """Return logarithms of shares; -inf for none."""
    with np.errstate(divide="ignore"):
        return np.log(counts / max(1, counts.sum()))


def _concentration(parts: list[_Simulated]) -> float:
    """Choose the concentration that makes held-out samples of classes with a prototype likeliest."""

    def loss(log: float) -> float:
        losses = []
        for part in parts:
            scores = np.exp(log) * part.to_prototypes + _log_share(part.counts)
            own = scores[np.arange(len(scores)), part.codes]
            losses.append((logsumexp(scores, axis=1) - own)[np.isfinite(own)])
        return float(np.concatenate(losses).mean())

    if not any(np.any(part.counts[part.codes]) for part in parts):
        return DEFAULT_CONCENTRATION
    return float(np.exp(minimize_scalar(loss, bounds=(-1, 7), method="bounded").x))


def _groups(prototypes: NDArray[np.float32]) -> NDArray[np.intp]:
    """Deal classes to groups, whatever their labels are."""
    direction = np.random.RandomState(0).standard_normal(prototypes.shape[1])
    return np.argsort(np.argsort(prototypes @ direction)) % N_GROUPS


def _weights(
    parts: list[_Simulated], concentration: float, group: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """Weigh the signs by samples of each group of classes, as if the group were new, and of the others."""
    signs, is_new = [], []
    for part in parts:
        for new in range(N_GROUPS):
            kept = group != new
            counts = np.where(kept, part.counts, 0)
            to_training = np.where(kept[part.reference_codes], part.to_training, -2)
            if np.count_nonzero(counts) < 2 or np.count_nonzero(kept[part.reference_codes]) <= N_NEAR:
                continue
            has_prototype = counts > 0
            cosines = np.where(has_prototype, part.to_prototypes, -2)
            density = logsumexp(concentration * cosines + _log_share(counts), axis=1)
            left = part.proba * kept
            largest = left.max(axis=1) / np.maximum(left.sum(axis=1), 1e-9)
            of_training = nearness(to_training, None)
            signs.append(signs_of(part.near, cosines.max(axis=1), of_training, density, largest))
            is_new.append(~kept[part.codes])
    if not signs:
        return None
    X, new = np.concatenate(signs), np.concatenate(is_new)
    if not np.any(new) or np.all(new):
        return None
    center, scale = X.mean(axis=0), np.maximum(X.std(axis=0), np.finfo(np.float32).tiny)
    model = LogisticRegression(class_weight="balanced", solver="newton-cholesky").fit(
        (X - center) / scale, ~new
    )
    weights = model.coef_[0] / scale
    return np.append(weights, model.intercept_[0] - weights @ center)
