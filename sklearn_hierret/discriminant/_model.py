"""A fitted discriminant model as values: the space, the votes, and the blend of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks, unit_rows
from sklearn_hierret._state import value
from sklearn_hierret.statistics import ROUNDING, WithinClasses

#: Directions whose variance between classes is a smaller share of the largest one are noise.
NEGLIGIBLE = 1e-10
#: Classes that are voted on, and rows of a class that vote.
N_CANDIDATES, N_VOTERS = 16, 512
#: MiB of scores and their copies at once: a third of the time that 1 GiB takes with thousands of classes.
CHUNK = 64


@value("discriminant space")
@dataclass(frozen=True)
class DiscriminantSpace:
    """A projection of unit rows to another unit sphere.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    components : ndarray of shape (n_components, n_features)
    """

    mean: NDArray
    components: NDArray

    def transform(self, X: NDArray) -> NDArray:
        """Map rows of any length to unit vectors; zero rows stay zero."""
        return self.transform_unit(unit_rows(X)[0])

    def transform_unit(self, unit: NDArray) -> NDArray:
        """Map rows that are of unit length or zero to unit vectors."""
        projected = unit @ self.components.T
        projected -= self.components @ self.mean
        projected[~unit.any(axis=1)] = 0
        return unit_rows(projected)[0]


def discriminant_space(
    within: WithinClasses, shrinkage: float, n_components: int | None, dtype: np.dtype
) -> tuple[DiscriminantSpace, NDArray]:
    """Make the discriminant space, and the directions of the class means in it.

    Parameters
    ----------
    within : WithinClasses
    shrinkage : float in [0, 1]
    n_components : int or None
        Directions to keep at most, those in which class means differ most.
    dtype : dtype

    Returns
    -------
    space : DiscriminantSpace
    class_directions : ndarray of shape (n_classes, n_components)
        Of unit length, or zero.
    """
    whitening = within.directions * within.scales(shrinkage)[0]
    between = within.deviations[within.present] @ whitening
    # The smaller of the two Gram matrices has the same eigenvalues.
    by_class = len(between) <= between.shape[1]
    gram = between @ between.T if by_class else between.T @ between
    values, vectors = np.linalg.eigh(gram)
    most = min(len(between) - 1, between.shape[1], n_components or len(values))
    kept = np.arange(len(values))[::-1][: max(1, most)]
    kept = kept[values[kept] > NEGLIGIBLE * max(values[-1], ROUNDING)]
    axes = vectors[:, kept]
    if by_class:
        axes = between.T @ (axes / np.sqrt(values[kept]))
    if not len(kept):  # the class means are all equal
        axes = np.zeros((between.shape[1], 1))
    components = (whitening @ axes).T
    directions = unit_rows(within.deviations @ components.T)[0]
    return DiscriminantSpace(within.mean.astype(dtype), components.astype(dtype)), directions.astype(dtype)


@value("voters")
@dataclass(frozen=True)
class Voters:
    """Kept rows in the discriminant space, sorted by class.

    Attributes
    ----------
    Z : ndarray of shape (n_voters, n_components)
    starts : ndarray of shape (n_classes + 1,)
        Rows of class c are starts[c]:starts[c + 1].
    weights : ndarray of shape (n_classes,)
        Samples that each row of a class stands for.
    row_weights : ndarray of shape (n_voters,) or None
        Factors of the weights, where there are sample weights.
    """

    Z: NDArray
    starts: NDArray[np.intp]
    weights: NDArray[np.float64]
    row_weights: NDArray[np.float64] | None = None

    @classmethod
    def of(
        cls,
        Z: NDArray,
        codes: NDArray[np.intp],
        counts: NDArray,
        most: int = N_VOTERS,
        row_weights: NDArray[np.float64] | None = None,
    ) -> Voters:
        """Take the first rows of each class, of rows that are sorted by class."""
        starts = np.searchsorted(codes, np.arange(len(counts) + 1))
        rank = np.arange(len(codes)) - starts[codes]
        chosen = rank < most
        starts = np.searchsorted(codes[chosen], np.arange(len(counts) + 1))
        if row_weights is not None:
            row_weights = row_weights[chosen]
        of_voters = np.bincount(codes[chosen], row_weights, minlength=len(counts))
        return cls(Z[chosen], starts, counts / np.where(of_voters > 0, of_voters, 1), row_weights)

    def votes(self, Z: NDArray, candidates: NDArray[np.intp], widths: Sequence[float]) -> NDArray[np.float64]:
        """Share of each candidate in the votes, for several widths of the kernel.

        A row votes for its class with weight ``exp((cosine - 1) / width)``, times the samples it
        stands for. Where every weight vanishes, candidates share alike.

        Parameters
        ----------
        Z : ndarray of shape (n_samples, n_components)
        candidates : ndarray of shape (n_samples, n_candidates)
        widths : sequence of float

        Returns
        -------
        votes : ndarray of shape (n_widths, n_samples, n_candidates)
        """
        votes = np.zeros((len(widths), candidates.size))
        # One matrix product a class, with all the samples that have it as a candidate.
        order = np.argsort(candidates, axis=None, kind="stable")
        first = np.searchsorted(candidates.ravel()[order], np.arange(len(self.weights) + 1))
        width = candidates.shape[1]
        for c in np.flatnonzero((np.diff(first) > 0) & (np.diff(self.starts) > 0)).tolist():
            place = order[first[c] : first[c + 1]]
            members = slice(self.starts[c], self.starts[c + 1])
            distance = Z[place // width] @ self.Z[members].T
            distance -= 1
            for i, w in enumerate(widths):
                kernel = distance / distance.dtype.type(w)
                np.exp(kernel, out=kernel)
                if self.row_weights is None:
                    of_class = kernel.sum(axis=1, dtype=np.float64)
                else:
                    of_class = kernel @ self.row_weights[members]
                votes[i, place] = of_class * self.weights[c]
        votes = votes.reshape(len(widths), *candidates.shape)
        total = votes.sum(axis=2, keepdims=True)
        return np.where(total > 0, votes / np.where(total > 0, total, 1), 1 / width)


@value("ballot")
@dataclass(frozen=True)
class Ballot:
    """Votes in one space, and their share in the probabilities.

    Attributes
    ----------
    space : DiscriminantSpace or None
        None votes by the cosine of the features themselves.
    voters : Voters
    width : float
        Of the kernel, in cosine.
    share : float in [0, 1]
    """

    space: DiscriminantSpace | None
    voters: Voters
    width: float
    share: float


@value("discriminant model")
@dataclass(frozen=True)
class DiscriminantModel:
    """A blend of a linear model and of votes, in the discriminant space.

    Attributes
    ----------
    space : DiscriminantSpace
    coefficients : ndarray of shape (n_classes, n_components)
    intercepts : ndarray of shape (n_classes,)
    ballots : tuple of Ballot
        Votes, which have the shares that the linear model leaves.
    """

    space: DiscriminantSpace
    coefficients: NDArray
    intercepts: NDArray
    ballots: tuple[Ballot, ...]

    @property
    def n_classes(self) -> int:
        return len(self.intercepts)

    @property
    def share(self) -> float:
        """Of all votes in the probabilities."""
        return sum(ballot.share for ballot in self.ballots)

    def proba(self, X: NDArray) -> NDArray:
        """Probabilities of all classes, (n_samples, n_classes)."""
        proba = np.empty((len(X), self.n_classes), dtype=X.dtype)
        for rows, scores, candidates, votes in self._chunks(X):
            np.exp(scores, out=proba[rows])
            proba[rows] *= (1 - self.share) / proba[rows].sum(axis=1, keepdims=True)
            if votes is not None:
                own = np.arange(rows.start, rows.stop)[:, None]
                proba[own, candidates] += votes
        return proba

    def top(self, X: NDArray, n_kept: int) -> tuple[NDArray[np.int32], NDArray]:
        """Find the most probable classes, which are all candidates of the votes.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_features)
        n_kept : int
            At most `N_CANDIDATES`.

        Returns
        -------
        classes : ndarray of shape (n_samples, n_kept)
            By falling probability, equal ones by rising number.
        probabilities : ndarray of shape (n_samples, n_kept)
        """
        n_kept = min(n_kept, self.n_classes)
        classes = np.empty((len(X), n_kept), dtype=np.int32)
        proba = np.empty((len(X), n_kept), dtype=X.dtype)
        for rows, scores, candidates, votes in self._chunks(X):
            members = np.exp(np.take_along_axis(scores, candidates, axis=1))
            members *= (1 - self.share) / np.exp(scores, out=scores).sum(axis=1, keepdims=True)
            if votes is not None:
                members += votes
            order = np.lexsort((candidates, -members), axis=1)[:, :n_kept]
            classes[rows] = np.take_along_axis(candidates, order, axis=1)
            proba[rows] = np.take_along_axis(members, order, axis=1)
        return classes, proba

    def _chunks(self, X: NDArray) -> Iterator[tuple[slice, NDArray, NDArray[np.intp], NDArray | None]]:
        """Rows, linear scores less the largest, candidates, and votes times their shares, if any."""
        n_candidates = min(N_CANDIDATES, self.n_classes)
        row_bytes = X.itemsize * (3 * self.n_classes + 3 * X.shape[1]) + 64 * n_candidates
        for rows in row_chunks(len(X), row_bytes, at_most=CHUNK):
            unit = unit_rows(X[rows])[0]
            Z = self.space.transform_unit(unit)
            scores = Z @ self.coefficients.T
            scores += self.intercepts
            scores -= scores.max(axis=1, keepdims=True)
            candidates = best_columns(scores, n_candidates)
            votes = None
            for ballot in self.ballots:
                there = unit if ballot.space is None else Z
                cast = ballot.share * ballot.voters.votes(there, candidates, [ballot.width])[0]
                votes = cast.astype(X.dtype) if votes is None else votes + cast.astype(X.dtype)
            yield rows, scores, candidates, votes


def best_columns(scores: NDArray, n_columns: int) -> NDArray[np.intp]:
    """Columns of the largest entries of each row, in no particular order."""
    if n_columns >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, -n_columns, axis=1)[:, -n_columns:]
