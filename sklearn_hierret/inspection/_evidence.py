"""What held-out leaves and visual neighbours say about labels: the true ones, or others that are tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret._arrays import row_chunks
from sklearn_hierret.discriminant import DiscriminantClassifier
from sklearn_hierret.evaluation import retriever_of
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.leaves import unassigned
from sklearn_hierret.retrieval import BaseRetriever, Searcher

#: Neighbours that vote, and the width of their kernel in cosine.
N_VOTERS, WIDTH = 30, 0.05
#: Neighbours whose plain agreement counts, too.
N_NEAREST = 10
#: Votes that the class model's own probability is worth.
OWN_VOTES = 0.3
#: Probabilities below it are alike.
LEAST = 1e-9


def retriever_in(estimator: Any, X: Any = None) -> tuple[Any, Any]:
    """Unwrap pipelines and searches: return the retriever, and the features that it sees.

    Raises
    ------
    TypeError
        If there is no retriever.
    """
    retriever, X = retriever_of(estimator, X)
    if not isinstance(retriever, BaseRetriever):
        raise TypeError(f"A fitted HierarchicalRetriever is expected, got {type(retriever).__name__}.")
    return retriever, X


@dataclass(frozen=True)
class LabelEvidence:
    """Held-out class probabilities of labelled samples, and the labels of their visual neighbours.

    Attributes
    ----------
    tree : ClassHierarchy or CombinedHierarchy
    leaves : ndarray of shape (n_samples, n_kept)
        Most probable classes, by models that did not see the sample.
    codes : ndarray of shape (n_samples,)
        Positions of the given labels in the tree's classes; -1 where it lacks them.
    neighbours : ndarray of shape (n_samples, n_neighbours)
        Positions of the visually nearest samples.
    similarities : ndarray of the same shape
        Cosines, falling.
    all_codes : ndarray of shape (n_gallery,)
        Given labels of all samples of the gallery, which neighbours are positions of.
    positions : ndarray of shape (n_samples,)
        Of the samples in the gallery.
    proba_of : callable or None
        Held-out probabilities of all classes for some positions; None where the leaves are all there is.
    given : ndarray of shape (n_samples,)
        Held-out probability of each given label.
    """

    tree: ClassHierarchy | CombinedHierarchy
    leaves: NDArray
    codes: NDArray[np.intp]
    neighbours: NDArray[np.intp]
    similarities: NDArray[np.float64]
    all_codes: NDArray[np.intp]
    positions: NDArray[np.intp]
    proba_of: Callable[[NDArray[np.intp]], NDArray] | None = None
    given: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, searcher: Searcher, labels: NDArray | None = None) -> LabelEvidence:
        """Gather evidence on the labels of a gallery, or on other labels of its samples.

        Raises
        ------
        ValueError
            Without labels, without a second sample, or with a class model that has no probabilities.
        """
        gallery = searcher.gallery
        labels = gallery.labels if labels is None else labels
        if labels is None:
            raise ValueError("The gallery has no labels to be checked: pass y to fit or set_gallery.")
        if len(gallery) < 2:
            raise ValueError("Labels are checked against other samples: the gallery has fewer than two.")
        tree = searcher.leaves.model.tree
        leaves = held_out_leaves(searcher)
        is_known = np.isin(labels, tree.classes)
        codes = np.full(len(gallery), -1)
        codes[is_known] = tree.index(labels[is_known])
        result = searcher.neighbors(None, min(N_VOTERS, len(gallery) - 1), alpha=0.0)
        neighbours, similarities = result.indices, 1 - result.distances
        positions = np.arange(len(gallery))
        evidence = cls(
            tree, leaves, codes, neighbours, similarities, codes, positions, _all_probabilities(searcher)
        )
        return replace(evidence, given=evidence.own(codes))

    def of_rows(self, rows: NDArray) -> LabelEvidence:
        """Take the evidence on some samples; neighbours stay positions in the gallery."""
        return replace(
            self,
            leaves=self.leaves[rows],
            codes=self.codes[rows],
            neighbours=self.neighbours[rows],
            similarities=self.similarities[rows],
            positions=self.positions[rows],
            given=self.given[rows],
        )

    def own(self, codes: NDArray[np.intp]) -> NDArray[np.float64]:
        """Held-out probability of a class for each sample.

        Where only the leaves are known, what no kept class has is shared by the others.
        """
        if self.proba_of is not None:
            result = np.empty(len(codes))
            for rows in row_chunks(len(codes), 16 * self.tree.n_classes):
                proba = self.proba_of(self.positions[rows])
                place = np.minimum(codes[rows], proba.shape[1] - 1)
                of_rows = proba[np.arange(len(proba)), place]
                result[rows] = np.where(codes[rows] == place, of_rows, 0)
            return np.maximum(result, LEAST)
        is_it = self.leaves["leaf"] == codes[:, None]
        kept = np.where(is_it, self.leaves["probability"], 0).sum(axis=1, dtype=np.float64)
        n_others = self.tree.n_classes - self.leaves.shape[1]
        rest = unassigned(self.leaves) / max(1, n_others)
        return np.maximum(np.where(is_it.any(axis=1), kept, rest), LEAST)

    def best_other(self, codes: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Find the most probable class but one, and its probability."""
        proba = np.where(self.leaves["leaf"] == codes[:, None], -1, self.leaves["probability"])
        best = proba.argmax(axis=1)[:, None]
        other = np.take_along_axis(self.leaves["leaf"], best, axis=1)[:, 0].astype(np.intp)
        return other, np.maximum(np.take_along_axis(proba, best, axis=1)[:, 0].astype(np.float64), LEAST)

    def votes(self, codes: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of a class in the votes of each sample's neighbours, by weights of these."""
        is_it = self.all_codes[self.neighbours] == codes[:, None]
        return (weights * is_it).sum(axis=1)

    def features(self, codes: NDArray[np.intp], trust: NDArray[np.float64]) -> NDArray[np.float64]:
        """Describe how well labels go with samples, (n_samples, n_features), the first two being logs.

        Parameters
        ----------
        codes : ndarray of shape (n_samples,)
            The labels that are judged.
        trust : ndarray of shape (n_gallery,)
            How far the label of each sample of the gallery is trusted.
        """
        own = self.given if codes is self.codes else self.own(codes)
        other, best = self.best_other(codes)
        weights = np.exp((self.similarities - self.similarities[:, :1]) / WIDTH) * trust[self.neighbours]
        total = weights.sum(axis=1) + OWN_VOTES
        votes = (self.votes(codes, weights) + OWN_VOTES * own) / total
        votes_of_other = (self.votes(other, weights) + OWN_VOTES * best) / total
        nearest = self.neighbours[:, :N_NEAREST]
        agreeing = (self.all_codes[nearest] == codes[:, None]).sum(axis=1)
        proba = self.leaves["probability"].astype(np.float64)
        entropy = -(proba * np.log(np.maximum(proba, LEAST))).sum(axis=1)
        return np.stack(
            [
                np.log(own),
                np.log(votes),
                np.log(best),
                own - best,
                entropy,
                np.log(votes_of_other),
                votes - votes_of_other,
                np.log((agreeing + 0.5) / (nearest.shape[1] + 1)),
                self.similarities[:, 0],
                self.similarities[:, nearest.shape[1] - 1],
                self.tree.distance(self.tree.classes[codes], self.tree.classes[other]),
            ],
            axis=1,
        )


def _all_probabilities(searcher: Searcher) -> Callable[[NDArray[np.intp]], NDArray] | None:
    """Return what gives all held-out probabilities, where the folds tell them without another fit."""
    model, gallery = searcher.leaves.model, searcher.gallery
    classifier = model.classifier
    if (
        not isinstance(classifier, DiscriminantClassifier)
        or model.new is not None
        or model.of_codes
        or gallery.origin.groups is not None
    ):
        return None
    return lambda positions: classifier.held_out_proba(gallery.features_at(positions))


def held_out_leaves(searcher: Searcher) -> NDArray:
    """Compute the soft leaves of a gallery, by class models that did not see the sample.

    Raises
    ------
    ValueError
        If the class model has no probabilities.
    """
    leaves = searcher.leaves
    model = leaves.model.model
    if not model.tells_proba:
        name = type(leaves.model.classifier).__name__
        raise ValueError(
            f"Held-out class probabilities are needed, and {name} has no predict_proba: use "
            "DiscriminantClassifier, the default class model."
        )
    if searcher.options.assignment != "soft":
        searcher = replace(searcher, options=replace(searcher.options, assignment="soft"))
        gallery, leaves = searcher.gallery, searcher.leaves
        kind = leaves.kind(of_gallery=True)
        return leaves.of_samples(kind, lambda: gallery.features, gallery.labels, gallery.samples.serials)
    return leaves.view(of_gallery=True).leaves()
