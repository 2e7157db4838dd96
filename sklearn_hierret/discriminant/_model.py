"""A fitted discriminant model: a value that gives class probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks, unit_rows
from sklearn_hierret.discriminant._space import DiscriminantSpace
from sklearn_hierret.discriminant._votes import N_CANDIDATES, Ballot

#: MiB of scores and their copies at once: a third of the time that 1 GiB takes with thousands of classes.
CHUNK = 64


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
        """The most probable classes, which are all candidates of the votes.

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
            mine = np.exp(np.take_along_axis(scores, candidates, axis=1))
            mine *= (1 - self.share) / np.exp(scores, out=scores).sum(axis=1, keepdims=True)
            if votes is not None:
                mine += votes
            order = np.lexsort((candidates, -mine), axis=1)[:, :n_kept]
            classes[rows] = np.take_along_axis(candidates, order, axis=1)
            proba[rows] = np.take_along_axis(mine, order, axis=1)
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
