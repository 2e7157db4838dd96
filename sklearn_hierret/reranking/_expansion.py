"""Query expansion: a second search, by the query and what it found."""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import unit_rows, without_own
from sklearn_hierret._sklearn import Hidden, Interval, StrOptions
from sklearn_hierret.reranking._step import RerankingStep, as_frame


class QueryExpansion(RerankingStep):
    """Search again for the query plus its nearest neighbours, weighted by their cosines [1]_.

    ``q' = q + sum max(cos(q, x_i), 0)^exponent x_i`` over the first `n_expanded` results, of unit vectors.
    The leaf is that of the new query.

    Parameters
    ----------
    retriever : retriever or another step, default=None
        It is cloned and fitted. None means a default `HierarchicalRetriever`.
    n_expanded : int, default=10
        Results that join the query.
    exponent : float, default=3.0
        The paper's alpha; 0 is average query expansion.
    n_neighbors : int, default=5
        Default of `kneighbors`.
    alpha : float
        The former name of `exponent`.

        .. deprecated:: 0.3

    Attributes
    ----------
    retriever_ : fitted retriever

    References
    ----------
    .. [1] F. Radenović, G. Tolias, O. Chum, "Fine-Tuning CNN Image Retrieval with No Human Annotation", IEEE
       TPAMI 41(7), 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret.reranking import QueryExpansion
    >>> X, y = load_iris(return_X_y=True)
    >>> QueryExpansion().fit(X, y).kneighbors(X[:2], n_neighbors=3)[1].shape
    (2, 3)
    """

    _parameter_constraints: dict = {
        **RerankingStep._parameter_constraints,
        "n_expanded": [Interval(Integral, 1, None, closed="left")],
        "exponent": [Interval(Real, 0, None, closed="left")],
        "alpha": [Hidden(StrOptions({"deprecated"})), Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        retriever: Any = None,
        *,
        n_expanded: int = 10,
        exponent: float = 3.0,
        n_neighbors: int = 5,
        alpha: float | str = "deprecated",
    ) -> None:
        self.retriever = retriever
        self.n_expanded = n_expanded
        self.exponent = exponent
        self.n_neighbors = n_neighbors
        self.alpha = alpha

    def _ranked_again(self, X: ArrayLike | None, k: int) -> tuple[NDArray, NDArray[np.intp]]:
        is_own, gallery, features = X is None, self._prepared_for.gallery, self._features(X)
        visual = gallery.queries() if is_own else gallery.as_queries(features)
        n = min(self.n_expanded, self.n_samples_fit_ - is_own)
        results = self.retriever_.kneighbors(X, n, return_distance=False)
        exponent = self.exponent
        if not isinstance(self.alpha, str):
            warnings.warn("alpha of QueryExpansion is called exponent from 0.3 on.", FutureWarning, 2)
            exponent = self.alpha
        # A transformer may heed lengths and offsets: it is given means of features, not sums of unit rows.
        keeps_lengths = not gallery.tells_features
        items_at = gallery.features_at if keeps_lengths else gallery.unit_features
        unit, lengths = unit_rows(features)
        moved = (features if keeps_lengths else unit).astype(np.float64)
        total = np.ones((len(features), 1))
        for column in results.T:  # one after another: no array of all neighbours' features
            cosines = np.einsum("ij,ij->i", visual, gallery.visual_rows(column))
            weights = np.maximum(cosines, 0)[:, None] ** exponent
            moved += weights * items_at(column)
            total += weights
        moved = moved / total if keeps_lengths else unit_rows(moved)[0] * lengths[:, None]
        moved = as_frame(self.retriever_, moved.astype(features.dtype))
        if not is_own:
            return self.retriever_.kneighbors(moved, k)
        distances, indices = self.retriever_.kneighbors(moved, k + 1)
        return without_own(np.arange(len(features)), distances, indices)
