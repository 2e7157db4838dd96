"""What a retriever ranks by, for those that make other things of it, such as vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sklearn_hierret.building import LeafModel
from sklearn_hierret.discriminant import known_proba
from sklearn_hierret.distance import VisualMetric
from sklearn_hierret.retrieval._base import BaseRetriever
from sklearn_hierret.retrieval._gallery_leaves import LeafKind, LeafOrigin, leaves_of_gallery
from sklearn_hierret.retrieval._novelty import weighed_leaves


@dataclass(frozen=True)
class ExportedRanking:
    """What ``D = D_V + alpha D_H`` is made of, at one time.

    Attributes
    ----------
    leaf_model : LeafModel
        With the stem that is ranked by.
    visual : VisualMetric
    alpha : float
    assignment : {"hard", "soft"}
    gallery_leaves : {"auto", "predicted", "labels"}
    unknown_on_root : bool
        Whether gallery samples with labels that the hierarchy lacks are 1 away from all leaves.
    gallery : (rows, leaves) or None
        Of the gallery at that time, in the order of positions.
    known_share : float or None
        Share of known classes in the gallery, where queries of unknown ones rely on their leaves less.
    """

    leaf_model: LeafModel
    visual: VisualMetric
    alpha: float
    assignment: str
    gallery_leaves: str
    unknown_on_root: bool = False
    gallery: tuple[NDArray, NDArray] | None = None
    known_share: float | None = None

    def leaves_of_queries(self, X: NDArray) -> NDArray:
        """Find the leaves of checked queries, as much as they count."""
        leaves = self.leaf_model.assign(X, self.assignment)
        if self.known_share in (None, 1.0):
            return leaves
        log_odds = np.zeros(len(X)) if self.known_share == 0 else self.leaf_model.known_log_odds(X)
        return weighed_leaves(leaves, known_proba(log_odds, self.known_share))

    def leaves_of_gallery(self, X: NDArray, labels: NDArray | None) -> NDArray:
        """Find the leaves of checked gallery samples, none of which was in the fit."""
        by_label = self.gallery_leaves == "labels" or (labels is not None and self.gallery_leaves == "auto")
        kind = LeafKind(self.assignment, "labels" if by_label else "predicted", self.unknown_on_root)
        return leaves_of_gallery(
            self.leaf_model,
            kind,
            LeafOrigin(self.gallery_leaves),
            X,
            labels,
            np.arange(len(X)),
            lambda rows: self.leaf_model.assign(rows, self.assignment),
            lambda rows: rows,
        )


def exported_ranking(retriever: BaseRetriever) -> ExportedRanking:
    """Take what a fitted `HierarchicalRetriever` ranks new queries by now, for its gallery.

    Parameters
    ----------
    retriever : fitted HierarchicalRetriever
    """
    retriever._validate_late_params()
    gallery = retriever._gallery_with_leaves(retriever._there(), of_own=False)
    rows = gallery.rows
    assert gallery.metric is not None
    if gallery.kind is None:
        raise ValueError("The gallery is empty: set one before vectors are made of the retriever.")
    return ExportedRanking(
        retriever._leaf_model.with_stem(retriever.stem),
        gallery.metric,
        retriever._weight_for(gallery),
        retriever.assignment,
        gallery.origin.gallery_leaves,
        gallery.kind.unknown_on_root,
        (gallery.index.queries(rows), gallery.index.leaves(rows)),
        retriever._known_share(gallery) if retriever._heeds_novelty() else None,
    )
