"""A value that searches: metric, leaf model, gallery and options."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer, check_same_kind
from sklearn_hierret._threads import run_batches, slices_of, threads_of
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.discriminant import known_proba
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.leaves import float_dtype, hard_leaves, joined_leaves, likeliest, scaled_leaves
from sklearn_hierret.retrieval._gallery import Gallery, LeafKind, LeafOrigin, View
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._novelty import LEAST_OPEN_ALPHA, MOST_OPEN_ALPHA, POWER, share_of_gallery
from sklearn_hierret.retrieval._options import Options
from sklearn_hierret.retrieval._samples import Samples, one_per_row
from sklearn_hierret.retrieval._within import classes_below, mask_or_labels
from sklearn_hierret.search import COSINE, Index, LeafDistance, search, search_by_faiss


class Result(NamedTuple):
    """What a search returns, and what it was made of.

    Attributes
    ----------
    distances, indices : ndarrays of shape (n_queries, n_neighbors)
        In float64, as they were compared, and positions in the gallery.
    queries : ndarray of shape (n_queries, n_visual)
        Rows that were searched for.
    view : View
        Of the gallery.
    leaf_distance : LeafDistance or None
    known : ndarray of shape (n_queries,) or None
        Probability that the class of each query is known, where queries heed that.
    """

    distances: NDArray[np.float64]
    indices: NDArray[np.intp]
    queries: NDArray
    view: View
    leaf_distance: LeafDistance | None
    known: NDArray[np.float64] | None


@dataclass(frozen=True)
class Searcher:
    """A gallery, and all that it is ranked by. It never changes; features and codes are checked arrays.

    Attributes
    ----------
    leaf_model : LeafModel or None
        None where there are no leaves.
    gallery : Gallery
        With the visual metric.
    options : Options
    classes : ndarray of shape (n_classes,)
        Labels of the fit.
    """

    leaf_model: LeafModel | None
    gallery: Gallery
    options: Options
    classes: NDArray

    @classmethod
    def over_nothing(
        cls,
        leaf_model: LeafModel | None,
        metric: VisualMetric | None,
        options: Options,
        classes: NDArray,
        origin: LeafOrigin,
        dtype: Any,
        samples: Samples | None = None,
    ) -> Searcher:
        """Make a searcher whose gallery has no rows yet; without a metric it is one of codes."""
        samples = samples or Samples.of(0, None, None)
        gallery = Gallery(samples, Index(()), metric, None, np.dtype(dtype), None, origin, classes)
        return cls(leaf_model, gallery, options, classes)

    def over(self, X: NDArray, y: ArrayLike | None, ids: ArrayLike | None, origin: LeafOrigin) -> Searcher:
        """Search these samples; what a first query needs is computed here."""
        metric, model = self.gallery.metric, self.leaf_model
        labels = None if y is None else one_per_row(y, len(X), "labels")
        classes, samples = _joined(self.classes, labels), Samples.of(len(X), labels, ids)
        searcher = Searcher.over_nothing(model, metric, self.options, self.classes, origin, X.dtype, samples)
        if origin.gallery_leaves == "labels" and model is not None:
            model.of_labels(labels, "auto" if searcher.heeds_novelty else "labels")  # raises
        kind = leaves = series = None
        if self.options.alpha != 0:
            kind = searcher.kind(of_gallery=False)
            leaves = searcher._gallery_leaves(kind, lambda: X, labels, np.arange(len(X)))
            series = searcher.leaves_there.tree.leaf_order
        keeps_features = metric is not None and (kind is None or not metric.tells_features)
        gallery = replace(
            searcher.gallery,
            index=Index.build(X, leaves, series, metric or COSINE),
            kind=kind,
            raw=(X.copy(),) if keeps_features else None,
            classes=classes,
        )
        searcher = replace(searcher, gallery=gallery)
        if kind is not None and searcher.heeds_novelty:
            searcher.known_share()
        return searcher

    def with_gallery(
        self,
        X: NDArray,
        y: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        gallery_leaves: str = "auto",
    ) -> Searcher:
        """Search other samples."""
        return self.over(X, y, ids, LeafOrigin(gallery_leaves))

    def with_added(self, X: NDArray, y: ArrayLike | None, ids: ArrayLike | None) -> Searcher:
        """Add samples at the end of the gallery."""
        gallery, leaves = self.gallery, None
        if gallery.kind is None and self.options.alpha != 0 and len(gallery):
            view = self.view(of_gallery=False)
            gallery = replace(
                gallery, index=view.index, kind=view.kind, raw=None if gallery.tells_features else gallery.raw
            )
        labels = None if y is None else one_per_row(y, len(X), "labels")
        classes = gallery.classes
        if (labels is None) == (gallery.labels is None):  # `added` raises otherwise
            classes = _joined(classes, labels)
            if gallery.kind is not None:
                n_ever = gallery.samples.n_ever
                serials = np.arange(n_ever, n_ever + len(X))
                leaves = self._gallery_leaves(gallery.kind, lambda: X, labels, serials)
        return replace(self, gallery=gallery.added(X, labels, ids, leaves, classes))

    def with_removed(self, ids: ArrayLike) -> Searcher:
        """Remove samples from the gallery by their ids."""
        return replace(self, gallery=self.gallery.removed(ids))

    def with_options(self, **changes: Any) -> Searcher:
        """Search by other options."""
        return replace(self, options=replace(self.options, **changes))

    # ---------------------------------------------------------------------- leaves

    @property
    def leaves_there(self) -> LeafModel:
        """The leaf model, which must be there."""
        if self.leaf_model is None:
            raise ValueError(
                "There are no leaves: fit with labels and with alpha above 0, a hierarchy or a class_model."
            )
        return self.leaf_model

    @property
    def tree(self) -> ClassHierarchy | None:
        """The tree of the leaves; None where there is none, or several."""
        tree = None if self.leaf_model is None else self.leaf_model.tree
        return tree if isinstance(tree, ClassHierarchy) else None

    @property
    def stem(self) -> float:
        """The least distance of different leaves."""
        return self.leaves_there.stem(self.options.stem)

    @property
    def heeds_novelty(self) -> bool:
        """Whether queries of unknown classes rely on their leaves less."""
        novelty, model = self.options.novelty, self.leaf_model
        tells = model is not None and model.model.tells_known
        if novelty is True and not tells:
            name = "None" if model is None else type(model.classifier).__name__
            raise ValueError(
                f"novelty=True, and {name} does not say how well a sample is known; use "
                "DiscriminantClassifier, or a class model with a method known_proba."
            )
        return novelty is not False and tells

    def kind(self, of_gallery: bool, has_labels: bool | None = None) -> LeafKind:
        """Return the kind of the gallery's leaves, for its own samples as queries or for new ones."""
        origin, assignment = self.gallery.origin, self.options.assignment
        if has_labels is None:
            has_labels = self.gallery.samples.labels is not None
        if of_gallery or not has_labels or origin.gallery_leaves == "predicted":
            return LeafKind(assignment, "predicted")
        return LeafKind(assignment, "labels", origin.gallery_leaves == "labels" and self.heeds_novelty)

    def view(self, of_gallery: bool) -> View:
        """Return the gallery with one of its two sets of leaves."""
        model, gallery, kind = self.leaves_there, self.gallery, self.kind(of_gallery)

        def make() -> tuple[NDArray, NDArray[np.intp]]:
            labels, serials = gallery.labels, gallery.samples.serials
            return self._gallery_leaves(
                kind, lambda: gallery.features, labels, serials
            ), model.tree.leaf_order

        return gallery.view(kind, make)

    def leaves(self, X: NDArray, assignment: str | None = None) -> NDArray:
        """Compute the leaves of samples that the class model predicts."""
        model, start = self.leaves_there.model, time.perf_counter()
        assignment = assignment or self.options.assignment
        leaves = self._in_batches(X, lambda rows: model.leaves(rows, assignment))
        if len(X) > 1:
            self.options.print(f"leaves of {len(X)} samples in {time.perf_counter() - start:.1f} s")
        return leaves

    def query_leaves(self, X: NDArray) -> NDArray:
        """Compute the leaves of queries, as far as they count."""
        return self._weighed(self.leaves(X), self.known(X))

    def leaves_in_gallery(self, X: NDArray, labels: NDArray | None) -> NDArray:
        """Compute the leaves that samples, none of which was in the fit, would have in the gallery."""
        origin = self.gallery.origin
        kind = self.kind(False, has_labels=labels is not None or origin.gallery_leaves == "labels")
        return self._gallery_leaves(kind, lambda: X, labels, origin.n_train + np.arange(len(X)))

    def labels_of(self, leaves: NDArray) -> NDArray:
        """Return the most probable class of each leaf."""
        return self.leaves_there.tree.classes[likeliest(leaves)]

    def class_probabilities(self, X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute probabilities of the tree's classes for samples, and that their classes are known."""
        tree, model = self.leaves_there.tree, self.leaves_there.model
        proba = np.zeros((len(X), tree.n_classes))
        proba[:, tree.index(model.classes)] = model.proba(X)
        known = self.known(X)
        return proba, np.ones(len(X)) if known is None else known

    def class_distances(self, X: NDArray) -> NDArray[np.float64]:
        """Compute the hierarchical distances of samples to all classes, as a search takes them."""
        return self.leaves_there.distances(self.query_leaves(X), self.options.stem)

    def known(self, X: NDArray | None) -> NDArray[np.float64] | None:
        """Compute the probability that the class of each query, or gallery sample, is known.

        None where queries do not heed it.
        """
        if not self.heeds_novelty:
            return None
        share, n = self.known_share(of_gallery=X is None), len(self.gallery) if X is None else len(X)
        if share in (0, 1):  # and nothing has to be asked
            return np.full(n, share)
        X = self.gallery.features if X is None else X
        return known_proba(self._in_batches(X, self.leaves_there.model.known_log_odds), share)

    def known_share(self, of_gallery: bool = False) -> float:
        """Estimate, or count, the share of the gallery's samples whose class is known."""
        gallery, source = self.gallery, self.kind(of_gallery).source
        return gallery.known_share(source, lambda: share_of_gallery(gallery, source, self.leaves_there.model))

    def weight(self, of_gallery: bool = False) -> float:
        """Return the weight of D_H; that which fit chose is bounded in galleries with unknown classes."""
        weight = self.options.alpha
        if not self.options.alpha_is_chosen or not weight or not self.heeds_novelty:
            return weight
        if self.known_share(of_gallery) == 1:
            return weight
        if self.kind(of_gallery).source == "predicted":
            return max(weight, LEAST_OPEN_ALPHA)
        return min(weight, MOST_OPEN_ALPHA)

    # ---------------------------------------------------------------------- search

    def neighbors(
        self,
        X: NDArray | None,
        n_neighbors: int | None = None,
        *,
        within: ArrayLike | None = None,
        class_distances: NDArray[np.float64] | None = None,
        alpha: float | None = None,
        visual: NDArray | None = None,
        with_leaves: bool = False,
    ) -> Result:
        """Find the nearest gallery samples.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features) or None
            None: the gallery, where no sample is its own neighbour.
        n_neighbors, within
            See `HierarchicalRetriever.kneighbors`.
        class_distances : ndarray of shape (n_classes,), optional
            Distance of each class, for all queries; default: the expected D_H of the queries' leaves.
        alpha : float, optional
            Weight of that; default: the option.
        visual : ndarray of shape (n_queries, n_visual), optional
            Rows to compare with those of the gallery, where they are not those of X.
        with_leaves : bool, default=False
            Also where the ranking does not need them.
        """
        k, gallery, of_gallery = self._checked_k(X, n_neighbors, within), self.gallery, X is None
        needs_leaves = with_leaves or (self.options.alpha if alpha is None else alpha) != 0
        chosen = None if within is None else self._chosen(within)
        by_label = chosen is not None and chosen.dtype != bool
        view = self.view(of_gallery) if needs_leaves or by_label else gallery.plain_view
        leaf_distance = known = None
        if needs_leaves:
            leaves = view.leaves() if X is None else self.leaves(X)
            known = self.known(X)
            if class_distances is not None:
                leaf_distance = LeafDistance(leaves, partial(_same_for_all, class_distances))
            else:
                leaf_distance = self._leaf_distance(view, self._weighed(leaves, known))
        if alpha is None:
            alpha = self.weight(of_gallery) if needs_leaves else 0.0
        if visual is None:
            visual = view.index.queries(view.rows) if X is None else gallery.as_queries(X)
        distances, serials = self._nearest(
            visual,
            view.index,
            k,
            alpha,
            leaf_distance=leaf_distance,
            own_row=view.rows if of_gallery else None,
            allowed=view.alive_rows if chosen is None else view.rows_at(self._mask(view, chosen)),
        )
        return Result(distances, gallery.samples.positions(serials), visual, view, leaf_distance, known)

    def mask(self, within: ArrayLike) -> NDArray[np.bool_]:
        """Return the positions that `within` allows new queries."""
        chosen = self._chosen(within)
        return chosen if chosen.dtype == bool else self._mask(self.view(of_gallery=False), chosen)

    @property
    def distance_dtype(self) -> np.dtype:
        """Of distances as they are returned to users."""
        return float_dtype(self.gallery)

    def rounded(self, distances: NDArray[np.float64]) -> NDArray:
        """Return distances as users get them: infinite where single precision has no such number."""
        with np.errstate(over="ignore"):
            return distances.astype(self.distance_dtype, copy=False)

    def _checked_k(self, X: NDArray | None, n_neighbors: int | None, within: Any) -> int:
        k = self.options.n_neighbors if n_neighbors is None else n_neighbors
        check_positive_integer(k, "n_neighbors")
        n_candidates = len(self.gallery) - (X is None)
        if k > n_candidates and (within is None or n_candidates < 1):
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit_, but n_neighbors = {k} and the gallery holds "
                f"{max(0, n_candidates)} samples" + (" besides the query." if X is None else ".")
            )
        return int(k)

    def _nearest(
        self, queries: NDArray, index: Index, k: int, alpha: float, **how: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        options = self.options
        if options.backend == "faiss" and alpha == 0:

            def otherwise(queries: NDArray, k: int, **how: Any) -> tuple[NDArray, NDArray[np.intp]]:
                return search(queries, index, k, n_jobs=options.n_jobs, **how)

            rows = {"own_row": how["own_row"], "allowed": how["allowed"]}
            return search_by_faiss(queries, index, k, otherwise, **rows)
        how |= {"alpha": alpha, "n_jobs": options.n_jobs, "report": options.progress}
        return search(queries, index, k, **how)

    def _weighed(self, leaves: NDArray, known: NDArray[np.float64] | None) -> NDArray:
        """Scale the probabilities of queries' leaves by ``k_q = P(known) ** POWER``."""
        is_known = known is None or known.min(initial=1) == 1
        return leaves if is_known else scaled_leaves(leaves, known**POWER)  # type: ignore[operator]

    def _leaf_distance(self, view: View, leaves: NDArray) -> LeafDistance:
        model, stem = self.leaves_there, self.options.stem
        is_hard = leaves.shape[1] == 1 and view.index.is_hard and bool(np.all(leaves["probability"] == 1))
        values = model.ranking_tree(stem).distinct_distances() if is_hard else None
        return LeafDistance(leaves, partial(model.distances, stem=stem), values)

    def _chosen(self, within: ArrayLike) -> NDArray:
        has_bool_classes = self.leaf_model is not None and self.leaf_model.tree.classes.dtype == bool
        return mask_or_labels(within, len(self.gallery), has_bool_classes)

    def _mask(self, view: View, chosen: NDArray) -> NDArray[np.bool_]:
        if chosen.dtype == bool:
            return chosen
        tree = self.leaves_there.tree
        is_chosen = np.zeros(tree.n_classes, dtype=bool)
        is_chosen[tree.index(classes_below(tree, chosen.ravel()))] = True
        return is_chosen[likeliest(view.leaves())]

    def _gallery_leaves(
        self,
        kind: LeafKind,
        features: Callable[[], NDArray],
        labels: NDArray | None,
        serials: NDArray[np.intp],
    ) -> NDArray:
        """Compute the leaves of samples of the gallery: labels, held-out leaves, or what is predicted.

        `serials` number the samples; those of the fit come first, and are all there or none.
        """
        model, origin = self.leaves_there, self.gallery.origin
        by_label = np.full(len(serials), -1)
        if kind.source == "labels":
            by_label = model.of_labels(labels, "auto" if kind.unknown_on_root else origin.gallery_leaves)
        is_labelled, is_trained = by_label >= 0, serials < origin.n_train
        of_label = np.flatnonzero(is_labelled)
        of_fit = np.flatnonzero(~is_labelled & is_trained)
        others = np.flatnonzero(~is_labelled & ~is_trained)
        batches = []
        if len(of_fit):
            held_out = None if origin.held_out is None else origin.held_out.of_kind(kind.assignment)
            if held_out is None:
                assert labels is not None
                trained = np.flatnonzero(is_trained)
                classes, codes = np.unique(labels[trained], return_inverse=True)
                groups = None if origin.groups is None else origin.groups[serials[trained]]
                training = TrainingSet(features()[trained], classes, codes, groups)
                of_trained = model.model.held_out(training, kind.assignment).leaves
                batches.append((of_fit, of_trained[np.searchsorted(trained, of_fit)]))
            else:
                batches.append((of_fit, held_out[serials[of_fit]]))
        if len(others) or not (len(of_fit) or len(of_label)):
            X = features()
            predicted = self.leaves(X if len(others) == len(X) else X[others], kind.assignment)
            batches.append((others, predicted))
        if kind.unknown_on_root:
            batches = [(rows, scaled_leaves(leaves, 0)) for rows, leaves in batches]
        if len(of_label):
            batches.append((of_label, hard_leaves(by_label[of_label], float_dtype(self.gallery))))
        if len(batches) == 1:
            return batches[0][1]
        rows = np.concatenate([rows for rows, _ in batches])
        return joined_leaves([leaves for _, leaves in batches])[np.argsort(rows)]

    def _in_batches(self, X: NDArray, function: Callable[[NDArray], NDArray]) -> NDArray:
        """Apply a function of the class model to rows, in several threads if it allows them."""
        is_safe = self.leaves_there.model.runs_in_threads
        n_threads = threads_of(self.options.n_jobs, len(X)) if is_safe else 1
        batches = slices_of(len(X), max(1, -(-len(X) // n_threads))) or [slice(0, 0)]
        results = run_batches(batches, lambda rows: function(X[rows]), n_threads)
        return results[0] if len(results) == 1 else np.concatenate(results)


def _same_for_all(distances: NDArray[np.float64], leaves: NDArray) -> NDArray[np.float64]:
    """Return the same distances to all classes for each query."""
    return np.repeat(distances[None], len(leaves), axis=0)


def _joined(classes: NDArray, labels: NDArray | None) -> NDArray:
    """Return classes, and those of a gallery's labels."""
    if labels is None:
        return classes
    if not len(classes):  # fitted without labels
        classes = labels[:0]
    check_same_kind(labels, classes, "Gallery labels", "the labels seen at fit")
    try:
        return np.union1d(classes, np.unique(labels))
    except TypeError:
        raise ValueError("Gallery labels must be of one type that can be sorted.") from None
