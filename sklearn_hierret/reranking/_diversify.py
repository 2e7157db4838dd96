"""Results that are not all alike."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pandas import factorize

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret._sklearn import Interval
from sklearn_hierret.reranking._step import RerankingStep


class Diversify(RerankingStep):
    """Choose results that are near the query and far from each other, or one of each group.

    By default maximal marginal relevance [1]_: of the first `n_candidates` results the nearest comes first,
    and then, again and again, the one of least ``D - trade_off * (visual distance to the nearest result that
    was chosen)``. With `one_per` the first result of each group comes before all repeats.

    Parameters
    ----------
    retriever : retriever or another step, default=None
        It is cloned and fitted. None means a default `HierarchicalRetriever`.
    one_per : str, default=None
        "leaf": results whose leaf is that of an earlier one are repeats. "copy": those within `copy_distance`
        of an earlier one. Any other text: those with its value in this column of the gallery's metadata;
        a missing value repeats nothing. Repeats follow in their order behind all others.
    trade_off : float, default=0.3
        Weight of being different; 0 keeps the order of a retriever. Not with `one_per`.
    copy_distance : float, default=0.05
        Largest visual distance of near copies.
    n_candidates : int, default=100
        Results to choose from. Where more are asked for, the others follow in their order.
    n_neighbors : int, default=5
        Default of `kneighbors`.

    Attributes
    ----------
    retriever_ : fitted retriever

    Notes
    -----
    Distances are those of the retriever, in the order of the results, and need not ascend.

    References
    ----------
    .. [1] J. Carbonell, J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and
       Producing Summaries", SIGIR 1998.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret.reranking import Diversify
    >>> X, y = load_iris(return_X_y=True)
    >>> step = Diversify(one_per="leaf").fit(X, y)
    >>> len(set(step.retriever_.leaves()[step.kneighbors(X[:1], n_neighbors=3)[1][0]]))
    3
    """

    _parameter_constraints: dict = {
        **RerankingStep._parameter_constraints,
        "one_per": [None, str],
        "trade_off": [Interval(Real, 0, None, closed="left")],
        "copy_distance": [Interval(Real, 0, 2, closed="both")],
        "n_candidates": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        retriever: Any = None,
        *,
        one_per: str | None = None,
        trade_off: float = 0.3,
        copy_distance: float = 0.05,
        n_candidates: int = 100,
        n_neighbors: int = 5,
    ) -> None:
        self.retriever = retriever
        self.one_per = one_per
        self.trade_off = trade_off
        self.copy_distance = copy_distance
        self.n_candidates = n_candidates
        self.n_neighbors = n_neighbors

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        **request: Any,
    ) -> Any:
        """Nearest gallery samples after this step.

        Parameters
        ----------
        X, n_neighbors, return_distance
            See `HierarchicalRetriever.kneighbors`.
        **request
            Those of its other options that say where to search and how: `within`, `where`, `alpha`,
            `not_same`.

        Returns
        -------
        distances, indices : ndarrays of shape (n_queries, n_neighbors)
            As there, in another order.
        """
        if request and isinstance(self.retriever_, RerankingStep):
            raise TypeError(
                "Conditions and weights need the retriever itself inside Diversify, not another step."
            )
        if "offset" in request:
            raise TypeError("Diversify has no offset: ask for more neighbours, and leave the first ones out.")
        distances, indices = self._ranked_again(X, self.checked_k(X, n_neighbors), **request)
        return (distances, indices) if return_distance else indices

    def _ranked_again(self, X: ArrayLike | None, k: int, **request: Any) -> tuple[NDArray, NDArray[np.intp]]:
        n = min(max(self.n_candidates, k), self.n_samples_fit_ - (X is None))
        distances, indices = self.retriever_.kneighbors(X, n, **request)
        # Results beyond the candidates follow in their order, so that more neighbours change no earlier ones.
        first, order = slice(min(n, self.n_candidates)), np.tile(np.arange(n), (len(indices), 1))
        groups = self._groups(of_gallery=X is None)
        if groups is not None:
            place = _repeats(groups[indices[:, first]]) + 2 * (indices[:, first] < 0)
            order[:, first] = np.argsort(place, axis=1, kind="stable")
        else:
            n_chosen = min(k, first.stop)
            n_features = self._prepared_for.gallery.visual_rows(indices[0, :1]).shape[1]
            for rows in row_chunks(len(indices), 8 * n * n_features):
                chosen = self._chosen(distances[rows, first], indices[rows, first], n_chosen)
                order[rows, :n_chosen] = chosen
        order = order[:, :k]
        return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)

    def _groups(self, of_gallery: bool) -> NDArray[np.intp] | None:
        """Return a number for the group of each gallery sample; None where there are no groups."""
        searcher = self._prepared_for
        if self.one_per is None or self.one_per == "copy":
            return None
        if self.one_per == "leaf":
            values = searcher.leaves.labels_of(searcher.leaves.view(of_gallery).leaves())
        else:
            values = searcher.gallery.columns([self.one_per])[self.one_per]
        codes, _ = factorize(values)
        return np.where(codes < 0, -1 - np.arange(len(codes)), codes)

    def _chosen(self, distances: NDArray, indices: NDArray[np.intp], k: int) -> NDArray[np.intp]:
        """Choose k of some queries' candidates, one after another."""
        gallery, (n_queries, n) = self._prepared_for.gallery, indices.shape
        # Where a condition left few, or single precision has no such number.
        distances = np.minimum(distances.astype(np.float64), np.finfo(np.float32).max)
        rows = gallery.visual_rows(indices.ravel()).reshape(n_queries, n, -1)
        chosen, query = np.empty((n_queries, k), dtype=np.intp), np.arange(n_queries)
        nearest, is_left = np.full((n_queries, n), np.inf), np.ones((n_queries, n), dtype=bool)
        for place in range(k):
            if self.one_per == "copy":
                # argmin takes the first of equals
                cost = np.where(nearest <= self.copy_distance, 1.0, 0.0) + 2.0 * (indices < 0)
            else:
                cost = distances - (self.trade_off * nearest if place else 0.0)
            best = np.where(is_left, cost, np.inf).argmin(axis=1)
            chosen[:, place], is_left[query, best] = best, False
            cosines = np.einsum("qnd,qd->qn", rows, rows[query, best])
            np.minimum(nearest, np.maximum(1 - cosines, 0), out=nearest)
        return chosen


def _repeats(groups: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which entries of each row are there before."""
    order = np.argsort(groups, axis=1, kind="stable")
    ordered = np.take_along_axis(groups, order, axis=1)
    is_repeat = np.zeros(groups.shape, dtype=bool)
    np.put_along_axis(is_repeat, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    return is_repeat
