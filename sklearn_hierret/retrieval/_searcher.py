"""A value that searches: metric, leaf model, gallery and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_hierret._arrays import check_positive_integer, check_same_kind, places_in
from sklearn_hierret._state import value
from sklearn_hierret.class_models import HeldOutLeaves
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.leaves import float_dtype, likeliest
from sklearn_hierret.retrieval._gallery import Gallery, LeafOrigin, View
from sklearn_hierret.retrieval._gallery_leaves import GalleryLeaves
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._metadata import Metadata
from sklearn_hierret.retrieval._new_classes import by_halves, opened, taught_less, taught_more
from sklearn_hierret.retrieval._options import Options
from sklearn_hierret.retrieval._samples import Samples, one_per_row
from sklearn_hierret.retrieval._within import classes_below, mask_or_labels, named_samples
from sklearn_hierret.search import COSINE, Index, LeafDistance, copies_first, search, search_by_faiss
from sklearn_hierret.statistics import row_keys


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
    is_copy : ndarray of shape (n_queries, n_neighbors)
        Which neighbours equal their query up to rounding; their distance is 0.
    """

    distances: NDArray[np.float64]
    indices: NDArray[np.intp]
    queries: NDArray
    view: View
    leaf_distance: LeafDistance | None
    known: NDArray[np.float64] | None
    is_copy: NDArray[np.bool_]


@value("searcher")
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

    def over(
        self,
        X: NDArray,
        y: ArrayLike | None,
        ids: ArrayLike | None,
        origin: LeafOrigin,
        parents: Mapping | None = None,
        metadata: Metadata | None = None,
    ) -> Searcher:
        """Search these samples; what a first query needs is computed here."""
        metric = self.gallery.metric
        _check_parents(parents, y, self.leaf_model)
        labels = None if y is None else one_per_row(y, len(X), "labels")
        classes, samples = _joined(self.classes, labels), Samples.of(len(X), labels, ids, metadata)
        model = self.leaf_model
        if model is not None:
            model = model.closed
            model = (replace(model, parents=()) if model.parents else model).placed(parents)
        model = opened(model, X, labels, origin, self.options)
        if parents is not None and model is not None:
            model.check_placed()
        searcher = Searcher.over_nothing(model, metric, self.options, self.classes, origin, X.dtype, samples)
        searcher._check_labels(labels, origin)
        kind = leaves = series = None
        if self.options.alpha != 0:
            kind = searcher.leaves.kind(of_gallery=False)
            leaves = searcher.leaves.of_samples(kind, lambda: X, labels, np.arange(len(X)))
            series = searcher.leaves.model.tree.leaf_order
        keeps_features = metric is not None and (kind is None or not metric.tells_features)
        gallery = replace(
            searcher.gallery,
            index=Index.build(X, leaves, series, metric or COSINE),
            kind=kind,
            raw=(X.copy(),) if keeps_features else None,
            classes=classes,
        )
        gallery.with_held_out(searcher.gallery.held_out)
        searcher = replace(searcher, gallery=gallery)
        if kind is not None and searcher.leaves.heeds_novelty:
            searcher.leaves.known_share()
        gallery.index.copies_of(gallery.queries(np.arange(0)))
        return searcher

    def with_gallery(
        self,
        X: NDArray,
        y: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        gallery_leaves: str = "auto",
        new_classes: str = "auto",
        parents: Mapping | None = None,
        metadata: Metadata | None = None,
    ) -> Searcher:
        """Search other samples."""
        origin = LeafOrigin(gallery_leaves, new_classes=new_classes)
        return self.over(X, y, ids, origin, parents, metadata)

    def with_ids_after(self, next_id: int) -> Searcher:
        """Search the same, and number new samples from there on at least."""
        samples = replace(self.gallery.samples, next_id=max(next_id, self.gallery.samples.next_id))
        gallery = replace(self.gallery, samples=samples)
        return replace(self, gallery=gallery.with_held_out(self.gallery.held_out))

    def over_samples(self, X: NDArray) -> Searcher:
        """Search samples without labels; the leaves of those that the fit has seen are held out.

        They are told by the samples of the fit that are in the gallery, or that the class model keeps.
        """
        if self.leaf_model is None:
            return self.with_gallery(X, None, None, "predicted", "ignore")
        searcher = replace(self, leaf_model=self.leaf_model.closed)
        model, origin = searcher.leaves.model.known_model, self.gallery.origin
        leaves, keys = searcher.leaves.predicted(X), row_keys(X)
        trained = np.flatnonzero(self.gallery.samples.serials < origin.n_train)
        of_gallery, kept = row_keys(self.gallery.features_at(trained)), model.kept
        if kept is not None:
            of_kept = row_keys(kept.X)
            is_whole = origin.groups is None  # folds of rows that are not kept follow from the rows
            seen = np.isin(keys, np.append(of_gallery, of_kept) if is_whole else of_kept)
            held_out = model.held_out(model.dealt(X[seen]), "soft")
        else:
            place = places_in(of_gallery, keys)
            seen = place >= 0
            of_fit = searcher.leaves.view(of_gallery=True).leaves()[trained][place[seen]]
            held_out = HeldOutLeaves(of_fit, np.zeros(len(of_fit), dtype=np.int8))
        if np.any(seen):
            held = held_out.of_kind(self.options.assignment)
            leaves[seen] = held_out.leaves if held is None else held
        all_leaves = HeldOutLeaves(leaves, np.zeros(len(X), dtype=np.int8))
        return searcher.over(X, None, None, LeafOrigin("predicted", 0, all_leaves, None, "ignore"))

    def with_added(
        self,
        X: NDArray,
        y: ArrayLike | None,
        ids: ArrayLike | None,
        parents: Mapping | None = None,
        metadata: Metadata | None = None,
    ) -> Searcher:
        """Add samples at the end of the gallery."""
        _check_parents(parents, y, self.leaf_model)
        gallery, leaves = self.gallery, None
        if gallery.kind is None and self.options.alpha != 0 and len(gallery):
            view = self.leaves.view(of_gallery=False)
            raw = None if gallery.tells_features else gallery.raw
            gallery = replace(gallery, index=view.index, kind=view.kind, raw=raw)
            gallery.with_held_out(self.gallery.held_out)
        labels = None if y is None else one_per_row(y, len(X), "labels")
        searcher, classes = self, gallery.classes
        if (labels is None) == (gallery.labels is None):  # `added` raises otherwise
            classes = _joined(classes, labels)
            if labels is not None:
                before = None if self.leaf_model is None else self.leaf_model.placed(parents)
                model = taught_more(before, X, labels, gallery)
                if model is not None and parents is not None:
                    model.check_placed()
                if model is not None and model is not self.leaf_model:
                    gallery = gallery.with_series(model.tree.leaf_order)
                    searcher = replace(self, leaf_model=model, gallery=gallery)
                searcher._check_labels(labels, gallery.origin)
            if gallery.kind is not None:
                n_ever = gallery.samples.n_ever
                serials = np.arange(n_ever, n_ever + len(X))
                leaves = searcher.leaves.of_samples(gallery.kind, lambda: X, labels, serials)
        return replace(searcher, gallery=gallery.added(X, labels, ids, leaves, classes, metadata))

    def _check_labels(self, labels: NDArray | None, origin: LeafOrigin) -> None:
        """Raise a ValueError if labels are to be leaves, and there are none or unknown ones."""
        if origin.gallery_leaves == "labels" and self.leaf_model is not None:
            self.leaf_model.of_labels(labels, "auto" if self.leaves.heeds_novelty else "labels")

    def with_removed(self, ids: ArrayLike) -> Searcher:
        """Remove samples from the gallery by their ids."""
        gallery = self.gallery.removed(ids)
        model = taught_less(self.leaf_model, gallery)
        if model is None or model is self.leaf_model:
            return replace(self, gallery=gallery)
        searcher = replace(self, leaf_model=model, gallery=gallery)
        return searcher if _same_leaves(model, self.leaf_model) else searcher.renewed()

    def renewed(self) -> Searcher:
        """Compute the leaves of the gallery again, after the leaf model has changed."""
        gallery = self.gallery
        if gallery.kind is None or self.leaf_model is None:
            return self
        leaves = self.leaves.of_samples(
            gallery.kind, lambda: gallery.features, gallery.labels, gallery.samples.serials
        )
        index = gallery.index
        if gallery.plain_view.alive_rows is not None:
            index = index.keep(gallery.samples.alive_by_serial)
        index = index.sorted_by(leaves, self.leaf_model.tree.leaf_order)
        renewed = replace(gallery, index=index)
        return replace(self, gallery=renewed.with_held_out(gallery.held_out))

    def optioned(self, params: dict[str, Any], make: Callable[[], Options]) -> Searcher:
        """Search by the options of some parameters, which are made and checked if they are other objects.

        To check them takes longer than many a search for one query.
        """
        known, searcher = self.__dict__.get("known_params", (None, self))
        if known is None or known.keys() != params.keys() or any(known[k] is not params[k] for k in params):
            options = make()
            searcher = self if options == self.options else replace(self, options=options)
            self.__dict__["known_params"] = params, searcher
        return searcher

    @cached_property
    def leaves(self) -> GalleryLeaves:
        """What the leaf model says about the gallery."""
        return GalleryLeaves(self.leaf_model, self.gallery, self.options)

    def neighbors(
        self,
        X: NDArray | None,
        n_neighbors: int | None = None,
        *,
        within: ArrayLike | Mapping | None = None,
        where: str | None = None,
        class_distances: NDArray[np.float64] | None = None,
        leaves: NDArray | None = None,
        alpha: float | None = None,
        visual: NDArray | None = None,
        with_leaves: bool = False,
        positions: NDArray[np.intp] | None = None,
        has_copies: bool = True,
    ) -> Result:
        """Find the nearest gallery samples.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features) or None
            None: the gallery, where no sample is its own neighbour.
        n_neighbors, within, where
            See `HierarchicalRetriever.kneighbors`.
        class_distances : ndarray of shape (n_classes,), optional
            Distance of each class, for all queries; default: the expected D_H of the queries' leaves.
        leaves : ndarray of shape (n_queries, n_kept), optional
            Leaves of queries of X, in place of those that the class model predicts.
        alpha : float, optional
            Weight of that; default: the option.
        visual : ndarray of shape (n_queries, n_visual), optional
            Rows to compare with those of the gallery, where they are not those of X.
        with_leaves : bool, default=False
            Also where the ranking does not need them.
        positions : ndarray of shape (n_queries,), optional
            Of the gallery samples that are the queries, without X; default: all.
        has_copies : bool, default=True
            Whether the distance to rows that equal a query is 0.
        """
        is_limited = within is not None or where is not None
        k, gallery, of_gallery = self._checked_k(X, n_neighbors, is_limited), self.gallery, X is None
        condition = None if where is None else gallery.condition(where)
        if of_gallery and positions is None and self.leaves.is_taught:
            options: dict[str, Any] = {"within": within, "class_distances": class_distances, "alpha": alpha}
            return self._of_halves(k, with_leaves=with_leaves, where=where, **options)
        at = slice(None) if positions is None else positions
        needs_leaves = with_leaves or (self.options.alpha if alpha is None else alpha) != 0
        chosen = None if within is None else self._chosen(within)
        by_label = chosen is not None and chosen.dtype != bool
        view = self.leaves.view(of_gallery) if needs_leaves or by_label else gallery.plain_view
        leaf_distance = known = queries = None
        if needs_leaves:
            if X is None:
                leaves, known = view.leaves(at), self.leaves.known(None, positions)
            else:
                if visual is None:
                    visual = queries = gallery.as_queries(X)
                if leaves is None:
                    leaves, known = self.leaves.asked(X, queries)
            if class_distances is not None:
                leaf_distance = LeafDistance(leaves, partial(_same_for_all, class_distances))
            else:
                leaf_distance = _leaf_distance(self, view, self.leaves.weighed(leaves, known))
        if alpha is None:
            alpha = self.leaves.weight(of_gallery) if needs_leaves else 0.0
        if visual is None:
            visual = view.index.queries(view.rows[at]) if X is None else gallery.as_queries(X)
        mask = None if chosen is None else self._mask(view, chosen)
        part, allowed = (view, view.alive_rows) if condition is None else condition.part(view)
        if mask is not None:
            allowed = part.rows_at(mask if condition is None else mask & condition.mask)
        own_row = part.rows[at] if of_gallery else None
        how: dict[str, Any] = {"leaf_distance": leaf_distance, "own_row": own_row, "allowed": allowed}
        distances, serials = self._nearest(visual, part.index, k, alpha, **how)
        is_copy = np.zeros(serials.shape, dtype=bool)
        if has_copies:
            is_copy = copies_first(distances, serials, *_copies(visual, part.index, own_row, allowed))
        positions_of_all = gallery.samples.positions(serials)
        return Result(distances, positions_of_all, visual, view, leaf_distance, known, is_copy)

    @cached_property
    def halves(self) -> list[tuple[Searcher, NDArray[np.intp]]]:
        """Searchers for gallery samples as queries, and the positions that each is for.

        Where labels have taught new classes, there are two, so that no query has taught the leaves that it is
        compared by; elsewhere there is one.
        """
        if not self.leaves.is_taught:
            return [(self, np.arange(len(self.gallery)))]
        assert self.leaf_model is not None
        half, models = by_halves(self.leaf_model, self.gallery)
        halves = []
        for number, model in enumerate(models):
            gallery = replace(self.gallery).with_held_out(self.gallery.held_out)
            positions = np.flatnonzero(half == number)
            if len(positions):
                halves.append((replace(self, leaf_model=model, gallery=gallery), positions))
        return halves

    def of_samples(self, positions: NDArray[np.intp], n_neighbors: int | None = None, **how: Any) -> Result:
        """Search for some gallery samples, of which none is its own neighbour; options as of `neighbors`."""
        if self.leaves.is_taught:
            is_limited = how.get("within") is not None or how.get("where") is not None
            return self._of_halves(self._checked_k(None, n_neighbors, is_limited), positions, **how)
        return self.neighbors(None, n_neighbors, positions=positions, **how)

    def _of_halves(self, k: int, wanted: NDArray[np.intp] | None = None, **how: Any) -> Result:
        """Search for gallery samples, each half by what the other half has taught."""
        wanted = np.arange(len(self.gallery)) if wanted is None else wanted
        n = len(wanted)
        distances, indices, known = np.empty((n, k)), np.empty((n, k), dtype=np.intp), None
        is_copy = np.zeros((n, k), dtype=bool)
        for searcher, positions in self.halves:
            place = np.flatnonzero(np.isin(wanted, positions))
            if not len(place):
                continue
            result = searcher.neighbors(None, k, positions=wanted[place], **how)
            distances[place], indices[place] = result.distances, result.indices
            is_copy[place] = result.is_copy
            if result.known is not None:
                known = np.ones(n) if known is None else known
                known[place] = result.known
        view = self.gallery.plain_view
        return Result(distances, indices, view.index.queries(view.rows[wanted]), view, None, known, is_copy)

    def mask(self, within: ArrayLike | Mapping) -> NDArray[np.bool_]:
        """Return the positions that `within` allows new queries."""
        chosen = self._chosen(within)
        return chosen if chosen.dtype == bool else self._mask(self.leaves.view(of_gallery=False), chosen)

    @property
    def distance_dtype(self) -> np.dtype:
        """Of distances as they are returned to users."""
        return float_dtype(self.gallery)

    def rounded(self, distances: NDArray[np.float64]) -> NDArray:
        """Return distances as users get them: infinite where single precision has no such number."""
        with np.errstate(over="ignore"):
            return distances.astype(self.distance_dtype, copy=False)

    def _checked_k(self, X: NDArray | None, n_neighbors: int | None, is_limited: bool) -> int:
        k = self.options.n_neighbors if n_neighbors is None else n_neighbors
        check_positive_integer(k, "n_neighbors")
        n_candidates = len(self.gallery) - (X is None)
        if k > n_candidates and (not is_limited or n_candidates < 1):
            raise ValueError(
                f"Expected n_neighbors <= n_samples_fit_, but n_neighbors = {k} and the gallery holds "
                f"{max(0, n_candidates)} samples" + (" besides the query." if X is None else ".")
            )
        return int(k)

    def _nearest(
        self, queries: NDArray, index: Index, k: int, alpha: float, **how: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        options = self.options
        if len(index) < k:  # a condition left so few
            distances = np.full((len(queries), k), np.inf)
            serials = np.full((len(queries), k), -1, dtype=np.intp)
            few = slice(len(index))
            distances[:, few], serials[:, few] = self._nearest(queries, index, len(index), alpha, **how)
            return distances, serials
        if options.backend == "faiss" and alpha == 0:

            def otherwise(queries: NDArray, k: int, **how: Any) -> tuple[NDArray, NDArray[np.intp]]:
                return search(queries, index, k, n_jobs=options.n_jobs, **how)

            rows = {"own_row": how["own_row"], "allowed": how["allowed"]}
            return search_by_faiss(queries, index, k, otherwise, **rows)
        how |= {"alpha": alpha, "n_jobs": options.n_jobs, "report": options.progress}
        return search(queries, index, k, **how)

    def _chosen(self, within: ArrayLike | Mapping) -> NDArray:
        if isinstance(within, Mapping):
            return named_samples(within, self.gallery.samples)
        has_bool_classes = self.leaf_model is not None and self.leaf_model.tree.classes.dtype == bool
        return mask_or_labels(within, len(self.gallery), has_bool_classes)

    def _mask(self, view: View, chosen: NDArray) -> NDArray[np.bool_]:
        if chosen.dtype == bool:
            return chosen
        tree = self.leaves.model.tree
        if chosen.dtype.kind in "iu" and chosen.size:
            unknown = ~np.isin(chosen, tree.classes) if tree.classes.dtype.kind in "iuf" else chosen >= 0
            if np.any(unknown) and chosen.min() >= 0 and chosen.max() < len(self.gallery):
                raise ValueError(
                    "within takes labels of leaves, names of nodes, or a mask; no class is called "
                    f"{chosen[unknown].ravel()[0]}. For positions pass {{'positions': ...}}, for ids "
                    "{'ids': ...}."
                )
        is_chosen = np.zeros(tree.n_classes, dtype=bool)
        is_chosen[tree.index(classes_below(tree, chosen.ravel()))] = True
        return is_chosen[likeliest(view.leaves())]


def _leaf_distance(searcher: Searcher, view: View, leaves: NDArray) -> LeafDistance:
    """Return the expected D_H of leaves of queries."""
    model, stem = searcher.leaves.model, searcher.options.stem
    is_hard = leaves.shape[1] == 1 and view.index.is_hard and bool(np.all(leaves["probability"] == 1))
    values = model.ranking_tree(stem).distinct_distances() if is_hard else None
    return LeafDistance(leaves, partial(model.distances, stem=stem), values)


def _copies(
    queries: NDArray,
    index: Index,
    own_row: NDArray[np.intp] | None,
    allowed: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return queries and serial numbers of their copies that may be found."""
    query, row = index.copies_of(queries)
    if own_row is not None:
        is_other = row != own_row[query]
        query, row = query[is_other], row[is_other]
    if allowed is not None:
        query, row = query[allowed[row]], row[allowed[row]]
    return query, index.serial[row] if len(row) else row


def _same_leaves(model: LeafModel, other: LeafModel | None) -> bool:
    """Return whether the leaves of two models have the same numbers."""
    assert other is not None
    return model.tree.classes.tolist() == other.tree.classes.tolist()


def _same_for_all(distances: NDArray[np.float64], leaves: NDArray) -> NDArray[np.float64]:
    """Return the same distances to all classes for each query."""
    return np.repeat(distances[None], len(leaves), axis=0)


def _check_parents(parents: Mapping | None, y: Any, leaf_model: LeafModel | None) -> None:
    if parents is not None and (y is None or leaf_model is None):
        raise ValueError(
            "parents are those of labels that teach new classes: pass y, to a retriever with leaves."
        )


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
