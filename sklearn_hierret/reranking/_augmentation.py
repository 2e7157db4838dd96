"""Database-side augmentation: gallery samples that stand for their surroundings."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import unit_rows
from sklearn_hierret._sklearn import Interval
from sklearn_hierret.reranking._step import RerankingStep, as_frame


class DatabaseAugmentation(RerankingStep):
    """Replace each gallery sample by a weighted mean of itself and its nearest neighbours [1]_, [2]_.

    The neighbour at rank r of k has weight ``(k - r) / k``, the sample itself 1. Leaves are those of the new
    vectors. Where gallery samples are queries, each is in the means of its neighbours, so that such scores
    are too good.

    Parameters
    ----------
    retriever : retriever, default=None
        It is cloned and fitted. None means a default `HierarchicalRetriever`.
    n_augmented : int, default=10
        Neighbours in a mean, the k above.
    n_neighbors : int, default=5
        Default of `kneighbors`.

    Attributes
    ----------
    retriever_ : fitted retriever

    References
    ----------
    .. [1] P. Turcot, D. G. Lowe, "Better Matching with Fewer Features", ICCV Workshops 2009.
    .. [2] A. Gordo, J. Almazán, J. Revaud, D. Larlus, "End-to-End Learning of Deep Visual Representations for
       Image Retrieval", IJCV 124(2), 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_hierret.reranking import DatabaseAugmentation
    >>> X, y = load_iris(return_X_y=True)
    >>> DatabaseAugmentation().fit(X, y).kneighbors(X[:2], n_neighbors=3)[1].shape
    (2, 3)
    """

    _parameter_constraints: dict = {
        **RerankingStep._parameter_constraints,
        "n_augmented": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, retriever: Any = None, *, n_augmented: int = 10, n_neighbors: int = 5) -> None:
        self.retriever = retriever
        self.n_augmented = n_augmented
        self.n_neighbors = n_neighbors

    def _prepare(self) -> None:
        if isinstance(self.retriever_, RerankingStep):
            raise TypeError("DatabaseAugmentation changes the gallery of a retriever, not of another step.")
        rows, k = unit_rows(self._features(None))[0], min(self.n_augmented, self.n_samples_fit_ - 1)
        augmented = rows.copy()
        if k:
            results = self.retriever_.kneighbors(None, k, return_distance=False)
            for rank, column in enumerate(results.T, start=1):
                augmented += (k - rank) / k * rows[column]
        gallery = self._prepared_for.gallery
        self._searched = self.retriever_.with_gallery(
            as_frame(self.retriever_, augmented),
            gallery.labels,
            gallery.ids,
            gallery_leaves=gallery.origin.gallery_leaves,
        )

    def _ranked_again(self, X: ArrayLike | None, k: int) -> tuple[NDArray, NDArray[np.intp]]:
        return self._searched.kneighbors(X, k)
