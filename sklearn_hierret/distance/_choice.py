"""Whether to whiten, and how much to shrink: by what held-out samples retrieve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret.distance._precision import average_precision, loss_and_error, within_one_error
from sklearn_hierret.distance._whitening import Whitening
from sklearn_hierret.statistics import Parts, WithinClasses

#: Amounts of shrinkage that are tried, in the order of preference; None is plain cosine. Closed forms are
#: smaller than all of them, and worse (docs/defaults.md).
SHRINKAGES: tuple[float | None, ...] = (None, 1.0, 0.9, 0.75, 0.6, 0.45, 0.3, 0.2, 0.1)
#: Where nothing can be held out.
DEFAULT_SHRINKAGE = 0.5
#: With so few classes the held-out ones say nothing: a group has two at most.
TOO_FEW_CLASSES = 10
#: Queries of all folds and of all groups, and samples of a part that they are compared with.
MOST_QUERIES, MOST_COMPARED = 1200, 1536


@dataclass(frozen=True)
class WhiteningChoice:
    """The whitening that was chosen, of all samples and without a fold.

    Attributes
    ----------
    shrinkage : float or None
        None is plain cosine.
    parts : Parts
    """

    shrinkage: float | None
    parts: Parts

    def whitening(self, fold: int | None = None) -> Whitening | None:
        """Whiten by all samples, or by those that are not in a fold.

        None is plain cosine, also where a fold leaves nothing to whiten by.
        """
        within = self._within(fold)
        return None if within is None or self.shrinkage is None else Whitening.of(within, self.shrinkage)

    def rows_without(self, fold: int, X: NDArray) -> NDArray | None:
        """Whiten rows by the samples that are not in a fold, up to a rotation and rounding.

        Their cosines are those of the whitened rows. None is plain cosine.

        Parameters
        ----------
        fold : int
        X : ndarray of shape (n_samples, n_features)
        """
        within = self._within(fold)
        if within is None or self.shrinkage is None:
            return None
        if within.directions.shape[1] < X.shape[1]:
            return Whitening.of(within, self.shrinkage).rows(X)[0]
        scaled = within.directions * within.scales(self.shrinkage)[0]
        away = unit_rows(X)[0] - within.mean.astype(X.dtype)
        return unit_rows(away @ scaled.astype(X.dtype))[0]

    def _within(self, fold: int | None) -> WithinClasses | None:
        if self.shrinkage is None or self.parts.statistics.without(fold)[0].sum() < 2:
            return None
        within = self.parts.within(fold)
        return within if within.has_spread else None


def choose_whitening(
    parts: Parts, shrinkage: float | str = "auto", *, may_be_cosine: bool = False
) -> WhiteningChoice:
    """Choose the shrinkage, or plain cosine.

    Samples of each fold are retrieved from that fold, whitened by the others: known classes. Samples of each
    group of classes are retrieved from that group, whitened by the other classes: new ones. A query counts
    by the mean of AP@1 and AP@20, and both kinds of queries count alike. Of the candidates whose loss to the
    best is at most one standard error, the first of `SHRINKAGES` is taken. Where plain cosine is a
    candidate, no other one may be worse than it for either kind by more than a standard error.

    Parameters
    ----------
    parts : Parts
    shrinkage : float in [0, 1] or "auto", default="auto"
    may_be_cosine : bool, default=False
        Whether plain cosine is a candidate. It is taken where there are too few classes to hold some out.
    """
    has_spread = parts.within().has_spread
    if not has_spread:
        return WhiteningChoice(None, parts)
    if not isinstance(shrinkage, str):
        return WhiteningChoice(float(shrinkage), parts)
    if may_be_cosine and len(parts.statistics.classes) <= TOO_FEW_CLASSES:
        return WhiteningChoice(None, parts)
    candidates = SHRINKAGES if may_be_cosine else SHRINKAGES[1:]
    kinds = [scores for scores in (_of_known(parts, candidates), _of_new(parts, candidates)) if len(scores)]
    if may_be_cosine and len(kinds) < 2:
        return WhiteningChoice(None, parts)
    if not kinds:
        return WhiteningChoice(DEFAULT_SHRINKAGE, parts)
    return WhiteningChoice(candidates[preferred(kinds, guard=may_be_cosine)], parts)


def preferred(kinds: Sequence[NDArray[np.float64]], guard: bool) -> int:
    """Find the first column that is as good as the best, over several kinds of queries that count alike.

    Parameters
    ----------
    kinds : sequence of ndarrays of shape (n_queries, n_candidates)
    guard : bool
        Whether no column may be worse than the first for any kind, by more than a standard error.
    """
    means = np.mean([scores.mean(axis=0) for scores in kinds], axis=0)
    allowed = np.ones(len(means), dtype=bool)
    if guard:
        for scores in kinds:
            allowed &= within_one_error(scores, 0)
    best = int(np.where(allowed, means, -np.inf).argmax())
    losses, errors = zip(*(loss_and_error(scores, best) for scores in kinds), strict=True)
    loss, error = np.mean(losses, axis=0), np.sqrt(np.sum(np.square(errors), axis=0)) / len(kinds)
    return int(np.flatnonzero(allowed & (loss <= error + 1e-12))[0])


def _of_known(parts: Parts, candidates: Sequence[float | None]) -> NDArray[np.float64]:
    """Score candidates by samples of each fold, (n_queries, n_candidates)."""
    statistics, results = parts.statistics, []
    for fold in range(statistics.n_folds):
        if np.count_nonzero(statistics.class_counts - statistics.counts[fold]) >= 2:
            rows = parts.held(fold)
            results.append(_scores(parts, rows, parts.within(fold), candidates, statistics.n_folds))
    return np.concatenate([np.empty((0, len(candidates))), *results])


def _of_new(parts: Parts, candidates: Sequence[float | None]) -> NDArray[np.float64]:
    """Score candidates by samples of each group of classes, (n_queries, n_candidates)."""
    groups = parts.groups()
    results = [_scores(parts, group.held, group.within, candidates, len(groups)) for group in groups]
    return np.concatenate([np.empty((0, len(candidates))), *results])


def _scores(
    parts: Parts,
    rows: NDArray[np.intp],
    within: WithinClasses,
    candidates: Sequence[float | None],
    n_parts: int,
) -> NDArray[np.float64]:
    """Score candidates by some kept rows that retrieve each other, (n_queries, n_candidates)."""
    rows = _some_of_each_class(parts, rows)
    labels = parts.statistics.codes[rows]
    counts = np.bincount(labels, minlength=len(parts.statistics.classes))
    queries = np.flatnonzero(counts[labels] > 1)[: MOST_QUERIES // n_parts]
    if not within.has_spread or not len(queries):
        return np.empty((0, len(candidates)))
    scores = np.empty((len(queries), len(candidates)))
    wanted = labels[queries]
    for i, distances in enumerate(_distances(parts.statistics.rows[rows], queries, within, candidates)):
        distances[np.arange(len(queries)), queries] = np.inf
        first = labels[distances.argmin(axis=1)] == wanted
        scores[:, i] = (first + average_precision(distances, labels, wanted, counts)) / 2
    return scores


def _some_of_each_class(parts: Parts, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Choose some of many rows, in the order of their keys: many of a class rather than of all classes."""
    if len(rows) <= MOST_COMPARED:
        return rows
    codes = parts.statistics.codes[rows]
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    sizes = np.diff(starts, append=len(codes))
    # Classes in the order of their first rows, so that the order of the labels does not matter.
    by_key = np.argsort(order[starts], kind="stable")
    chosen, n_chosen = [], 0
    most = max(32, MOST_COMPARED // len(starts))
    for start, size in zip(starts[by_key].tolist(), sizes[by_key].tolist(), strict=True):
        chosen.append(order[start : start + min(size, most)])
        n_chosen += len(chosen[-1])
        if n_chosen >= MOST_COMPARED:
            break
    return rows[np.sort(np.concatenate(chosen))]


def _distances(
    unit: NDArray,
    queries: NDArray[np.intp],
    within: WithinClasses,
    candidates: Sequence[float | None],
) -> Iterator[NDArray]:
    """Negative cosines of some rows to all of them, under each candidate."""
    away = (unit - within.mean).astype(np.float32)
    along = away @ within.directions.astype(np.float32)
    # What lies at right angles to all directions is scaled alike.
    rest = away[queries] @ away.T
    squares = np.einsum("ij,ij->i", away, away)
    for candidate in candidates:
        if candidate is None:
            plain = unit.astype(np.float32, copy=False)
            yield -(plain[queries] @ plain.T)
            continue
        scales, of_rest = within.scales(candidate)
        weights = ((scales / of_rest) ** 2 - 1).astype(np.float32)
        products = (along[queries] * weights) @ along.T
        products += rest
        lengths = np.sqrt(np.maximum(np.square(along) @ weights + squares, np.float32(1e-20)))
        products /= -lengths[queries, None] * lengths
        yield products
