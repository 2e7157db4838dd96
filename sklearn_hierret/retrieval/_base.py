"""What retrievers share: a gallery, leaves, neighbours, votes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.stats import mode as most_frequent
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import check_positive_integer, row_chunks, rows_of
from sklearn_hierret._blocks import is_dask
from sklearn_hierret.building import float_dtype, likeliest
from sklearn_hierret.hierarchy import check_min_probability
from sklearn_hierret.metrics import (
    average_precision_at_k,
    count_relevant,
    labels_of_queries,
    mean_over_queries,
    query_chunks,
)
from sklearn_hierret.retrieval._backing_off import described, level_accuracy, sure_nodes, tree_of
from sklearn_hierret.retrieval._changes import GalleryChanges
from sklearn_hierret.retrieval._dask import kneighbors_of_blocks
from sklearn_hierret.retrieval._gallery import Gallery
from sklearn_hierret.retrieval._leaf_search import Found


class BaseRetriever(ClassifierMixin, GalleryChanges):
    """What a user asks of a fitted retriever: neighbours, leaves, votes.

    `LeafSearch` says what a subclass provides.
    """

    #: Of the features' distance in tables.
    _distance_name: ClassVar[str]

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        within: ArrayLike | None = None,
    ) -> Any:
        """Nearest gallery samples by the combined distance.

        Parameters
        ----------
        X : array-like or dask array of shape (n_queries, n_features), optional
            The queries. Default: the gallery, where no sample is its own neighbour. For a
            Dask array the results are Dask arrays, computed block by block on its workers.
        n_neighbors : int, optional
            Default: the parameter of that name.
        return_distance : bool, default=True
        within : array-like, optional
            Where to search: a boolean mask of shape (n_gallery,), or class labels and names of inner
            nodes of the hierarchy, for the samples whose leaf is one of them or below one of them.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Ascending; only if `return_distance`. For infinite alpha the hierarchical distances.
            Infinity where `within` allows too few samples.
        indices : ndarray of shape (n_queries, n_neighbors)
            Positions in the gallery; equal distances in ascending order of them; -1
            where `within` allows too few samples.
        """
        if is_dask(X):
            check_is_fitted(self, "class_model_")
            k = self.n_neighbors if n_neighbors is None else n_neighbors
            check_positive_integer(k, "n_neighbors")
            lazily = kneighbors_of_blocks(self, X, int(k), within)
            return lazily if return_distance else lazily[1]
        found = self._search(X, n_neighbors, within)
        if not return_distance:
            return found.indices
        return _rounded(found.distances, float_dtype(found.gallery)), found.indices

    def kneighbors_graph(
        self, X: ArrayLike | None = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> csr_array:
        """Graph of the nearest gallery samples, as scikit-learn's neighbours estimators give it.

        Parameters
        ----------
        X, n_neighbors
            See `kneighbors`.
        mode : {"connectivity", "distance"}, default="connectivity"
            Edges of weight 1, or of the combined distances. A sample has no edge to itself.

        Returns
        -------
        graph : csr_array of shape (n_queries, n_gallery)
            Edges of each query in the order of the distances.
        """
        if mode not in ("connectivity", "distance"):
            raise ValueError(f"mode must be 'connectivity' or 'distance', got {mode!r}.")
        found = self._search(X, n_neighbors)
        n_queries, k = found.indices.shape
        weights = np.ones(found.indices.size)
        if mode == "distance":
            weights = _rounded(found.distances, float_dtype(found.gallery)).ravel()
        starts = np.arange(0, n_queries * k + 1, k)
        shape = (n_queries, len(found.gallery))
        return csr_array((weights, found.indices.ravel(), starts), shape=shape)

    def exact_neighbors(
        self, X: ArrayLike | None, n_neighbors: int
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """`kneighbors` with distances as they were compared, which tell what is tied.

        Parameters
        ----------
        X, n_neighbors
            See `kneighbors`.
        """
        found = self._search(X, n_neighbors)
        return found.distances, found.indices

    def retrieve(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        *,
        within: ArrayLike | None = None,
        min_probability: float | None = None,
    ) -> pd.DataFrame:
        """Neighbours as a tidy table.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            Default: the gallery, where no sample is its own neighbour.
        n_neighbors : int, optional
            Default: the parameter of that name.
        within : array-like, optional
            Where to search, as in `kneighbors`; queries may have fewer rows then.
        min_probability : float in (0.5, 1], optional
            Add the columns of nodes: the deepest that holds this much of the query, see `leaves`.

        Returns
        -------
        table : DataFrame
            One row for each query and rank: query, rank (from 1), id, label (missing
            without gallery labels), distance, visual_distance or hamming_distance,
            hierarchical_distance, query_known (the probability that the query's class is known,
            where `novelty` is heeded), query_leaf and leaf (the most probable ones with soft leaves);
            with `min_probability` query_node, the name of a node, and query_node_accuracy, how likely it is
            right: the accuracy of held-out samples at its level (missing where there are none), times
            query_known.
        """
        check_is_fitted(self, "class_model_")
        if min_probability is not None:
            self._check_backing_off(X, min_probability)
        found = self._search(X, n_neighbors, within, with_leaves=self.class_model_ is not None)
        table = self._table_of(found)
        if min_probability is not None:
            sample, known = self._held_out_sample, found.known
            assert X is not None
            nodes = self._sure_nodes(self._checked(X, found.gallery.dtype), known, min_probability)
            names, accuracies = described(self._leaf_model, nodes, known, sample, min_probability)
            query = table["query"].to_numpy()
            table["query_node"], table["query_node_accuracy"] = names[query], accuracies[query]
        return table

    def _table_of(self, found: Found) -> pd.DataFrame:
        """A row for each neighbour."""
        gallery, (n_queries, k) = found.gallery, found.indices.shape
        is_there = found.indices.ravel() >= 0
        query, item = np.repeat(np.arange(n_queries), k)[is_there], found.indices.ravel()[is_there]
        rows, dtype, labels = gallery.rows[found.indices], float_dtype(gallery), gallery.position_labels
        table = pd.DataFrame(
            {
                "query": query,
                "rank": np.tile(np.arange(1, k + 1), n_queries)[is_there],
                "id": gallery.position_ids[item],
                "label": None if labels is None else labels[item],
                "distance": _rounded(found.distances.ravel()[is_there], dtype),
                self._distance_name: gallery.index.pair_distances(found.queries, rows)
                .ravel()[is_there]
                .astype(dtype),
            }
        )
        if found.leaf_distance is not None:
            part, hierarchical = found.leaf_distance, np.empty(rows.shape, dtype=dtype)
            for some in row_chunks(n_queries, 32 * self._leaf_model.tree.n_classes):
                distances = part.distances_of(part.leaves[some])
                hierarchical[some] = gallery.index.pair_leaf_distances(distances, rows[some])
            table["hierarchical_distance"] = hierarchical.ravel()[is_there]
            if found.known is not None:
                table["query_known"] = found.known[query]
            table["query_leaf"] = self._leaf_labels(part.leaves)[query]
            table["leaf"] = self._leaf_labels(gallery.index.leaves(rows.ravel()[is_there]))
        return table

    def leaves(self, X: ArrayLike | None = None, *, min_probability: float | None = None) -> NDArray:
        """Leaf of each sample: the class that the class model predicts.

        With soft leaves it is the most probable one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), optional
            Default: the gallery, where the training samples' leaves are cross-fitted.
        min_probability : float in (0.5, 1], optional
            Back off to the deepest node that holds so much of the class probabilities, times the
            probability that the class is known where `novelty` is heeded. Needs `X`. `level_accuracy` tells
            how often that is right where the class is known.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            With `min_probability` numbers of nodes of `hierarchy_`: its classes have the numbers below
            ``n_classes``, see `ClassHierarchy.node_names` and `ClassHierarchy.members`.
        """
        check_is_fitted(self, "class_model_")
        self._validate_late_params()
        if min_probability is not None:
            self._check_backing_off(X, min_probability)
            assert X is not None
            gallery = self._gallery_with_leaves(self._there(), of_own=False)
            X = self._checked(X, gallery.dtype)
            return self._sure_nodes(X, self._known(gallery, X), min_probability)
        if X is None:
            return self._leaf_labels(self._gallery_with_leaves(self._there(), of_own=True).leaves)
        return self._leaf_labels(self._assign(self._checked(X, self._there().dtype)))

    def level_accuracy(self, min_probability: float) -> pd.DataFrame:
        """How often ``leaves(X, min_probability=...)`` is right, by held-out samples of the training set.

        These samples are of known classes. In a gallery with unknown classes, leaves are right less often.

        Parameters
        ----------
        min_probability : float in (0.5, 1]

        Returns
        -------
        table : DataFrame
            A row for each level: classes, inner nodes by their height relative to the root's, and the root,
            which is always right. Columns: n_samples that back off to the level, their share, accuracy (of
            them, those whose class is at or below the node).

        Raises
        ------
        ValueError
            If fit held nothing out, as with a class model that keeps no folds and a given alpha.
        """
        check_is_fitted(self, "class_model_")
        self._require_leaves()
        check_min_probability(min_probability)
        return level_accuracy(self._leaf_model, self._held_out_sample, min_probability)

    def predict(self, X: ArrayLike) -> NDArray:
        """Most frequent label among the nearest neighbours; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)

        Returns
        -------
        labels : ndarray of shape (n_queries,)
        """
        codes, classes = self._neighbour_codes(X)
        return classes[most_frequent(codes, axis=1).mode]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Share of each class among the nearest neighbours.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_queries, n_classes)
            Columns in the order of `classes_`.
        """
        codes, classes = self._neighbour_codes(X)
        votes = np.zeros((len(codes), len(classes)))
        np.add.at(votes, (np.arange(len(codes))[:, None], codes), 1.0)
        return votes / codes.shape[1]

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """``mAP@n_neighbors`` of queries against the gallery.

        Meaningless on the training samples while they are the gallery: each finds
        itself. `make_retrieval_scorer` offers other metrics and leave-one-out.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
        y : array-like of shape (n_queries,)
            True labels of the queries.

        Returns
        -------
        score : float
        """
        check_is_fitted(self, "class_model_")
        self._validate_params()
        gallery = self._there()
        y_query, y_gallery = labels_of_queries(X, y), _labels_of(gallery)
        n_relevant = count_relevant(y_query, y_gallery)
        scores = []
        for rows in query_chunks(len(y_query), self.n_neighbors):
            found = self._search(rows_of(X, rows, len(y_query)), None, gallery=gallery)
            ranked = y_gallery[found.indices]
            scores.append(average_precision_at_k(y_query[rows], ranked, n_relevant=n_relevant[rows]))
        return mean_over_queries(np.concatenate(scores))

    def _check_backing_off(self, X: ArrayLike | None, min_probability: float) -> None:
        self._require_leaves()
        check_min_probability(min_probability)
        tree_of(self._leaf_model)  # or raises
        if X is None:
            raise ValueError("min_probability needs X: samples of the gallery back off as those of X do.")
        if not hasattr(self.class_model_, "predict_proba"):
            name = type(self.class_model_).__name__
            raise ValueError(f"min_probability needs class probabilities, and {name} has no predict_proba.")

    def _sure_nodes(self, X: NDArray, known: NDArray | None, min_probability: float) -> NDArray[np.intp]:
        """Nodes that checked samples back off to."""
        tree, nodes = tree_of(self._leaf_model), np.empty(len(X), dtype=np.intp)
        for rows in row_chunks(len(X), 32 * (tree.n_classes + tree.n_nodes), at_most=64):
            proba = self.class_model_.predict_proba(self._for_class_model(X[rows]))
            of_rows = None if known is None else known[rows]
            nodes[rows] = sure_nodes(self._leaf_model, proba, of_rows, min_probability)
        return nodes

    def _leaf_labels(self, leaves: NDArray) -> NDArray:
        return self._leaf_model.tree.classes[likeliest(leaves)]

    def _neighbour_codes(self, X: ArrayLike) -> tuple[NDArray[np.intp], NDArray]:
        """Classes of the neighbours by their positions in all classes, and these."""
        check_is_fitted(self, "class_model_")
        gallery = self._there()
        labels = _labels_of(gallery)
        found = self._search(X, None, gallery=gallery)
        return np.searchsorted(gallery.classes, labels[found.indices]), gallery.classes


def _rounded(distances: NDArray[np.float64], dtype: np.dtype) -> NDArray:
    """Distances as they are returned: infinite where single precision has no such number."""
    with np.errstate(over="ignore"):
        return distances.astype(dtype, copy=False)


def _labels_of(gallery: Gallery) -> NDArray:
    labels = gallery.position_labels
    if labels is None:
        raise ValueError("The gallery has no labels: pass y to set_gallery to predict or score.")
    return labels
