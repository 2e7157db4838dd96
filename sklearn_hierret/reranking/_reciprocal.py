"""k-reciprocal re-ranking."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from sklearn_hierret._sklearn import Interval
from sklearn_hierret.reranking._step import RerankingStep


class KReciprocal(RerankingStep):
    """Rank again by how many mutual neighbours two samples share [1]_.

    A sample is described by its k-reciprocal neighbours, the neighbours that have it among theirs, and by
    those of these that share two thirds of them; each weighs ``exp(-distance)``, distances being relative to
    that of the k1-th neighbour. Descriptions are averaged over the nearest `k2` samples. The distance is
    ``(1 - mix) Jaccard + mix * original``, the original one relative to the largest of a query's candidates.
    Queries do not count as each other's neighbours, unlike in the authors' code, so that the result does not
    depend on the batch.

    Parameters
    ----------
    retriever : retriever or another step, default=None
        It is cloned and fitted. None means a default `HierarchicalRetriever`.
    k1 : int, default=20
    k2 : int, default=6
    mix : float in [0, 1], default=0.3
    n_candidates : int, default=200
        Results that are ranked again; those that are asked for at least.
    n_neighbors : int, default=5
        Default of `kneighbors`.

    Attributes
    ----------
    retriever_ : fitted retriever

    References
    ----------
    .. [1] Z. Zhong, L. Zheng, D. Cao, S. Li, "Re-Ranking Person Re-Identification with k-Reciprocal
       Encoding", CVPR 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret.reranking import KReciprocal
    >>> X, y = load_iris(return_X_y=True)
    >>> KReciprocal().fit(X, y).kneighbors(X[:2], n_neighbors=3)[1].shape
    (2, 3)
    """

    _parameter_constraints: dict = {
        **RerankingStep._parameter_constraints,
        "k1": [Interval(Integral, 2, None, closed="left")],
        "k2": [Interval(Integral, 1, None, closed="left")],
        "mix": [Interval(Real, 0, 1, closed="both")],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        retriever: Any = None,
        *,
        k1: int = 20,
        k2: int = 6,
        mix: float = 0.3,
        n_candidates: int = 200,
        n_neighbors: int = 5,
    ) -> None:
        self.retriever = retriever
        self.k1 = k1
        self.k2 = k2
        self.mix = mix
        self.n_candidates = n_candidates
        self.n_neighbors = n_neighbors

    def _prepare(self) -> None:
        n = self.n_samples_fit_
        self._k = min(self.k1, n - 1)
        if self._k < 1:
            raise ValueError("Mutual neighbours need a gallery of two samples at least.")
        self._distances, self._lists = self.retriever_.kneighbors(None, self._k)
        #: Reciprocal neighbours of each sample, for half of k1.
        self._half = self._mutual(max(1, self._k // 2))
        described = [
            self._description(self._lists[i], self._distances[i], reciprocal)
            for i, reciprocal in enumerate(self._mutual(self._k))
        ]
        described = [self._with_own(i, *row) for i, row in enumerate(described)]
        self._rows = self._averaged(described)

    def _mutual(self, k: int) -> list[NDArray[np.intp]]:
        lists = self._lists[:, :k]
        members = [set(row) for row in lists.tolist()]
        return [
            np.array([g for g in row if i in members[g]], dtype=np.intp)
            for i, row in enumerate(lists.tolist())
        ]

    def _description(
        self, near: NDArray[np.intp], distances: NDArray, reciprocal: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Members of a description and their weights."""
        own = set(reciprocal.tolist())
        members = set(own)
        for g in reciprocal.tolist():
            other = {*self._half[g].tolist(), g}
            if len(other & own) >= 2 / 3 * len(other):
                members |= other
        distance_of = dict(zip(near.tolist(), distances.tolist(), strict=True))
        farthest = float(distances[-1])
        order = np.array(sorted(members), dtype=np.intp)
        relative = np.array([distance_of.get(g, farthest) for g in order.tolist()]) / max(farthest, 1e-12)
        return order, np.exp(-relative)

    @staticmethod
    def _with_own(
        own: int, members: NDArray[np.intp], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        kept = members != own
        return np.append(members[kept], own), np.append(weights[kept], 1.0)

    def _averaged(self, described: list) -> csr_array:
        """Descriptions that sum to 1, averaged over the nearest k2 samples, themselves included."""
        n = len(described)
        starts = np.concatenate([[0], np.cumsum([len(members) for members, _ in described])])
        data = np.concatenate([weights / weights.sum() for _, weights in described])
        indices = np.concatenate([members for members, _ in described])
        rows = csr_array((data, indices, starts), shape=(n, n))
        near = np.hstack([np.arange(n)[:, None], self._lists[:, : self.k2 - 1]])
        width = near.shape[1]
        means = csr_array(
            (np.full(near.size, 1 / width), near.ravel(), np.arange(0, near.size + 1, width)), (n, n)
        )
        averaged = means @ rows
        averaged.sort_indices()
        return averaged

    def _ranked_again(self, X: ArrayLike | None, k: int) -> tuple[NDArray, NDArray[np.intp]]:
        n_there = self.n_samples_fit_ - (X is None)
        n = min(max(self.n_candidates, k, self._k), n_there)
        distances, indices = self.retriever_.kneighbors(X, n)
        found_distances = np.empty((len(indices), k))
        results = np.empty((len(indices), k), dtype=np.intp)
        reach = self._distances[:, -1]
        for q, (d, candidates) in enumerate(zip(distances, indices, strict=True)):
            if X is None:
                description = self._rows[[q]].toarray()[0]
            else:
                near, of_near = candidates[: self._k], d[: self._k]
                reciprocal = near[of_near <= reach[near]]
                members, weights = self._description(near, of_near, reciprocal)
                description = np.zeros(self.n_samples_fit_)
                if len(members):
                    description[members] = weights / weights.sum()
                others = self._rows[near[: self.k2 - 1]]
                if others.shape[0]:
                    description = (description + others.sum(axis=0)) / (1 + others.shape[0])
            jaccard = self._jaccard(description, candidates)
            both = (1 - self.mix) * jaccard + self.mix * d / max(float(d[-1]), 1e-12)
            order = np.lexsort((candidates, both))[:k]
            results[q], found_distances[q] = candidates[order], both[order]
        return found_distances, results

    def _jaccard(self, description: NDArray, candidates: NDArray[np.intp]) -> NDArray[np.float64]:
        """Jaccard distance of a description to those of some samples."""
        rows = self._rows[candidates]
        shared = np.minimum(rows.data, description[rows.indices])
        shared = np.add.reduceat(np.append(shared, 0.0), rows.indptr[:-1])
        shared[np.diff(rows.indptr) == 0] = 0.0
        total = description.sum() + rows.sum(axis=1)
        return 1 - shared / np.maximum(total - shared, 1e-12)
