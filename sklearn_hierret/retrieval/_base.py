"""What retrievers share: a gallery, leaves, neighbours, votes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from threading import Lock, RLock
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.stats import mode as most_frequent
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import (
    check_nested,
    check_positive_integer,
    check_same_kind,
    row_chunks,
    rows_of,
)
from sklearn_hierret._blocks import is_dask
from sklearn_hierret._threads import run_batches, slices_of, threads_of
from sklearn_hierret.building import (
    HeldOutLeaves,
    LeafModel,
    fit_alpha,
    fit_leaf_model,
    float_dtype,
    likeliest,
)
from sklearn_hierret.discriminant import known_proba
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy, check_min_probability
from sklearn_hierret.metrics import (
    average_precision_at_k,
    count_relevant,
    labels_of_queries,
    mean_over_queries,
    query_chunks,
)
from sklearn_hierret.retrieval._backing_off import (
    HeldOutSample,
    described,
    level_accuracy,
    sure_nodes,
    tree_of,
)
from sklearn_hierret.retrieval._dask import kneighbors_of_blocks
from sklearn_hierret.retrieval._gallery import Gallery, one_per_row
from sklearn_hierret.retrieval._gallery_leaves import LeafKind, LeafOrigin, leaves_of_gallery
from sklearn_hierret.retrieval._novelty import (
    LEAST_OPEN_ALPHA,
    MOST_OPEN_ALPHA,
    share_of_gallery,
    weighed_leaves,
)
from sklearn_hierret.search import Index, LeafDistance, search

#: Parameters that may be set after fit.
LATE_PARAMS = ("alpha", "stem", "assignment", "novelty", "n_neighbors", "n_jobs", "verbose")


class Found(NamedTuple):
    """What a search returns, and what it was made of."""

    distances: NDArray
    indices: NDArray[np.intp]
    gallery: Gallery
    queries: NDArray
    leaf_distance: LeafDistance | None
    known: NDArray[np.float64] | None


class BaseRetriever(ClassifierMixin, BaseEstimator):
    """Neighbours by a distance of features, plus alpha times that of their leaves.

    A subclass fits, and says what features are (`_checked`) and what the class model is given
    (`_for_class_model`).
    """

    alpha_: float
    _gallery: Gallery
    _leaf_model: LeafModel | Any  # None where there are no leaves
    #: Of the features' distance in tables.
    _distance_name: ClassVar[str]
    #: Whether queries of unknown classes rely on their leaves less; a parameter of some subclasses.
    novelty: bool | str = False

    _parameter_constraints: dict = {
        "hierarchy": [None, ClassHierarchy, CombinedHierarchy, HasMethods("fit"), list],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="both")],  # infinity included
        "stem": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both")],
        "gallery_leaves": [StrOptions({"auto", "predicted", "labels"})],
        "assignment": [StrOptions({"soft", "hard"})],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "class_model": [None, HasMethods(["fit", "predict"])],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    def set_params(self, **params: Any) -> Any:
        """Set parameters, nested ones as ``hierarchy__threshold``.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : object
        """
        check_nested(self, params, "hierarchy", f"{type(self).__name__}(hierarchy=HierarchyBuilder())")
        check_nested(self, params, "class_model", "class_model=DiscriminantClassifier()")
        return super().set_params(**params)

    def set_gallery(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        *,
        gallery_leaves: str | None = None,
    ) -> Any:
        """Replace the gallery; hierarchy and class model stay.

        Parameters
        ----------
        X : array-like of shape (n_gallery, n_features)
        y : array-like of shape (n_gallery,), optional
            Labels; they define what is relevant and may be unseen at fit. Without them
            `predict` and `score` raise.
        ids : array-like of shape (n_gallery,), optional
            Distinct names of the samples for `retrieve`; default: running numbers.
        gallery_leaves : {"auto", "predicted", "labels"}, optional
            For this gallery and what is added to it; default: the parameter, as it was at fit.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For "labels", among others, if there are none, or some that the hierarchy lacks; they are named.
        """
        check_is_fitted(self, "class_model_")
        if gallery_leaves not in (None, "auto", "predicted", "labels"):
            raise ValueError(
                f"gallery_leaves must be 'auto', 'predicted' or 'labels', got {gallery_leaves!r}."
            )
        self._validate_late_params()
        X = self._checked(X)
        with _writing(self):
            self._index(X, y, ids, LeafOrigin(gallery_leaves or self._gallery_leaves))
        return self

    def add_to_gallery(self, X: ArrayLike, y: ArrayLike | None = None, ids: ArrayLike | None = None) -> Any:
        """Add samples to the gallery, at its end; hierarchy and class model stay.

        The amortised cost depends on the new samples only, so many small additions are cheap. Codes of a
        `HammingRetriever` are copied.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            Labels, if and only if the gallery has some.
        ids : array-like of shape (n_samples,), optional
            Names that no sample of the gallery has; default: running numbers that none ever had,
            where the gallery's ids are integers.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For ids that are there already.
        """
        check_is_fitted(self, "class_model_")
        self._validate_late_params()
        with _writing(self):
            gallery = self._gallery
            X = self._checked(X, gallery.dtype)
            labels = None if y is None else one_per_row(y, len(X), "labels")
            leaves, classes = None, gallery.classes
            if (labels is None) == (gallery.labels is None):  # `added` raises otherwise
                classes = self._classes_with(classes, labels)
                if gallery.kind is not None:
                    serials = np.arange(gallery.n_ever, gallery.n_ever + len(X))
                    leaves = self._leaves_of(X, labels, gallery.kind, gallery.origin, serials)
            self._gallery = gallery.added(X, labels, ids, leaves, classes)
        return self

    def remove_from_gallery(self, ids: ArrayLike) -> Any:
        """Remove samples from the gallery; those behind them move up, their ids stay.

        Parameters
        ----------
        ids : array-like of shape (n_samples,)
            Some of `gallery_ids_`, each once.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            For an id that is not there; nothing is removed then.
        """
        check_is_fitted(self, "class_model_")
        with _writing(self):
            self._gallery = self._gallery.removed(ids)
        return self

    @property
    def classes_(self) -> NDArray:
        """Labels that `predict` can return."""
        return self._there().classes

    @property
    def gallery_labels_(self) -> NDArray | None:
        """Label of each sample of the gallery; None if it has no labels."""
        return self._there().position_labels

    @property
    def gallery_ids_(self) -> NDArray:
        """Id of each sample of the gallery."""
        return self._there().position_ids

    @property
    def n_samples_fit_(self) -> int:
        """Size of the gallery."""
        return len(self._there())

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
            Where to search: a boolean mask of shape (n_gallery,), or class labels, such
            as ``hierarchy_.members(node)``, for the samples whose leaf is one of them.

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
            without gallery labels), distance, cosine_distance or hamming_distance,
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
        if min_probability is not None:
            sample, known = self._held_out_sample, found.known
            assert X is not None
            nodes = self._sure_nodes(self._checked(X, gallery.dtype), known, min_probability)
            names, accuracies = described(self._leaf_model, nodes, known, sample, min_probability)
            table["query_node"], table["query_node_accuracy"] = names[query], accuracies[query]
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

    # ----------------------------------------------------------------------- inside

    @property
    def _distance_dtype(self) -> np.dtype:
        """Of the distances that `kneighbors` returns."""
        return float_dtype(self._gallery)

    def _checked(self, X: ArrayLike, dtype: Any = None) -> NDArray:
        """Features as an array, of some dtype or of that which suits them."""
        raise NotImplementedError

    #: Factor of the cosine distance that the class model sees, in the distance of the features.
    _cosine_scale: ClassVar[float] = 1.0

    def _for_class_model(self, X: NDArray) -> NDArray:
        """What the class model is given, for such features."""
        return X

    def _hierarchy(self) -> Any:
        """What is fitted, or used, as the hierarchy."""
        return self.hierarchy

    def _most_rows(self, X: NDArray) -> int:
        """Rows that the class model is given in one go."""
        return max(1, len(X))

    def _nearest(
        self, queries: NDArray, index: Index, k: int, alpha: float, **how: Any
    ) -> tuple[NDArray, NDArray]:
        """Distances and serial numbers; see `search`."""
        return search(queries, index, k, alpha=alpha, n_jobs=self.n_jobs, **how)

    def _fit_leaves(self, X: NDArray, y: NDArray) -> HeldOutLeaves | None:
        """Fit hierarchy, class model and alpha; return cross-fitted leaves, if there are any."""
        start = time.perf_counter()
        features = self._for_class_model(X)
        leaf_model = fit_leaf_model(self._hierarchy(), self.class_model, features, y, self.stem, self.verbose)
        self._print(f"hierarchy and class model in {time.perf_counter() - start:.1f} s")
        start = time.perf_counter()
        self.alpha_, held_out = fit_alpha(
            self.alpha, leaf_model, features, y, self.assignment, self._cosine_scale
        )
        self._print(f"alpha {self.alpha_:g}, in {time.perf_counter() - start:.1f} s")
        self._leaf_model = leaf_model
        self._held_out_sample = HeldOutSample.of(held_out, y)
        if held_out is not None:
            held_out = HeldOutLeaves(held_out.leaves, held_out.folds)
        self.hierarchy_ = leaf_model.hierarchy
        self.hierarchy_builder_ = leaf_model.builder
        self.class_model_ = leaf_model.class_model
        return held_out

    def _index(self, X: NDArray, y: ArrayLike | None, ids: ArrayLike | None, origin: LeafOrigin) -> None:
        labels = None if y is None else one_per_row(y, len(X), "labels")
        classes = self._classes_with(self._fit_classes, labels)
        if origin.gallery_leaves == "labels" and self._leaf_model is not None:
            self._leaf_model.of_labels(labels, "auto" if self._heeds_novelty() else "labels")  # raises
        kind = leaves = series = None
        if self._weight() != 0:
            self._require_leaves()
            kind = self._kind(origin, labels is not None)
            leaves = self._leaves_of(X, labels, kind, origin, np.arange(len(X)))
            series = self._leaf_model.tree.leaf_order
        index = Index.build(X, leaves, series)
        self._gallery = Gallery.of(index, X, labels, ids, kind, origin, classes)

    def _validate_late_params(self) -> None:
        """Check what may have been set after fit; to check all takes longer than a search for one query."""
        late = {name: getattr(self, name) for name in LATE_PARAMS if name in self._parameter_constraints}
        validate_parameter_constraints(self._parameter_constraints, late, type(self).__name__)

    def _weight(self) -> float:
        """The weight of the hierarchical distance."""
        return self.alpha_ if isinstance(self.alpha, str) else float(self.alpha)

    def _weight_for(self, gallery: Gallery, known: NDArray | None) -> float:
        """The same, for queries that may be of unknown classes."""
        weight = self._weight()
        if not isinstance(self.alpha, str) or known is None or not weight:
            return weight
        if known.min(initial=1) == 1:
            return weight
        assert gallery.kind is not None
        if gallery.kind.source == "predicted":
            return max(weight, LEAST_OPEN_ALPHA)
        return min(weight, MOST_OPEN_ALPHA)

    def _kind(self, origin: LeafOrigin, has_labels: bool) -> LeafKind:
        """Kind of the leaves of a gallery, for new queries."""
        by_label = has_labels and origin.gallery_leaves != "predicted"
        if not by_label:
            return LeafKind(self.assignment, "predicted")
        return LeafKind(
            self.assignment, "labels", origin.gallery_leaves == "labels" and self._heeds_novelty()
        )

    def _heeds_novelty(self) -> bool:
        """Whether queries of unknown classes rely on their leaves less."""
        tells = self._leaf_model is not None and self._leaf_model.tells_known
        if self.novelty is True and not tells:
            raise ValueError(
                f"novelty=True, and {type(self.class_model_).__name__} does not say how well a sample is "
                "known; use DiscriminantClassifier, or a class model with a method known_proba."
            )
        return self.novelty is not False and tells

    def _known(self, gallery: Gallery, X: NDArray | None) -> NDArray[np.float64] | None:
        """Probability that the class of each query, or sample of the gallery, is known."""
        if not self._heeds_novelty():
            return None
        share = gallery.known_share(lambda gallery: share_of_gallery(gallery, self._leaf_model))
        n = len(gallery) if X is None else len(X)
        if share in (0, 1):  # and nothing has to be asked
            return np.full(n, share)
        X = gallery.features if X is None else X
        log_odds = self._in_batches(X, self._leaf_model.known_log_odds)
        return known_proba(log_odds, share)

    def _leaves_of(
        self,
        X: NDArray,
        labels: NDArray | None,
        kind: LeafKind,
        origin: LeafOrigin,
        serials: NDArray[np.intp],
    ) -> NDArray:
        assign = partial(self._assign, assignment=kind.assignment)
        return leaves_of_gallery(
            self._leaf_model, kind, origin, X, labels, serials, assign, self._for_class_model
        )

    def _require_leaves(self) -> None:
        if self._leaf_model is None:
            raise ValueError(
                "There are no leaves: fit with labels and with alpha above 0, a hierarchy or a class_model."
            )

    def _classes_with(self, classes: NDArray, labels: NDArray | None) -> NDArray:
        if labels is None:
            return classes
        if not len(classes):  # fitted without labels
            classes = labels[:0]
        check_same_kind(labels, classes, "Gallery labels", "the labels seen at fit")
        try:
            return np.union1d(classes, np.unique(labels))
        except TypeError:
            raise ValueError("Gallery labels must be of one type that can be sorted.") from None

    def _search(
        self,
        X: ArrayLike | None,
        n_neighbors: int | None,
        within: ArrayLike | None = None,
        with_leaves: bool = False,
        gallery: Gallery | None = None,
    ) -> Found:
        check_is_fitted(self, "class_model_")
        self._validate_late_params()
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        check_positive_integer(k, "n_neighbors")
        needs_leaves = self._weight() != 0 or with_leaves
        gallery = gallery or self._there()
        chosen = None if within is None else self._chosen(gallery, within)
        by_label = chosen is not None and chosen.dtype != bool
        if needs_leaves or by_label:
            gallery = self._gallery_with_leaves(gallery, of_own=X is None)
        n_candidates = len(gallery) - (X is None)
        if k > n_candidates and (within is None or n_candidates < 1):
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit_, but n_neighbors = {k} and the gallery holds "
                f"{max(0, n_candidates)} samples" + (" besides the query." if X is None else ".")
            )
        if X is not None:
            X = self._checked(X, gallery.dtype)
        leaf_distance = known = None
        if needs_leaves:
            leaves = gallery.leaves if X is None else self._assign(X)
            known = self._known(gallery, X)
            if known is not None and known.min(initial=1) < 1:
                leaves = weighed_leaves(leaves, known)
            leaf_distance = self._leaf_distance(gallery, leaves)
        index = gallery.index
        queries = index.queries(gallery.rows) if X is None else index.rows.as_queries(X)
        distances, serials = self._nearest(
            queries,
            index,
            int(k),
            self._weight_for(gallery, known),
            leaf_distance=leaf_distance,
            own_row=gallery.rows if X is None else None,
            allowed=gallery.alive_rows if chosen is None else gallery.rows_at(self._mask(gallery, chosen)),
            report=self._progress() if self.verbose else None,
        )
        return Found(distances, gallery.positions(serials), gallery, queries, leaf_distance, known)

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

    def _chosen(self, gallery: Gallery, within: ArrayLike) -> NDArray:
        """A mask of positions, or labels of leaves."""
        chosen = np.asarray(within)
        is_mask = chosen.dtype == bool
        if chosen.dtype == object and chosen.size:  # of a DataFrame, say
            is_mask = all(isinstance(value, (bool, np.bool_)) for value in chosen.ravel())
        if not is_mask:
            return chosen
        if chosen.shape == (len(gallery),):
            return chosen.astype(bool)
        if self._leaf_model is not None and self._leaf_model.tree.classes.dtype == bool:
            return chosen.astype(object)  # the labels are False and True
        raise ValueError(f"A mask of shape {chosen.shape} for a gallery of {len(gallery)} samples.")

    def _mask(self, gallery: Gallery, chosen: NDArray) -> NDArray[np.bool_]:
        """Positions that are chosen by a mask, or by labels of leaves."""
        if chosen.dtype == bool:
            return chosen
        tree = self._leaf_model.tree
        is_chosen = np.zeros(tree.n_classes, dtype=bool)
        is_chosen[tree.index(chosen.ravel())] = True
        return is_chosen[likeliest(gallery.leaves)]

    def _leaf_distance(self, gallery: Gallery, leaves: NDArray) -> LeafDistance:
        model = self._leaf_model.with_stem(self.stem)
        is_hard = leaves.shape[1] == 1 and gallery.index.is_hard and bool(np.all(leaves["probability"] == 1))
        values = model.ranking_tree.distinct_distances() if is_hard else None
        return LeafDistance(leaves, model.distances, values)

    def _gallery_with_leaves(self, gallery: Gallery, of_own: bool) -> Gallery:
        """A gallery with the leaves for searches by its own samples, or by new queries."""
        self._require_leaves()
        kind = LeafKind(self.assignment, "predicted")
        if not of_own:
            kind = self._kind(gallery.origin, gallery.labels is not None)
        if gallery.kind != kind and len(gallery):  # an emptied one has nothing to sort
            labels, serials = gallery.position_labels, gallery.serials
            leaves = self._leaves_of(gallery.features, labels, kind, gallery.origin, serials)
            sorted_anew = gallery.with_leaves(kind, leaves, self._leaf_model.tree.leaf_order)
            with _writing(self):
                if self._gallery is gallery:  # no one changed it meanwhile
                    self._gallery = sorted_anew
            return sorted_anew
        return gallery

    def _assign(self, X: NDArray, assignment: str | None = None) -> NDArray:
        self._require_leaves()
        start = time.perf_counter()
        assignment = assignment or self.assignment
        leaves = self._in_batches(X, lambda rows: self._leaf_model.assign(rows, assignment))
        if len(X) > 1:
            self._print(f"leaves of {len(X)} samples in {time.perf_counter() - start:.1f} s")
        return leaves

    def _in_batches(self, X: NDArray, function: Callable[[NDArray], NDArray]) -> NDArray:
        """What a function makes of features as the class model is given them, in several threads."""
        # Other class models may not be safe in threads, and may have their own.
        n_threads = threads_of(self.n_jobs, len(X)) if hasattr(self.class_model_, "predict_leaves") else 1
        size = min(self._most_rows(X), -(-len(X) // n_threads))
        parts = run_batches(
            slices_of(len(X), size) or [slice(0, 0)],
            lambda rows: function(self._for_class_model(X[rows])),
            n_threads,
        )
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _print(self, message: str) -> None:
        if self.verbose:
            print(f"[{type(self).__name__}] {message}", flush=True)

    def _progress(self) -> Callable[[int, int], None]:
        start = time.perf_counter()

        def report(done: int, total: int) -> None:
            passed = time.perf_counter() - start
            left = f", about {passed * (total - done) / done:.0f} s left" if done < total else ""
            self._print(f"searched {done} of {total} queries in {passed:.1f} s{left}")

        return report

    def _leaf_labels(self, leaves: NDArray) -> NDArray:
        return self._leaf_model.tree.classes[likeliest(leaves)]

    def _neighbour_codes(self, X: ArrayLike) -> tuple[NDArray[np.intp], NDArray]:
        """Classes of the neighbours by their positions in all classes, and these."""
        check_is_fitted(self, "class_model_")
        gallery = self._there()
        labels = _labels_of(gallery)
        found = self._search(X, None, gallery=gallery)
        return np.searchsorted(gallery.classes, labels[found.indices]), gallery.classes

    def _there(self) -> Gallery:
        """The gallery as it is now: a call takes it once, since other threads may replace it."""
        check_is_fitted(self, "class_model_")
        return self._gallery


#: One lock a retriever, so that no writer loses what another wrote. Copies and pickles have their own.
_LOCKS: WeakKeyDictionary[BaseRetriever, RLock] = WeakKeyDictionary()
_LOCKS_LOCK = Lock()


def _writing(retriever: BaseRetriever) -> RLock:
    """What a writer of a retriever's gallery holds."""
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(retriever, RLock())


def _rounded(distances: NDArray[np.float64], dtype: np.dtype) -> NDArray:
    """Distances as they are returned: infinite where single precision has no such number."""
    with np.errstate(over="ignore"):
        return distances.astype(dtype, copy=False)


def _labels_of(gallery: Gallery) -> NDArray:
    labels = gallery.position_labels
    if labels is None:
        raise ValueError("The gallery has no labels: pass y to set_gallery to predict or score.")
    return labels
