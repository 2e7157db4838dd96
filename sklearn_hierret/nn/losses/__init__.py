"""What networks are trained for: heads with their losses, one a file."""

from sklearn_hierret.nn.losses._center import CenterLoss
from sklearn_hierret.nn.losses._correlation import Correlation
from sklearn_hierret.nn.losses._cross_entropy import CrossEntropy
from sklearn_hierret.nn.losses._devise import DeViSE
from sklearn_hierret.nn.losses._hashing import HierarchyPreservingHashing
from sklearn_hierret.nn.losses._label_embedding import LabelEmbedding
from sklearn_hierret.nn.losses._metric import MetricLearning, SmoothAP, smooth_ap, triplet
from sklearn_hierret.nn.losses._objective import Objective

#: (n_features, n_classes) -> Objective, by name; those of `Correlation` need a hierarchy, too.
LOSSES = {
    "cross_entropy": CrossEntropy,
    "center": CenterLoss,
    "label_embedding": LabelEmbedding,
    "smooth_ap": smooth_ap,
    "triplet": triplet,
}

__all__ = [
    "LOSSES",
    "CenterLoss",
    "Correlation",
    "CrossEntropy",
    "DeViSE",
    "HierarchyPreservingHashing",
    "LabelEmbedding",
    "MetricLearning",
    "Objective",
    "SmoothAP",
]
