"""Leaves in a gallery and of its queries, and how far they count."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._threads import run_batches, slices_of, threads_of
from sklearn_hierret._training import TrainingSet
from sklearn_hierret.discriminant import known_proba
from sklearn_hierret.hierarchy import ClassHierarchy
from sklearn_hierret.leaves import float_dtype, hard_leaves, joined_leaves, likeliest, scaled_leaves
from sklearn_hierret.new_classes import (
    TAUGHT_WEIGHT,
    DiscoveredClasses,
    TaughtClasses,
    trust_in_discovered,
    trust_in_known,
)
from sklearn_hierret.retrieval._gallery import Gallery, LeafKind, View
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._new_classes import by_halves
from sklearn_hierret.retrieval._novelty import LEAST_OPEN_ALPHA, MOST_OPEN_ALPHA, POWER, share_of_gallery
from sklearn_hierret.retrieval._options import Options
from sklearn_hierret.statistics import row_keys

#: The class model is asked about so few samples as they are.
FEW = 4
#: One with new classes is asked about no more than so many at once, for it maps them to visual rows.
MOST_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class GalleryLeaves:
    """What a leaf model says about a gallery, with some options; samples are checked arrays.

    Attributes
    ----------
    leaf_model : LeafModel or None
        None where there are no leaves.
    gallery : Gallery
    options : Options
    """

    leaf_model: LeafModel | None
    gallery: Gallery
    options: Options

    @property
    def model(self) -> LeafModel:
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
        return self.model.stem(self.options.stem)

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

    @property
    def is_taught(self) -> bool:
        """Whether labels of the gallery have taught leaves, to all queries alike."""
        new = None if self.leaf_model is None else self.leaf_model.new
        return isinstance(new, TaughtClasses) and not new.is_half

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
        model, gallery, kind = self.model, self.gallery, self.kind(of_gallery)

        def make() -> tuple[NDArray, NDArray[np.intp]]:
            labels, serials, order = gallery.labels, gallery.samples.serials, model.tree.leaf_order
            if not (of_gallery and self.is_taught):
                return self.of_samples(kind, lambda: gallery.features, labels, serials), order
            # Each sample as a query: by what the other half of the gallery has taught.
            half, models = by_halves(model, gallery)
            of_halves = [
                GalleryLeaves(of_half, gallery, self.options).of_samples(
                    kind, lambda: gallery.features, labels, serials
                )
                for of_half in models
            ]
            leaves = joined_leaves(of_halves).reshape(2, len(half), -1)
            return leaves[half, np.arange(len(half))], order

        return gallery.view(kind, make)

    def predicted(self, X: NDArray, assignment: str | None = None) -> NDArray:
        """Compute the leaves of samples that the class model predicts."""
        model, start = self.model.model, time.perf_counter()
        assignment = assignment or self.options.assignment
        leaves = self._in_batches(X, lambda rows: model.leaves(rows, assignment))
        if len(X) > 1:
            self.options.print(f"leaves of {len(X)} samples in {time.perf_counter() - start:.1f} s")
        return leaves

    def asked(
        self, X: NDArray | None, visual: NDArray | None = None
    ) -> tuple[NDArray, NDArray[np.float64] | None]:
        """Compute predicted leaves of queries, or of gallery samples, and that their classes are known.

        The second is None where queries do not heed it. `visual` are the visual rows of X.
        """
        rows, assignment = self.gallery.features if X is None else X, self.options.assignment
        if self.model.new is None:
            return self.predicted(rows), self.known(X)
        model = self.model.open_model
        if self.gallery.metric is not model.evidence.metric:
            visual = None
        if self._discovered is None or not self.heeds_novelty:
            leaves = self._in_batches(rows, lambda X, visual: model.leaves(X, assignment, visual), visual)
            return leaves, self.known(X)
        serials = self.gallery.samples.serials if X is None else None

        def of_batch(X: NDArray, serials: NDArray[np.intp] | None, visual: NDArray | None) -> tuple:
            return model.leaves_and_known(X, assignment, serials, visual)

        return self._in_batches(rows, of_batch, serials, visual)

    def of_queries(self, X: NDArray) -> NDArray:
        """Compute the leaves of queries, as far as they count."""
        return self.weighed(*self.asked(X))

    def in_gallery(self, X: NDArray, labels: NDArray | None) -> NDArray:
        """Compute the leaves that samples, none of which was in the fit, would have in the gallery."""
        origin = self.gallery.origin
        kind = self.kind(False, has_labels=labels is not None or origin.gallery_leaves == "labels")
        return self.of_samples(kind, lambda: X, labels, origin.n_train + np.arange(len(X)))

    def labels_of(self, leaves: NDArray) -> NDArray:
        """Return the most probable class of each leaf."""
        return self.model.tree.classes[likeliest(leaves)]

    def class_probabilities(self, X: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute probabilities of the tree's classes for samples, and that their classes are known."""
        tree, model = self.model.tree, self.model.model
        proba = np.zeros((len(X), tree.n_classes))
        proba[:, tree.index(model.classes)] = model.proba(X)
        known = self.known(X)
        return proba, np.ones(len(X)) if known is None else known

    def class_distances(self, X: NDArray) -> NDArray[np.float64]:
        """Compute the hierarchical distances of samples to all classes, as a search takes them."""
        return self.model.distances(self.of_queries(X), self.options.stem)

    def known(
        self, X: NDArray | None, positions: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64] | None:
        """Compute the probability that the class of each query, or gallery sample, is known.

        None where queries do not heed it. `positions` are those of some gallery samples.
        """
        if not self.heeds_novelty:
            return None
        if X is None and positions is not None:
            return self._known_at(positions)
        if self._discovered is not None:
            return self.asked(X)[1]
        share, n = self.known_share(of_gallery=X is None), len(self.gallery) if X is None else len(X)
        if share in (0, 1):  # and nothing has to be asked
            return np.full(n, share)
        X = self.gallery.features if X is None else X
        return known_proba(self._in_batches(X, self.model.model.known_log_odds), share)

    def _known_at(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        known = self.known(None)
        assert known is not None
        return known[positions]

    @property
    def _discovered(self) -> DiscoveredClasses | None:
        new = None if self.leaf_model is None else self.leaf_model.new
        return new if isinstance(new, DiscoveredClasses) else None

    def known_share(self, of_gallery: bool = False) -> float:
        """Estimate, or count, the share of the gallery's samples whose class is known, or taught."""
        if self._discovered is not None:
            return self._discovered.share
        if self.leaf_model is not None and self.leaf_model.new is not None:
            return 1.0
        gallery, source = self.gallery, self.kind(of_gallery).source
        return gallery.known_share(source, lambda: share_of_gallery(gallery, source, self.model.model))

    def weight(self, of_gallery: bool = False) -> float:
        """Return the weight of D_H; that which fit chose is bounded in galleries with unknown classes."""
        weight = self.options.alpha
        if not self.options.alpha_is_chosen or not weight:
            return weight
        if self.leaf_model is not None and self.leaf_model.new is not None:
            return weight if self._discovered is not None else min(weight, TAUGHT_WEIGHT)
        if not self.heeds_novelty:
            return weight
        if self.known_share(of_gallery) == 1:
            return weight
        if self.kind(of_gallery).source == "predicted":
            return max(weight, LEAST_OPEN_ALPHA)
        return min(weight, MOST_OPEN_ALPHA)

    def weighed(self, leaves: NDArray, known: NDArray[np.float64] | None) -> NDArray:
        """Scale the probabilities of queries' leaves by how far they count.

        That is ``k_q = P(known) ** POWER``; in galleries with discovered leaves see `trust_in_known`.
        """
        if self._discovered is not None:
            weight = self.weight()
            trust = np.ones(len(leaves)) if known is None else trust_in_known(known, weight)
            is_new = np.isin(leaves["leaf"], self.model.open_model.positions)
            return scaled_leaves(leaves, np.where(is_new, trust_in_discovered(weight), trust[:, None]))
        is_known = known is None or known.min(initial=1) == 1
        return leaves if is_known else scaled_leaves(leaves, known**POWER)  # type: ignore[operator]

    def of_samples(
        self,
        kind: LeafKind,
        features: Callable[[], NDArray],
        labels: NDArray | None,
        serials: NDArray[np.intp],
    ) -> NDArray:
        """Compute the leaves of samples of the gallery: labels, held-out leaves, or what is predicted.

        `serials` number the samples; those of the fit come first, and are all there or none.
        """
        model, origin = self.model, self.gallery.origin
        by_label = np.full(len(serials), -1)
        if kind.source == "labels":
            by_label = model.of_labels(labels, "auto" if kind.unknown_on_root else origin.gallery_leaves)
        is_labelled, is_trained = by_label >= 0, serials < origin.n_held_out
        if origin.by_fold:
            is_trained = self._may_be_learned(features, labels)
        of_label = np.flatnonzero(is_labelled)
        of_fit = np.flatnonzero(~is_labelled & is_trained)
        others = np.flatnonzero(~is_labelled & ~is_trained)
        batches = []
        if len(of_fit) and origin.by_fold:
            dealt = model.known_model.dealt(features()[of_fit])
            held_out = model.known_model.held_out(dealt, kind.assignment).of_kind(kind.assignment)
            assert held_out is not None
            batches.append((of_fit, held_out))
        elif len(of_fit):
            batches.append(
                (of_fit, self._held_out(kind.assignment, features, labels, serials)[serials[of_fit]])
            )
        if len(others) or not (len(of_fit) or len(of_label)):
            X = features()
            predicted = self.predicted(X if len(others) == len(X) else X[others], kind.assignment)
            batches.append((others, predicted))
        if kind.unknown_on_root:
            batches = [(rows, scaled_leaves(leaves, 0)) for rows, leaves in batches]
        if len(of_label):
            batches.append((of_label, hard_leaves(by_label[of_label], float_dtype(self.gallery))))
        if len(batches) == 1:
            return batches[0][1]
        rows = np.concatenate([rows for rows, _ in batches])
        return joined_leaves([leaves for _, leaves in batches])[np.argsort(rows)]

    def _may_be_learned(self, features: Callable[[], NDArray], labels: NDArray | None) -> NDArray[np.bool_]:
        """Tell which samples the class model may have learned from: by their labels, or by those it keeps."""
        model = self.model.known_model
        if labels is not None:
            return np.isin(labels, model.classes)
        kept = model.kept
        keys = row_keys(features())
        return np.zeros(len(keys), dtype=bool) if kept is None else np.isin(keys, row_keys(kept.X))

    def _held_out(
        self,
        assignment: str,
        features: Callable[[], NDArray],
        labels: NDArray | None,
        serials: NDArray[np.intp],
    ) -> NDArray:
        """Return the leaves of the samples of the fit by serial number; they are computed once."""
        origin, computed = self.gallery.origin, self.gallery.held_out
        kept = None if origin.held_out is None else origin.held_out.of_kind(assignment)
        if kept is not None:
            return kept
        if assignment not in computed:
            assert labels is not None
            trained = np.flatnonzero(serials < origin.n_train)
            groups = None if origin.groups is None else origin.groups[serials[trained]]
            classes, codes = np.unique(labels[trained], return_inverse=True)
            training = TrainingSet(features()[trained], classes, codes, groups)
            leaves = self.model.model.held_out(training, assignment).leaves
            by_serial = np.zeros((origin.n_train, leaves.shape[1]), dtype=leaves.dtype)
            by_serial[serials[trained]] = leaves
            computed[assignment] = by_serial
        return computed[assignment]

    def _in_batches(self, X: NDArray, function: Callable[..., Any], *columns: NDArray | None) -> Any:
        """Apply a function of the class model to rows, in several threads if it allows them.

        It returns an array, or a tuple of arrays.
        """
        if len(X) <= FEW:  # to limit BLAS takes longer
            return function(X, *columns)
        is_safe = self.model.model.runs_in_threads
        n_threads = threads_of(self.options.n_jobs, len(X)) if is_safe else 1
        size = max(1, -(-len(X) // n_threads))
        if self.model.new is not None:
            size = min(size, MOST_AT_ONCE)
        batches = slices_of(len(X), size) or [slice(0, 0)]
        results = run_batches(
            batches,
            lambda rows: function(X[rows], *(c if c is None else c[rows] for c in columns)),
            n_threads,
        )
        if len(results) == 1:
            return results[0]
        if isinstance(results[0], tuple):
            return tuple(map(np.concatenate, zip(*results, strict=True)))
        return np.concatenate(results)
