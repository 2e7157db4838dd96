"""What retrievers share: questions about neighbours and leaves, and a gallery that is replaced and grows."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import mode as most_frequent
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_hierret._arrays import check_positive_integer, checked_rows, neighbor_graph, rows_of
from sklearn_hierret._blocks import is_dask
from sklearn_hierret._frames import tabular
from sklearn_hierret._training import LazyAttributes, NestedParams
from sklearn_hierret.hashing import check_codes
from sklearn_hierret.hierarchy import check_min_probability
from sklearn_hierret.metrics import (
    average_precision_at_k,
    count_relevant,
    labels_of_queries,
    mean_over_queries,
    query_chunks,
)
from sklearn_hierret.retrieval._changes import replaced, with_metadata
from sklearn_hierret.retrieval._coverage import covering_nodes
from sklearn_hierret.retrieval._dask import kneighbors_of_blocks
from sklearn_hierret.retrieval._metadata import Metadata
from sklearn_hierret.retrieval._options import LATE, Options
from sklearn_hierret.retrieval._requests import Request, within_radius
from sklearn_hierret.retrieval._searcher import Searcher
from sklearn_hierret.retrieval._tables import (
    check_backing_off,
    described,
    level_accuracy,
    sure_nodes,
)

#: Held for the moment in which a gallery is replaced, so that no writer loses what another wrote.
_REPLACING = Lock()


class BaseRetriever(ClassifierMixin, NestedParams, LazyAttributes):
    """A fitted retriever holds a `Searcher` and asks it."""

    _lazy: ClassVar[dict] = {
        "classes_": lambda self: self._searcher.gallery.classes,
        "gallery_labels_": lambda self: self._searcher.gallery.labels,
        "gallery_ids_": lambda self: self._searcher.gallery.ids,
        "n_samples_fit_": lambda self: len(self._searcher.gallery),
        "alpha_": lambda self: _alpha_of(self.__dict__.get("alpha"), self._alpha_at_fit),
    }
    _searcher: Searcher
    _alpha_at_fit: float

    def searcher(self) -> Searcher:
        """Return the value that searches, by the gallery and the parameters as they are now.

        Returns
        -------
        searcher : Searcher
            It stays as it is, whatever becomes of the retriever.
        """
        check_is_fitted(self, "class_model_")
        searcher = self.__dict__["_searcher"]
        late = self._late()
        return searcher.optioned(late, lambda: Options.of(late, self._alpha_at_fit, type(self).__name__))

    def _late(self) -> dict[str, Any]:
        """Return the parameters that may be set after fit."""
        params = self.__dict__
        return {name: params[name] for name in LATE if name in params}

    def with_searcher(self, searcher: Searcher, **params: Any) -> Any:
        """Return a copy that searches by another value; this retriever stays as it is.

        Parameters
        ----------
        searcher : Searcher
            What the copy searches by, but for its options.
        **params : dict
            Parameters of the copy that may be set after fit.

        Returns
        -------
        retriever : object
            Fitted, with the same class model.
        """
        other = copy.copy(self)
        other._searcher = searcher
        if searcher.leaf_model is not None:
            other.hierarchy_ = searcher.leaf_model.hierarchy
        if "alpha" in params and not isinstance(params["alpha"], str):
            other._alpha_at_fit = params["alpha"]
        return other.set_params(**params)

    # --------------------------------------------------------------------- questions

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
        alpha: float | None = None,
        offset: int = 0,
        ids: ArrayLike | None = None,
        not_same: str | Mapping[str, ArrayLike] | None = None,
    ) -> Any:
        """Find the nearest gallery samples by the combined distance.

        Parameters
        ----------
        X : array-like or dask array of shape (n_queries, n_features), optional
            The queries. Default: the gallery, where no sample is its own neighbour. For a
            Dask array the results are Dask arrays, computed block by block on its workers.
        n_neighbors : int, optional
            Default: the parameter of that name.
        return_distance : bool, default=True
            Whether to return distances, too.
        within : array-like or mapping, optional
            Where to search: a boolean mask of shape (n_gallery,), or class labels and names of inner
            nodes of the hierarchy, for the samples whose leaf is one of them or below one of them;
            ``{"ids": ...}`` and ``{"positions": ...}`` name samples.
        where : str, optional
            A condition on the gallery's metadata, such as ``"price < 20 and brand in ('x', 'y')"``:
            comparisons of columns with constants or each other, joined by ``and``, ``or`` and ``not``; names
            that are no Python names stand in backticks. It is parsed and never run as code. A condition is
            worked out once for a gallery. Where `within` is given too, both must hold.
        alpha : float, optional
            Weight of the tree in this request. Default: the parameter of that name.
        offset : int, default=0
            Results to leave out before the first one: ``offset=20`` with 20 neighbours is the second page.
            The last page may be shorter, and one beyond the gallery is empty.
        ids : array-like of shape (n_queries,), optional
            Without `X`: gallery samples that are the queries, by their ids.
        not_same : str or mapping from str to array-like of shape (n_queries,), optional
            A column of the metadata, such as the series of a photograph: samples with the query's own value
            are no neighbours. Queries of `X` come with their values, ``not_same={"series": values}``. The
            time follows the largest group.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Ascending; only if `return_distance`. For infinite alpha the hierarchical distances.
            Infinity where `within` and `where` leave too few samples.
        indices : ndarray of shape (n_queries, n_neighbors)
            Positions in the gallery; equal distances in ascending order of them; -1
            where `within` and `where` leave too few samples.
        """
        request, searcher = Request(n_neighbors, within, where, alpha, offset, not_same), self.searcher()
        if is_dask(X):
            if any(option is not None for option in (where, alpha, ids, not_same)) or offset:
                raise ValueError("where, alpha, offset, ids and not_same are not for Dask arrays.")
            k = searcher.options.n_neighbors if n_neighbors is None else n_neighbors
            check_positive_integer(k, "n_neighbors")
            # Later changes of the gallery, the parameters or `within` change nothing.
            snapshot = self.with_searcher(searcher)
            within = None if within is None else copy.deepcopy(within)
            lazily = kneighbors_of_blocks(snapshot, searcher.distance_dtype, X, int(k), within)
            return lazily if return_distance else lazily[1]
        searcher = request.weighed(searcher)
        result = request.answer(searcher, checked_queries(self, X, searcher), _positions_of(searcher, X, ids))
        if not return_distance:
            return result.indices
        return searcher.rounded(result.distances), result.indices

    def kneighbors_graph(
        self, X: ArrayLike | None = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> Any:
        """Make the graph of the nearest gallery samples, as scikit-learn's neighbours estimators do.

        Parameters
        ----------
        X, n_neighbors
            See `kneighbors`.
        mode : {"connectivity", "distance"}, default="connectivity"
            Edges of weight 1, or of the combined distances. A sample has no edge to itself.

        Returns
        -------
        graph : sparse matrix of shape (n_queries, n_gallery), in CSR format
            Edges of each query in the order of the distances.
        """
        _check_mode(mode)
        searcher = self.searcher()
        result = searcher.neighbors(checked_queries(self, X, searcher), n_neighbors)
        weights = np.ones(result.indices.shape)
        if mode == "distance":
            weights = searcher.rounded(result.distances)
        return neighbor_graph(weights, result.indices, len(searcher.gallery))

    def radius_neighbors(
        self,
        X: ArrayLike | None = None,
        radius: float = 1.0,
        return_distance: bool = True,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
        alpha: float | None = None,
    ) -> Any:
        """Find all gallery samples up to some combined distance.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            Default: the gallery, where no sample is its own neighbour.
        radius : float, default=1.0
            The largest distance, as `kneighbors` returns it.
        return_distance : bool, default=True
            Whether to return distances, too.
        within, where, alpha
            See `kneighbors`.

        Returns
        -------
        distances : ndarray of shape (n_queries,), of arrays
            Ascending; only if `return_distance`.
        indices : ndarray of shape (n_queries,), of arrays
            Positions in the gallery; equal distances in ascending order of them.
        """
        request = Request(None, within, where, alpha)
        searcher = request.weighed(self.searcher())
        X = checked_queries(self, X, searcher)
        found = list(within_radius(searcher, X, radius, request))
        distances, indices = (np.empty(len(found), dtype=object) for _ in range(2))
        for i, (of_query, positions) in enumerate(found):
            distances[i], indices[i] = of_query, positions
        return (distances, indices) if return_distance else indices

    def radius_neighbors_graph(
        self, X: ArrayLike | None = None, radius: float = 1.0, mode: str = "connectivity"
    ) -> Any:
        """Make the graph of the gallery samples up to some distance, as scikit-learn's estimators do.

        Parameters
        ----------
        X, radius
            See `radius_neighbors`.
        mode : {"connectivity", "distance"}, default="connectivity"
            Edges of weight 1, or of the combined distances. A sample has no edge to itself.

        Returns
        -------
        graph : sparse matrix of shape (n_queries, n_gallery), in CSR format
            Edges of each query in the order of the distances.
        """
        _check_mode(mode)
        searcher = self.searcher()
        found = within_radius(searcher, checked_queries(self, X, searcher), radius, Request())
        distances, indices = zip(*found, strict=True)
        columns = np.concatenate(indices)
        weights = np.concatenate(distances) if mode == "distance" else np.ones(len(columns))
        counts = np.array([len(positions) for positions in indices])
        return neighbor_graph(weights, columns, len(searcher.gallery), counts)

    def exact_neighbors(
        self, X: ArrayLike | None, n_neighbors: int
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Find neighbours, with distances as they were compared, which tell what is tied.

        Parameters
        ----------
        X, n_neighbors
            See `kneighbors`.

        Returns
        -------
        distances, indices : ndarrays of shape (n_queries, n_neighbors)
            As `kneighbors` returns them, with distances in float64.
        """
        searcher = self.searcher()
        return searcher.neighbors(checked_queries(self, X, searcher), n_neighbors)[:2]

    @tabular
    def retrieve(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
        alpha: float | None = None,
        offset: int = 0,
        ids: ArrayLike | None = None,
        not_same: str | Mapping[str, ArrayLike] | None = None,
        columns: Sequence[str] = (),
        min_probability: float | None = None,
    ) -> pd.DataFrame:
        """Return neighbours as a tidy table.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features), optional
            Default: the gallery, where no sample is its own neighbour.
        n_neighbors : int, optional
            Default: the parameter of that name.
        within, where, alpha, offset, ids, not_same
            See `kneighbors`; where `within` and `where` leave too few samples, queries have fewer rows.
        columns : sequence of str, optional
            Columns of the gallery's metadata to return as well, at the end.
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
        request = Request(n_neighbors, within, where, alpha, offset, not_same)
        searcher = request.weighed(self.searcher())
        if min_probability is not None:
            check_min_probability(min_probability)
            check_backing_off(searcher, X, "min_probability")
        X = checked_queries(self, X, searcher)
        table, result = request.table(searcher, X, _positions_of(searcher, X, ids), columns or ())
        if min_probability is not None and result is not None:
            nodes = sure_nodes(searcher, X, min_probability)
            model = searcher.leaves.model
            names, accuracies = described(model, nodes, result.known, min_probability)
            query = table["query"].to_numpy()
            table["query_node"], table["query_node_accuracy"] = names[query], accuracies[query]
        return table

    def leaves(
        self,
        X: ArrayLike | None = None,
        *,
        min_probability: float | None = None,
        coverage: float | None = None,
    ) -> NDArray:
        """Return the leaf of each sample: the class that the class model predicts.

        With soft leaves it is the most probable one.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), optional
            Default: the gallery, where the training samples' leaves are cross-fitted.
        min_probability : float in (0.5, 1], optional
            Back off to the deepest node that holds this much of the class probabilities, times the
            probability that the class is known where `novelty` is heeded. Needs `X`. `level_accuracy` tells
            how often that is right where the class is known.
        coverage : float in (0, 1), optional
            Back off to the deepest node at or below which the class lies with this frequency, as it did for
            held-out samples of the fit (split conformal prediction over the levels of the tree). It holds on
            average over samples that are drawn as those of the fit were, not for each class or level, and
            neither for new classes nor for series of which the fit saw a part. Needs `X`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            With `min_probability` or `coverage` numbers of nodes of `hierarchy_`: its classes have the
            numbers below ``n_classes``, see `ClassHierarchy.node_names` and `ClassHierarchy.members`.
        """
        searcher = self.searcher()
        if coverage is not None and min_probability is not None:
            raise ValueError("min_probability and coverage do not go together.")
        if min_probability is not None:
            check_min_probability(min_probability)
            check_backing_off(searcher, X, "min_probability")
        if coverage is not None:
            check_backing_off(searcher, X, "coverage")
        X = checked_queries(self, X, searcher)
        if min_probability is not None:
            return sure_nodes(searcher, X, min_probability)
        if coverage is not None:
            return covering_nodes(searcher.leaves.model, X, coverage)
        leaves = searcher.leaves
        result = leaves.view(of_gallery=True).leaves() if X is None else leaves.predicted(X)
        return leaves.labels_of(result)

    @tabular
    def level_accuracy(self, min_probability: float) -> pd.DataFrame:
        """Tell how often ``leaves(X, min_probability=...)`` is right, by held-out training samples.

        These samples are of known classes. In a gallery with unknown classes, leaves are right less often.

        Parameters
        ----------
        min_probability : float in (0.5, 1]
            See `leaves`.

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
        model = self.searcher().leaves.model
        check_min_probability(min_probability)
        return level_accuracy(model, min_probability)

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict the most frequent label among the nearest neighbours; ties go to the first class.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        labels : ndarray of shape (n_queries,)
            Predicted labels.
        """
        codes, classes = _neighbour_codes(self, X)
        return classes[most_frequent(codes, axis=1).mode]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Compute the share of each class among the nearest neighbours.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.

        Returns
        -------
        probabilities : ndarray of shape (n_queries, n_classes)
            Columns in the order of `classes_`.
        """
        codes, classes = _neighbour_codes(self, X)
        votes = np.zeros((len(codes), len(classes)))
        np.add.at(votes, (np.arange(len(codes))[:, None], codes), 1.0)
        return votes / codes.shape[1]

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Compute ``mAP@n_neighbors`` of queries against the gallery.

        Meaningless on the training samples while they are the gallery: each finds
        itself. `make_retrieval_scorer` offers other metrics and leave-one-out.

        Parameters
        ----------
        X : array-like of shape (n_queries, n_features)
            Queries.
        y : array-like of shape (n_queries,)
            True labels of the queries.

        Returns
        -------
        score : float
            Mean over the queries that have something to find.
        """
        searcher = self.searcher()
        y_query, y_gallery = labels_of_queries(X, y), _labels_of(searcher)
        n_relevant = count_relevant(y_query, y_gallery)
        scores = []
        for rows in query_chunks(len(y_query), searcher.options.n_neighbors):
            result = searcher.neighbors(checked_queries(self, rows_of(X, rows, len(y_query)), searcher))
            ranked = y_gallery[result.indices]
            scores.append(average_precision_at_k(y_query[rows], ranked, n_relevant=n_relevant[rows]))
        return mean_over_queries(np.concatenate(scores))

    # ----------------------------------------------------------------------- gallery

    def set_gallery(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        *,
        gallery_leaves: str | None = None,
        new_classes: str | None = None,
        parents: Mapping | None = None,
        metadata: Any = None,
    ) -> Any:
        """Replace the gallery; hierarchy and class model stay.

        Parameters
        ----------
        X : array-like of shape (n_gallery, n_features)
            The samples to search.
        y : array-like of shape (n_gallery,), optional
            Labels; they define what is relevant and may be unseen at fit. Without them
            `predict` and `score` raise.
        ids : array-like of shape (n_gallery,), optional
            Distinct names of the samples for `retrieve`; default: running numbers.
        gallery_leaves : {"auto", "predicted", "labels"}, optional
            For this gallery and what is added to it; default: the parameter, as it was at fit.
        new_classes : {"auto", "labels", "discover", "ignore"}, optional
            The same.
        parents : mapping from label to name of node, optional
            Where new classes stand in the gallery's hierarchy: children of these inner nodes (see
            `ClassHierarchy.node_names`), of whichever hierarchies have them. Default: where linkage would put
            them in learned hierarchies, and children of the root in given ones.
        metadata : DataFrame or dict of columns, optional
            A row for each sample, for conditions (`where=` of `kneighbors`) and as columns of `retrieve`.

        Returns
        -------
        self : object
            The retriever.

        Raises
        ------
        ValueError
            For "labels", among others, if there are none, or some that the hierarchy lacks; they are named.
            For parents that are no inner nodes, and of classes that are not new or do not come with `y`.
        """
        searcher = self.searcher()
        if gallery_leaves not in (None, "auto", "predicted", "labels"):
            raise ValueError(
                f"gallery_leaves must be 'auto', 'predicted' or 'labels', got {gallery_leaves!r}."
            )
        if new_classes not in (None, "auto", "labels", "discover", "ignore"):
            raise ValueError(
                f"new_classes must be 'auto', 'labels', 'discover' or 'ignore', got {new_classes!r}."
            )
        X = checked_samples(self, X)
        kept = self.__dict__.get("_new_classes", "ignore")
        table = Metadata.given(metadata, len(X))
        searcher = searcher.with_gallery(
            X, y, ids, gallery_leaves or self._gallery_leaves, new_classes or kept, parents, table
        )
        with _REPLACING:
            self._searcher = searcher
        return self

    def with_gallery(
        self, X: ArrayLike, y: ArrayLike | None = None, ids: ArrayLike | None = None, **how: Any
    ) -> Any:
        """Return a copy with another gallery; this retriever stays as it is.

        Parameters
        ----------
        X, y, ids
            See `set_gallery`.
        **how : dict
            Its keyword arguments.

        Returns
        -------
        retriever : object
            Fitted, with the same class model.
        """
        return copy.copy(self).set_gallery(X, y, ids, **how)

    def add_to_gallery(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        *,
        parents: Mapping | None = None,
        metadata: Any = None,
        if_exists: str = "error",
    ) -> Any:
        """Add samples to the gallery, at its end; hierarchy and class model stay.

        The amortised cost depends on the new samples only, so many small additions are cheap. Codes of a
        `HammingRetriever` are copied, and so is a gallery some of whose ids are replaced.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples to add.
        y : array-like of shape (n_samples,), optional
            Labels, if and only if the gallery has some.
        ids : array-like of shape (n_samples,), optional
            Names that no sample of the gallery has; default: running numbers that none ever had,
            where the gallery's ids are integers.
        parents : mapping from label to name of node, optional
            See `set_gallery`; of classes that come with these samples.
        metadata : DataFrame or dict of columns, optional
            If and only if the gallery has some, with the same columns.
        if_exists : {"error", "replace"}, default="error"
            What to do with ids that samples of the gallery have: raise an error, or remove these samples.

        Returns
        -------
        self : object
            The retriever.

        Raises
        ------
        ValueError
            For ids that are there already, unless they are to be replaced.
        """
        if if_exists not in ("error", "replace"):
            raise ValueError(f"if_exists must be 'error' or 'replace', got {if_exists!r}.")
        X = checked_samples(self, X, self.searcher())
        table = Metadata.given(metadata, len(X))
        add = Searcher.with_added if if_exists == "error" else replaced
        return replace_searcher(self, lambda searcher: add(searcher, X, y, ids, parents, table))

    def set_metadata(self, metadata: Any, ids: ArrayLike | None = None) -> Any:
        """Put a table beside the samples of the gallery, in place of one that is there, or change some rows.

        Parameters
        ----------
        metadata : DataFrame, dict of columns, or None
            A row for each sample of the gallery, in the order of `gallery_ids_`; None takes the table away.
        ids : array-like of shape (n_samples,), optional
            Some of `gallery_ids_`: the table has a row for each of these, and columns that it lacks stay.

        Returns
        -------
        self : object
            The retriever.
        """
        n_rows = len(np.atleast_1d(np.asarray(ids))) if ids is not None else None

        def change(searcher: Searcher) -> Searcher:
            n = len(searcher.gallery) if n_rows is None else n_rows
            return with_metadata(searcher, Metadata.given(metadata, n), ids)

        if metadata is None and ids is not None:
            raise ValueError("None takes the whole table away; ids are not for that.")
        return replace_searcher(self, change)

    def remove_from_gallery(self, ids: ArrayLike) -> Any:
        """Remove samples from the gallery; those behind them move up, their ids stay.

        Parameters
        ----------
        ids : array-like of shape (n_samples,)
            Some of `gallery_ids_`, each once.

        Returns
        -------
        self : object
            The retriever.

        Raises
        ------
        ValueError
            For an id that is not there; nothing is removed then.
        """
        return replace_searcher(self, lambda searcher: searcher.with_removed(ids))


def _alpha_of(alpha: Any, at_fit: float) -> float:
    """Return alpha as it is now: it may be set after fit."""
    return at_fit if alpha is None or isinstance(alpha, str) else float(alpha)


def replace_searcher(retriever: Any, change: Callable[[Searcher], Searcher]) -> Any:
    """Change what a retriever searches by; begin again if another thread did so meanwhile."""
    check_is_fitted(retriever, "class_model_")
    while True:
        before = retriever.__dict__["_searcher"]
        after = change(retriever.searcher())
        with _REPLACING:
            if retriever.__dict__["_searcher"] is before:
                retriever._searcher = after
                return retriever


def checked_queries(retriever: BaseRetriever, X: ArrayLike | None, searcher: Searcher | None = None) -> Any:
    """Check the features or codes of queries; None, which stands for the gallery, stays."""
    return None if X is None else checked_samples(retriever, X, searcher)


def checked_samples(retriever: BaseRetriever, X: ArrayLike, searcher: Searcher | None = None) -> Any:
    """Check features or codes for a fitted retriever, in the dtype of a gallery or of what suits them."""
    if (searcher or retriever.__dict__["_searcher"]).gallery.metric is None:
        check_codes(X)
        return validate_data(retriever, X, dtype=None, order="C", reset=False)
    return checked_rows(retriever, X, None if searcher is None else searcher.gallery.dtype)


def _check_mode(mode: str) -> None:
    """Raise a ValueError unless scikit-learn has such a graph of neighbours."""
    if mode not in ("connectivity", "distance"):
        raise ValueError(f"mode must be 'connectivity' or 'distance', got {mode!r}.")


def _positions_of(searcher: Searcher, X: Any, ids: ArrayLike | None) -> NDArray[np.intp] | None:
    """Return the positions of gallery samples that are queries, if some are named."""
    if ids is None:
        return None
    if X is not None:
        raise ValueError("ids name samples of the gallery as queries: pass X or ids.")
    positions = searcher.gallery.samples.positions_of(ids)
    if not len(positions):
        raise ValueError("ids name no sample: at least one query is needed.")
    return positions


def _neighbour_codes(retriever: BaseRetriever, X: ArrayLike) -> tuple[NDArray[np.intp], NDArray]:
    """Return the neighbours' labels as positions in all classes, and these."""
    searcher = retriever.searcher()
    labels, classes = _labels_of(searcher), searcher.gallery.classes
    result = searcher.neighbors(checked_queries(retriever, X, searcher))
    return np.searchsorted(classes, labels[result.indices]), classes


def _labels_of(searcher: Searcher) -> NDArray:
    labels = searcher.gallery.labels
    if labels is None:
        raise ValueError("The gallery has no labels: pass y to set_gallery to predict or score.")
    return labels
