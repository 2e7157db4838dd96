"""Leaves of new classes: of labels that a gallery brought, or of clusters that were found in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from sklearn_hierret._state import value
from sklearn_hierret.new_classes._evidence import Evidence, class_sums, directions_of
from sklearn_hierret.statistics import row_keys, smallest_of_classes

#: An unlabelled gallery is never taken for closed beyond this share of known classes, nor for open below
#: the other one (docs/new_classes.md).
MOST_SHARE, LEAST_SHARE = 0.8, 0.35
#: At this weight of D_H a query that is as likely new as known counts its leaf by a sixteenth of the weight.
QUARTER, MOST_WEIGHT = 0.25, 16.0
#: Rows of new classes that vote, of all together and of each class at least; their concentration is this
#: multiple of that of the prototypes.
MOST_VOTERS, LEAST_VOTERS, VOTES = 1024, 8, 2.0
#: Weight of D_H at most in galleries with taught leaves, and of discovered leaves.
TAUGHT_WEIGHT, DISCOVERED_WEIGHT = 1.0, 0.5


@value("taught classes")
@dataclass(frozen=True)
class TaughtClasses:
    """Prototypes and votes of labelled gallery rows whose labels the class model lacks.

    The probability of a new class is the mean of two: that of a mixture of von Mises-Fisher distributions
    around the prototypes of known and new classes, and that of a mixture around single rows, twice as
    concentrated. The concentration is that of the known classes. The weight of a new class is its number of
    rows, plus half of the median size of the known classes in the gallery: how frequent a class of a few
    rows will be is not known yet.

    Attributes
    ----------
    labels : ndarray of shape (n_new,)
    sums : ndarray of shape (n_new, n_visual), float64
        Of visual rows.
    counts : ndarray of shape (n_new,)
    rows : ndarray of shape (n_rows, n_visual), float32
        Visual rows that vote.
    codes : ndarray of shape (n_rows,)
        Their classes.
    known_counts : ndarray of shape (n_classes,)
        Gallery rows of each known class.
    is_half : bool
        Whether one half of the gallery has taught these, for queries of the other half.
    """

    labels: NDArray
    sums: NDArray[np.float64]
    counts: NDArray[np.float64]
    rows: NDArray[np.float32]
    codes: NDArray[np.intp]
    known_counts: NDArray[np.float64]
    is_half: bool = False

    @classmethod
    def of(
        cls, labels: NDArray, rows: NDArray, codes: NDArray[np.intp], known_counts: NDArray[np.float64]
    ) -> TaughtClasses:
        """Learn from the visual rows of new classes.

        Parameters
        ----------
        labels : ndarray of shape (n_new,)
        rows : ndarray of shape (n_rows, n_visual)
        codes : ndarray of shape (n_rows,)
            Position of each row's label in `labels`.
        known_counts : ndarray of shape (n_classes,)
            Gallery rows of each known class.
        """
        n = len(labels)
        counts = np.bincount(codes, minlength=n).astype(np.float64)
        kept = _voters(rows, codes, n)
        return cls(
            labels,
            class_sums(rows, codes, n),
            counts,
            rows[kept].astype(np.float32),
            codes[kept],
            known_counts,
        )

    def joined(self, other: TaughtClasses) -> TaughtClasses:
        """Add what other rows teach; the other labels begin with these."""
        n = len(self.labels)
        sums, counts = other.sums.copy(), other.counts.copy()
        sums[:n] += self.sums
        counts[:n] += self.counts
        rows = np.concatenate([self.rows, other.rows])
        codes = np.concatenate([self.codes, other.codes])
        kept = _voters(rows, codes, len(other.labels))
        known_counts = self.known_counts + other.known_counts
        return TaughtClasses(other.labels, sums, counts, rows[kept], codes[kept], known_counts)

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """Unit mean directions."""
        return directions_of(self.sums)

    def posterior(
        self, rows: NDArray[np.float32], scores: NDArray[np.float32], evidence: Evidence
    ) -> NDArray[np.float32]:
        """Compute probabilities of the new classes."""
        present = self.known_counts[self.known_counts > 0]
        if not len(present):
            present = self.counts[self.counts > 0]
        typical = float(np.median(present)) if len(present) else 1.0
        with np.errstate(divide="ignore"):
            weights = np.where(self.counts > 0, np.log(self.counts + typical / 2), -np.inf)
            of_known = np.log(self.known_counts.sum())
        new = evidence.concentration * (rows @ self.directions.T) + weights
        by_prototypes = _shares(scores + of_known, new)
        # Every row of a class votes for as much of its weight as the others.
        n_voters = np.maximum(np.bincount(self.codes, minlength=len(self.labels)), 1)
        concentration = VOTES * evidence.concentration
        of_rows = concentration * (rows @ self.rows.T) + (weights - np.log(n_voters))[self.codes]
        of_training = concentration * (rows @ evidence.reference.T) + of_known
        votes = _shares(of_training - np.log(len(evidence.reference)), of_rows)
        by_votes = np.zeros_like(by_prototypes)
        for code in range(len(self.labels)):
            by_votes[:, code] = votes[:, self.codes == code].sum(axis=1)
        by_prototypes += by_votes
        by_prototypes /= 2
        return by_prototypes


@value("discovered classes")
@dataclass(frozen=True)
class DiscoveredClasses:
    """Clusters of gallery rows that known classes do not explain, as provisional leaves.

    Attributes
    ----------
    labels : ndarray of shape (n_new,)
        Provisional ones, or names that a user gave.
    all_directions : ndarray of shape (n_new + n_rivals, n_visual), float32
        Of the leaves, and of clusters that are no leaves but compete with them.
    weights : ndarray of shape (n_new + n_rivals,)
        Share of the gallery that each cluster holds.
    known_weights : ndarray of shape (n_classes,)
        Share of the gallery that each known class holds.
    gallery : ndarray of shape (n_reference, n_visual), float32
        Reference rows of the gallery.
    serials : ndarray of shape (n_reference,)
        Serial numbers of these.
    share : float
        Assumed share of rows whose class is known.
    probability_new : ndarray of shape (n_new,)
        Mean probability that the rows of each leaf are of a new class.
    """

    labels: NDArray
    all_directions: NDArray[np.float32]
    weights: NDArray[np.float64]
    known_weights: NDArray[np.float64]
    gallery: NDArray[np.float32]
    serials: NDArray[np.intp]
    share: float
    probability_new: NDArray[np.float64]

    @property
    def directions(self) -> NDArray[np.float32]:
        """Unit mean directions of the leaves."""
        return self.all_directions[: len(self.labels)]

    def posterior(
        self, rows: NDArray[np.float32], scores: NDArray[np.float32], evidence: Evidence
    ) -> NDArray[np.float32]:
        """Compute memberships in the discovered leaves."""
        if not len(self.labels):
            return np.zeros((len(rows), 0), dtype=np.float32)
        shift = np.log(np.maximum(self.known_weights, 1e-12)) - evidence.log_share
        new = evidence.concentration * (rows @ self.all_directions.T) + np.log(self.weights)
        return _shares(scores + shift.astype(np.float32), new)[:, : len(self.labels)]

    def relabelled(self, labels: NDArray) -> DiscoveredClasses:
        """Give the leaves other labels."""
        return replace(self, labels=labels)

    def kept(self, leaves: NDArray[np.bool_]) -> DiscoveredClasses:
        """Keep some of the leaves; the others only compete from now on."""
        n = len(self.labels)
        order = np.concatenate(
            [np.flatnonzero(leaves), np.flatnonzero(~leaves), np.arange(n, len(self.weights))]
        )
        return replace(
            self,
            labels=self.labels[leaves],
            all_directions=self.all_directions[order],
            weights=self.weights[order],
            probability_new=self.probability_new[leaves],
        )

    def merged(self, leaves: Sequence[int]) -> DiscoveredClasses:
        """Merge some of the leaves into the first of them."""
        first, rest = leaves[0], list(leaves[1:])
        weights, directions = self.weights.copy(), self.all_directions.astype(np.float64)
        chosen = list(leaves)
        shares = weights[chosen] / weights[chosen].sum()
        directions[first] = shares @ directions[chosen]
        weights[first] = weights[chosen].sum()
        probability = self.probability_new.copy()
        probability[first] = shares @ probability[chosen]
        kept = np.ones(len(weights), dtype=bool)
        kept[rest] = False
        n = len(self.labels)
        return replace(
            self,
            labels=self.labels[kept[:n]],
            all_directions=directions_of(directions[kept]),
            weights=weights[kept],
            probability_new=probability[kept[:n]],
        )


def _voters(rows: NDArray, codes: NDArray[np.intp], n_classes: int) -> NDArray[np.intp]:
    """Choose rows of each class, whatever their order is."""
    most = max(LEAST_VOTERS, MOST_VOTERS // max(1, n_classes))
    if len(codes) <= most:
        return np.arange(len(codes))
    return smallest_of_classes(row_keys(rows), codes, most)


def trust_in_known(known: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """Return how far queries of discovered galleries count the known part of their leaves.

    ``P(known) ** (2 log2(4 weight))``, so that at P(known) = 1/2 the weight of D_H times this is the less,
    the greater the weight is: 1 / (16 weight).
    """
    power = 2 * max(1.0, float(np.log2(min(weight, MOST_WEIGHT) / QUARTER)) if weight > 0 else 1.0)
    return known**power


def trust_in_discovered(weight: float) -> float:
    """Return how far they count the discovered part: times the weight of D_H this is at most 1/2."""
    return DISCOVERED_WEIGHT * min(1.0, 1 / min(max(weight, 1e-9), MOST_WEIGHT))


def _shares(known: NDArray, new: NDArray) -> NDArray[np.float32]:
    """Return the share of each new class in the sum of all exponentials."""
    top = np.maximum(known.max(axis=1), new.max(axis=1, initial=-np.inf))[:, None]
    top = np.where(np.isfinite(top), top, 0)
    total = logsumexp(np.concatenate([known - top, new - top], axis=1), axis=1, keepdims=True)
    total = np.where(np.isfinite(total), total, 0)  # nothing has any weight
    return np.exp(new - top - total).astype(np.float32)
