"""What networks are trained for: heads with their losses, one a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch

from sklearn_hierret.embedding import class_embedding
from sklearn_hierret.hierarchy import ClassHierarchy, CombinedHierarchy
from sklearn_hierret.nn.losses._center import CenterLoss
from sklearn_hierret.nn.losses._correlation import Correlation
from sklearn_hierret.nn.losses._cross_entropy import CrossEntropy
from sklearn_hierret.nn.losses._devise import DeViSE
from sklearn_hierret.nn.losses._hashing import HierarchyPreservingHashing
from sklearn_hierret.nn.losses._hyperbolic import HyperbolicEmbedding, poincare_embedding
from sklearn_hierret.nn.losses._label_embedding import LabelEmbedding
from sklearn_hierret.nn.losses._metric import (
    MetricLearning,
    SmoothAP,
    contrastive,
    fast_ap,
    multi_similarity,
    smooth_ap,
    triplet,
)
from sklearn_hierret.nn.losses._multigrain import MultiGrain
from sklearn_hierret.nn.losses._objective import Objective
from sklearn_hierret.nn.losses._semantic_pairs import HUSE, SHREWD, AdaptiveMargin

#: (n_features, n_classes) -> Objective, by name.
LOSSES: dict[str, Callable[[int, int], Objective]] = {
    "cross_entropy": CrossEntropy,
    "center": CenterLoss,
    "label_embedding": LabelEmbedding,
    "smooth_ap": smooth_ap,
    "triplet": triplet,
    "contrastive": contrastive,
    "fast_ap": fast_ap,
    "multi_similarity": multi_similarity,
    "multigrain": MultiGrain,
}


def _correlation(n_features: int, tree: ClassHierarchy | CombinedHierarchy, weight: float) -> Correlation:
    return Correlation(n_features, torch.from_numpy(class_embedding(tree)), weight)


#: (n_features, hierarchy) -> Objective, by name.
HIERARCHY_LOSSES: dict[str, Callable[..., Objective]] = {
    "corr": partial(_correlation, weight=0.0),
    "corr+cls": partial(_correlation, weight=0.1),
    "adaptive_margin": lambda n_features, tree: MetricLearning(
        n_features, tree.n_classes, AdaptiveMargin(tree.distance_matrix())
    ),
    "huse": lambda n_features, tree: HUSE(n_features, tree.n_classes, tree.distance_matrix()),
    "shrewd": lambda n_features, tree: SHREWD(n_features, tree.n_classes, tree.distance_matrix()),
    "hyperbolic": lambda n_features, tree: HyperbolicEmbedding(n_features, poincare_embedding(tree)),
}

__all__ = [
    "HIERARCHY_LOSSES",
    "HUSE",
    "LOSSES",
    "SHREWD",
    "AdaptiveMargin",
    "CenterLoss",
    "Correlation",
    "CrossEntropy",
    "DeViSE",
    "HierarchyPreservingHashing",
    "HyperbolicEmbedding",
    "LabelEmbedding",
    "MetricLearning",
    "MultiGrain",
    "Objective",
    "SmoothAP",
    "poincare_embedding",
]
