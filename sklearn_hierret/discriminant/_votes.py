"""Votes of kept rows for the few classes that the linear part ranks first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.discriminant._space import DiscriminantSpace

#: Classes that are voted on, and rows of a class that vote.
N_CANDIDATES, N_VOTERS = 16, 512


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
    """

    Z: NDArray
    starts: NDArray[np.intp]
    weights: NDArray[np.float64]

    @classmethod
    def of(
        cls, Z: NDArray, codes: NDArray[np.intp], counts: NDArray[np.int64], most: int = N_VOTERS
    ) -> Voters:
        """The first rows of each class, of rows that are sorted by class."""
        starts = np.searchsorted(codes, np.arange(len(counts) + 1))
        rank = np.arange(len(codes)) - starts[codes]
        chosen = rank < most
        starts = np.searchsorted(codes[chosen], np.arange(len(counts) + 1))
        return cls(Z[chosen], starts, counts / np.maximum(1, np.diff(starts)))

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
            distance = Z[place // width] @ self.Z[self.starts[c] : self.starts[c + 1]].T
            distance -= 1
            for i, w in enumerate(widths):
                kernel = distance / distance.dtype.type(w)
                votes[i, place] = np.exp(kernel, out=kernel).sum(axis=1, dtype=np.float64) * self.weights[c]
        votes = votes.reshape(len(widths), *candidates.shape)
        total = votes.sum(axis=2, keepdims=True)
        return np.where(total > 0, votes / np.where(total > 0, total, 1), 1 / width)


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
