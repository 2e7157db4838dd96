"""What a search goes through: leaves of queries and gallery, their weight, and the gallery that is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from numbers import Integral, Real
from threading import Lock, RLock
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from sklearn_hierret._arrays import check_nested, check_positive_integer
from sklearn_hierret._threads import run_batches, slices_of, threads_of
from sklearn_hierret.building import (
    FittedMetric,
    HeldOutLeaves,
    LeafModel,
    cosine_metric,
    fit_alpha,
    fit_leaf_model,
    float_dtype,
    likeliest,
)
from sklearn_hierret.discriminant import known_proba
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.retrieval._backing_off import HeldOutSample
from sklearn_hierret.retrieval._gallery import Gallery
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


class LeafSearch(BaseEstimator):
    """Search by a distance of features, plus alpha times that of their leaves.

    A subclass fits, and says what features are (`_checked`) and what the class model is given
    (`_for_class_model`).
    """

    alpha_: float
    _gallery: Gallery
    _leaf_model: LeafModel | Any  # None where there are no leaves
    _visual: VisualMetric | None = None  # of features
    #: Whether queries of unknown classes rely on their leaves less; a parameter of some subclasses.
    novelty: bool | str = False

    #: Factor of the cosine distance that the class model sees, in the distance of the features.
    _cosine_scale: ClassVar[float] = 1.0

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

    @property
    def _distance_dtype(self) -> np.dtype:
        """Of the distances that `kneighbors` returns."""
        return float_dtype(self._gallery)

    def _checked(self, X: ArrayLike, dtype: Any = None) -> NDArray:
        """Features as an array, of some dtype or of that which suits them."""
        raise NotImplementedError

    def _for_class_model(self, X: NDArray) -> NDArray:
        """What the class model is given, for such features."""
        return X

    def _hierarchy(self) -> Any:
        """What is fitted, or used, as the hierarchy."""
        return self.hierarchy

    def _fit_metric(self, leaf_model: LeafModel, X: NDArray, y: NDArray) -> FittedMetric:
        """Fit the metric that held-out samples are compared by."""
        return cosine_metric()

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
        metric = self._fit_metric(leaf_model, features, y)
        start = time.perf_counter()
        self.alpha_, held_out = fit_alpha(
            self.alpha, leaf_model, features, y, self.assignment, self._cosine_scale, metric
        )
        self._print(f"alpha {self.alpha_:g}, in {time.perf_counter() - start:.1f} s")
        self._leaf_model = leaf_model
        self._held_out_sample = HeldOutSample.of(held_out, y)
        if held_out is not None:
            held_out = HeldOutLeaves(held_out.leaves, held_out.folds)
        self.hierarchy_ = leaf_model.hierarchy
        self.hierarchy_builder_ = leaf_model.builder
        self.class_model_ = leaf_model.class_model
        if self._heeds_novelty():
            leaf_model.known_log_odds(features[:1])  # so that no query has to wait for it
        leaf_model.release()
        return held_out

    def _validate_late_params(self) -> None:
        """Check what may have been set after fit; to check all takes longer than a search for one query."""
        late = {name: getattr(self, name) for name in LATE_PARAMS if name in self._parameter_constraints}
        validate_parameter_constraints(self._parameter_constraints, late, type(self).__name__)

    def _weight(self) -> float:
        """The weight of the hierarchical distance."""
        return self.alpha_ if isinstance(self.alpha, str) else float(self.alpha)

    def _weight_for(self, gallery: Gallery) -> float:
        """The same for a gallery with leaves, which may be of unknown classes."""
        weight = self._weight()
        if not isinstance(self.alpha, str) or not weight or not self._heeds_novelty():
            return weight
        if self._known_share(gallery) == 1:
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

    def _class_probabilities(
        self, gallery: Gallery, X: NDArray
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probabilities of the leaves' classes for checked samples, and that their classes are known."""
        self._require_leaves()
        tree, model = self._leaf_model.tree, self.class_model_
        proba, own = np.zeros((len(X), tree.n_classes)), tree.index(model.classes_)
        features = self._for_class_model(X)
        if hasattr(model, "predict_proba"):
            proba[:, own] = model.predict_proba(features)
        else:
            proba[np.arange(len(X)), tree.index(model.predict(features))] = 1.0
        known = self._known(self._gallery_with_leaves(gallery, of_own=False), X)
        return proba, np.ones(len(X)) if known is None else known

    def _distances_to_classes(self, gallery: Gallery, X: NDArray) -> NDArray[np.float64]:
        """Hierarchical distances of checked samples to all classes, as a search takes them."""
        gallery = self._gallery_with_leaves(gallery, of_own=False)
        leaves, known = self._assign(X), self._known(gallery, X)
        if known is not None and known.min(initial=1) < 1:
            leaves = weighed_leaves(leaves, known)
        return self._leaf_distance(gallery, leaves).distances_of(leaves)

    def _known(self, gallery: Gallery, X: NDArray | None) -> NDArray[np.float64] | None:
        """Probability that the class of each query, or sample of the gallery, is known."""
        if not self._heeds_novelty():
            return None
        share = self._known_share(gallery)
        n = len(gallery) if X is None else len(X)
        if share in (0, 1):  # and nothing has to be asked
            return np.full(n, share)
        X = gallery.features if X is None else X
        log_odds = self._in_batches(X, self._leaf_model.known_log_odds)
        return known_proba(log_odds, share)

    def _known_share(self, gallery: Gallery) -> float:
        """Share of a gallery's samples whose class is known."""
        return gallery.known_share(lambda gallery: share_of_gallery(gallery, self._leaf_model))

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

    def _search(
        self,
        X: ArrayLike | None,
        n_neighbors: int | None,
        within: ArrayLike | None = None,
        with_leaves: bool = False,
        gallery: Gallery | None = None,
        *,
        class_distances: NDArray[np.float64] | None = None,
        alpha: float | None = None,
        is_checked: bool = False,
        visual: NDArray | None = None,
    ) -> Found:
        """Search.

        Parameters
        ----------
        X, n_neighbors, within
            See `BaseRetriever.kneighbors`.
        with_leaves : bool, default=False
            Also where the ranking does not need them.
        gallery : Gallery, optional
            Default: the one that is there.
        class_distances : ndarray of shape (n_classes,), optional
            Distance of each class, for all queries; default: the expected D_H of the queries' leaves.
        alpha : float, optional
            Weight of that; default: the parameter.
        is_checked : bool, default=False
            Whether X is an array as `_checked` returns them.
        visual : ndarray of shape (n_queries, n_visual), optional
            Rows to compare with those of the gallery, where they are not those of X.
        """
        check_is_fitted(self, "class_model_")
        self._validate_late_params()
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        check_positive_integer(k, "n_neighbors")
        needs_leaves = with_leaves or (self._weight() if alpha is None else alpha) != 0
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
        Q: Any = X if X is None or is_checked else self._checked(X, gallery.dtype)
        leaf_distance = known = None
        if needs_leaves:
            leaves = gallery.leaves if Q is None else self._assign(Q)
            known = self._known(gallery, Q)
            if class_distances is not None:
                leaf_distance = LeafDistance(leaves, partial(_same_for_all, class_distances))
            else:
                if known is not None and known.min(initial=1) < 1:
                    leaves = weighed_leaves(leaves, known)
                leaf_distance = self._leaf_distance(gallery, leaves)
        if alpha is None:
            alpha = self._weight_for(gallery) if needs_leaves else 0.0
        index = gallery.index
        queries = visual
        if queries is None:
            queries = index.queries(gallery.rows) if Q is None else gallery.as_queries(Q)
        distances, serials = self._nearest(
            queries,
            index,
            int(k),
            alpha,
            leaf_distance=leaf_distance,
            own_row=gallery.rows if Q is None else None,
            allowed=gallery.alive_rows if chosen is None else gallery.rows_at(self._mask(gallery, chosen)),
            report=self._progress() if self.verbose else None,
        )
        return Found(distances, gallery.positions(serials), gallery, queries, leaf_distance, known)

    def _chosen(self, gallery: Gallery, within: ArrayLike) -> NDArray:
        """A mask of positions, or labels of leaves."""
        if isinstance(within, (set, frozenset)):
            within = list(within)
        chosen = np.asarray(within)
        if isinstance(within, (list, tuple)) and chosen.dtype.kind in "US" and chosen.ndim == 1:
            chosen = np.array(within, dtype=object)  # numbers beside names stay numbers
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
        is_chosen[tree.index(_classes_below(tree, chosen.ravel()))] = True
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
            with writing(self):
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

    def _there(self) -> Gallery:
        """The gallery as it is now: a call takes it once, since other threads may replace it."""
        check_is_fitted(self, "class_model_")
        return self._gallery


def _classes_below(tree: Any, values: NDArray) -> NDArray:
    """Classes, and those below inner nodes that are named instead."""
    classes = set(tree.classes.tolist())
    if not isinstance(tree, ClassHierarchy) or classes.issuperset(values.tolist()):
        return values
    inner = list(range(tree.n_classes, tree.n_nodes))
    number = {tree.node_names[node]: node for node in inner}
    repeated = len(number) < len(inner)
    parts = []
    unknown = [value for value in values.tolist() if value not in classes and value not in number]
    if unknown:
        raise ValueError(f"Labels missing in the hierarchy, and no names of its nodes: {unknown[:10]}.")
    for value in values.tolist():
        if value not in classes:
            if repeated and sum(tree.node_names[node] == value for node in inner) > 1:
                raise ValueError(f"Several nodes are called {value!r}: give the classes below one of them.")
            parts.append(tree.members(number[value]))
        else:
            parts.append(np.array([value], dtype=tree.classes.dtype))
    return np.concatenate(parts)


def _same_for_all(distances: NDArray[np.float64], leaves: NDArray) -> NDArray[np.float64]:
    """The same distances to all classes for each query."""
    return np.repeat(distances[None], len(leaves), axis=0)


#: One lock a retriever, so that no writer loses what another wrote. Copies and pickles have their own.
_LOCKS: WeakKeyDictionary[LeafSearch, RLock] = WeakKeyDictionary()
_LOCKS_LOCK = Lock()


def writing(retriever: LeafSearch) -> RLock:
    """What a writer of a retriever's gallery holds."""
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(retriever, RLock())
