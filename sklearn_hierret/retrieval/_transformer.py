"""The graph of neighbours as a transformer, for what takes precomputed distances."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import vstack
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metadata_routing import MetadataRouter
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import neighbor_graph, places_in, unchanged_on_error
from sklearn_hierret._sklearn import HasMethods, Interval, StrOptions, fit_context
from sklearn_hierret.retrieval._hamming import HammingRetriever
from sklearn_hierret.retrieval._inside import fit_inside, routing_inside
from sklearn_hierret.statistics import row_keys


class HierarchicalNeighborsTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Sparse graph of nearest neighbours by the combined distance.

    It is to a retriever what scikit-learn's `KNeighborsTransformer` is to its nearest neighbours: t-SNE,
    UMAP, DBSCAN and `KNeighborsClassifier` with ``metric="precomputed"``, and spectral clustering and
    embedding with ``affinity="precomputed_nearest_neighbors"``, work on the graph.

    Parameters
    ----------
    retriever : retriever, default=None
        It is cloned and fitted. None means a default `HierarchicalRetriever`.
    mode : {"distance", "connectivity"}, default="distance"
        Edges of the combined distances, or of weight 1.
    n_neighbors : int, default=5
        With "distance" one more is given, since a training sample is its own neighbour, at distance 0.
    symmetric : bool, default=True
        Whether `fit_transform` gives the distance of each edge to its other end, too, as UMAP asks for: rows
        then have more edges than `n_neighbors`, which no program minds. False is what
        `KNeighborsTransformer` gives, for the mode "connectivity" always.

    Attributes
    ----------
    retriever_ : fitted retriever
    n_samples_fit_ : int
        Training samples, the columns of the graph.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        Only if `X` had string column names.

    Notes
    -----
    `fit_transform` takes cross-fitted leaves for the training samples, which never saw their own labels.
    `transform` compares new samples with the labels of the training samples.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.manifold import TSNE
    >>> from sklearn_hierret import HierarchicalNeighborsTransformer
    >>> X, y = load_digits(n_class=4, return_X_y=True)
    >>> transformer = HierarchicalNeighborsTransformer(n_neighbors=91)  # 3 perplexities and 1
    >>> graph = transformer.fit_transform(X, y)
    >>> graph.shape
    (720, 720)
    >>> TSNE(metric="precomputed", init="random", max_iter=250).fit_transform(graph).shape
    (720, 2)
    """

    _parameter_constraints: dict = {
        "retriever": [None, HasMethods(["fit", "kneighbors_graph"])],
        "mode": [StrOptions({"distance", "connectivity"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "symmetric": ["boolean"],
    }

    retriever_: Any

    def __init__(
        self,
        retriever: Any = None,
        *,
        mode: str = "distance",
        n_neighbors: int = 5,
        symmetric: bool = True,
    ) -> None:
        self.retriever = retriever
        self.mode = mode
        self.n_neighbors = n_neighbors
        self.symmetric = symmetric

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: ArrayLike, y: ArrayLike | None = None, **params: Any
    ) -> HierarchicalNeighborsTransformer:
        """Fit the retriever.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
            Class labels; a `HammingRetriever` can do without.
        **params : dict
            Of the retriever's `fit`, such as ``groups``; with metadata routing those that it asks for.

        Returns
        -------
        self : object
        """
        with unchanged_on_error(self):
            self.n_samples_fit_ = self._n_features_out = fit_inside(self, X, y, params).n_samples_fit_
            # Codes of new samples are often equal to those of others.
            has_codes = isinstance(self.retriever_, HammingRetriever)
            rows = np.asarray(X, dtype=np.float64)
            lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
            self._length = float(np.median(lengths)) or 1.0
            self._keys = None if has_codes else self._keys_of(rows)
        return self

    def transform(self, X: ArrayLike) -> Any:
        """Compute edges from samples to their nearest training samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples among them are recognised, and get the edges that `fit_transform` gives.

        Returns
        -------
        graph : sparse matrix of shape (n_samples, n_samples_fit), in CSR format
            The edges of a row in the order of the distances.
        """
        check_is_fitted(self)
        self._validate_params()
        k = self.n_neighbors + (self.mode == "distance")
        graph = self.retriever_.kneighbors_graph(X, k, mode=self.mode)
        if self._keys is None:
            return graph
        place = places_in(self._keys, self._keys_of(np.asarray(X, dtype=np.float64)))
        is_of_fit = place >= 0
        if not np.any(is_of_fit):
            return graph
        parts = [graph[~is_of_fit], self._graph_of_fit()[place[is_of_fit]]]
        back = np.argsort(np.append(np.flatnonzero(~is_of_fit), np.flatnonzero(is_of_fit)))
        return type(graph)(vstack(parts, format="csr")[back])

    def fit_transform(self, X: ArrayLike, y: ArrayLike | None = None, **params: Any) -> Any:
        """Fit, and return the edges between the training samples, each one's own included.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        **params : dict
            See `fit`.

        Returns
        -------
        graph : sparse matrix of shape (n_samples, n_samples), in CSR format
        """
        return self.fit(X, y, **params)._graph_of_fit()

    def _keys_of(self, rows: NDArray[np.float64]) -> NDArray[np.uint64]:
        """Hash rows and their lengths: for some metrics a longer row is another one."""
        return row_keys(np.column_stack([rows, np.full(len(rows), self._length)]))

    def _graph_of_fit(self) -> Any:
        """Compute the edges between the training samples."""
        k = self.n_neighbors - (self.mode == "connectivity")
        n = self.n_samples_fit_
        indices = np.empty((n, k + 1), dtype=np.intp)
        weights = np.full(indices.shape, float(self.mode == "connectivity"))
        indices[:, 0] = np.arange(n)
        if k:
            graph = self.retriever_.kneighbors_graph(None, k, mode=self.mode)
            indices[:, 1:] = graph.indices.reshape(n, k)
            weights[:, 1:] = graph.data.reshape(n, k)
        graph = neighbor_graph(weights, indices, n)
        return with_other_ends(graph) if self.symmetric and self.mode == "distance" else graph

    def get_metadata_routing(self) -> MetadataRouter:
        """Route what `fit` is given to the retriever.

        Returns
        -------
        routing : MetadataRouter
        """
        return routing_inside(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def with_other_ends(graph: Any) -> Any:
    """Give each edge of a square graph to its other end, too, where there is none yet.

    The edges of a row are in the order of the distances, then of the columns.
    """
    n = graph.shape[0]
    rows, columns = np.repeat(np.arange(n), np.diff(graph.indptr)), graph.indices.astype(np.intp)
    number, reverse = rows * n + columns, columns * n + rows
    is_new = ~np.isin(reverse, number)
    rows, columns = np.append(rows, columns[is_new]), np.append(columns, rows[is_new])
    weights = np.append(graph.data, graph.data[is_new])
    order = np.lexsort((columns, weights, columns != rows, rows))
    dtype = graph.indices.dtype if len(order) <= np.iinfo(graph.indices.dtype).max else np.int64
    starts = np.append(0, np.cumsum(np.bincount(rows, minlength=n))).astype(dtype)
    return type(graph)((weights[order], columns[order].astype(dtype), starts), shape=graph.shape)
