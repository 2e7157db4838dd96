"""A fitted discriminant model: a value that gives class probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.discriminant._space import DiscriminantSpace
from sklearn_hierret.discriminant._votes import N_CANDIDATES, Voters


@dataclass(frozen=True)
class DiscriminantModel:
    """A blend of a linear model and of votes, in the discriminant space.

    Attributes
    ----------
    space : DiscriminantSpace
    coefficients : ndarray of shape (n_classes, n_components)
    intercepts : ndarray of shape (n_classes,)
    voters : Voters
    width : float
        Of the votes' kernel, in cosine.
    share : float in [0, 1]
        Of the votes in the probabilities.
    """

    space: DiscriminantSpace
    coefficients: NDArray
    intercepts: NDArray
    voters: Voters
    width: float
    share: float

    @property
    def n_classes(self) -> int:
        return len(self.intercepts)

    def proba(self, X: NDArray) -> NDArray:
        """Probabilities of all classes, (n_samples, n_classes)."""
        proba = np.empty((len(X), self.n_classes), dtype=X.dtype)
        for rows, scores, candidates, votes in self._chunks(X):
            np.exp(scores, out=scores)
            scores *= (1 - self.share) / scores.sum(axis=1, keepdims=True)
            proba[rows] = scores
            if votes is not None:
                own = np.arange(rows.start, rows.stop)[:, None]
                proba[own, candidates] += (self.share * votes).astype(X.dtype)
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
                mine += (self.share * votes).astype(X.dtype)
            order = np.lexsort((candidates, -mine), axis=1)[:, :n_kept]
            classes[rows] = np.take_along_axis(candidates, order, axis=1)
            proba[rows] = np.take_along_axis(mine, order, axis=1)
        return classes, proba

    def _chunks(
        self, X: NDArray
    ) -> Iterator[tuple[slice, NDArray, NDArray[np.intp], NDArray[np.float64] | None]]:
        """Rows, their linear scores less the largest, candidates, and votes if they count."""
        n_candidates = min(N_CANDIDATES, self.n_classes)
        row_bytes = X.itemsize * (3 * self.n_classes + 3 * X.shape[1]) + 64 * n_candidates
        for rows in row_chunks(len(X), row_bytes):
            Z = self.space.transform(X[rows])
            scores = Z @ self.coefficients.T
            scores += self.intercepts
            scores -= scores.max(axis=1, keepdims=True)
            candidates = best_columns(scores, n_candidates)
            votes = self.voters.votes(Z, candidates, [self.width])[0] if self.share else None
            yield rows, scores, candidates, votes


def best_columns(scores: NDArray, n_columns: int) -> NDArray[np.intp]:
    """Columns of the largest entries of each row, in no particular order."""
    if n_columns >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, -n_columns, axis=1)[:, -n_columns:]
