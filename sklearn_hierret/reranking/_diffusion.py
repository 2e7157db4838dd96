"""Diffusion on the graph of neighbours."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, diags_array, eye_array
from scipy.sparse.linalg import cg

from sklearn_hierret._sklearn import Interval
from sklearn_hierret.reranking._step import RerankingStep


class Diffusion(RerankingStep):
    """Rank by where a random walk that starts at the query's neighbours arrives [1]_, [2]_.

    Mutual neighbours are joined by edges of weight ``max(cos, 0)^gamma``; S is their normalised matrix. The
    walk solves ``(I - restart S) f = y``, where y holds the same weights of the query's first `n_seeds`
    results. What no walk reaches follows in the original order.

    Parameters
    ----------
    retriever : retriever or another step, default=None
        It is cloned and fitted. None means a default `HierarchicalRetriever`.
    n_edges : int, default=20
        Neighbours of each gallery sample.
    n_seeds : int, default=10
    gamma : float, default=3.0
    restart : float in (0, 1), default=0.9
        How far the walk goes; published: 0.99.
    n_neighbors : int, default=5
        Default of `kneighbors`.

    Attributes
    ----------
    retriever_ : fitted retriever

    References
    ----------
    .. [1] A. Iscen, G. Tolias, Y. Avrithis, T. Furon, O. Chum, "Efficient Diffusion on Region Manifolds:
       Recovering Small Objects with Compact CNN Representations", CVPR 2017.
    .. [2] D. Zhou, J. Weston, A. Gretton, O. Bousquet, B. Schölkopf, "Ranking on Data Manifolds", NIPS 2003.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret.reranking import Diffusion
    >>> X, y = load_iris(return_X_y=True)
    >>> Diffusion().fit(X, y).kneighbors(X[:2], n_neighbors=3)[1].shape
    (2, 3)
    """

    _parameter_constraints: dict = {
        **RerankingStep._parameter_constraints,
        "n_edges": [Interval(Integral, 1, None, closed="left")],
        "n_seeds": [Interval(Integral, 1, None, closed="left")],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "restart": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        retriever: Any = None,
        *,
        n_edges: int = 20,
        n_seeds: int = 10,
        gamma: float = 3.0,
        restart: float = 0.9,
        n_neighbors: int = 5,
    ) -> None:
        self.retriever = retriever
        self.n_edges = n_edges
        self.n_seeds = n_seeds
        self.gamma = gamma
        self.restart = restart
        self.n_neighbors = n_neighbors

    def _prepare(self) -> None:
        rows, n = self._visual_queries(None), self.n_samples_fit_
        k = min(self.n_edges, n - 1)
        if k < 1:
            raise ValueError("A graph of neighbours needs a gallery of two samples at least.")
        lists = self.retriever_.kneighbors(None, k, return_distance=False)
        weights = np.stack(
            [np.maximum(np.einsum("ij,ij->i", rows, rows[column]), 0) ** self.gamma for column in lists.T],
            axis=1,
        ).astype(np.float64)
        directed = csr_array((weights.ravel(), lists.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
        mutual = directed.minimum(directed.T)
        degrees = mutual.sum(axis=1)
        scale = diags_array(np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1e-300)), 0.0))
        self._system = (eye_array(n) - self.restart * (scale @ mutual @ scale)).tocsr()

    def _ranked_again(self, X: ArrayLike | None, k: int) -> tuple[NDArray, NDArray[np.intp]]:
        n, queries, gallery = self.n_samples_fit_, self._visual_queries(X), self._prepared_for.gallery
        n_seeds = min(self.n_seeds, n - (X is None))
        seeds = self.retriever_.kneighbors(X, max(k, n_seeds), return_distance=False)
        results = np.empty((len(queries), k), dtype=np.intp)
        distances = np.empty((len(queries), k))
        for q, near in enumerate(seeds):
            start, first = np.zeros(n), near[:n_seeds]
            start[first] = np.maximum(gallery.visual_rows(first) @ queries[q], 0) ** self.gamma
            reached, _ = cg(self._system, start, rtol=1e-6, maxiter=50)
            reached[np.abs(reached) < 1e-9 * max(reached.max(), 1e-300)] = 0.0
            if X is None:
                reached[q] = -np.inf
            best = np.lexsort((np.arange(len(reached)), -reached))[:k]
            best = best[reached[best] > 0]
            rest = near[~np.isin(near, best)][: k - len(best)]
            results[q] = np.concatenate([best, rest])
            top = reached[best[0]] if len(best) else 1.0
            distances[q] = np.concatenate([1 - reached[best] / top, np.full(len(rest), 1.0)])
        return distances, results
