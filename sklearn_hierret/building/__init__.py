"""Hierarchies from features and labels, and the leaves of samples."""

from sklearn_hierret.building._alpha import ALPHAS, by_class, expected_distances
from sklearn_hierret.building._builder import HierarchyBuilder
from sklearn_hierret.building._combined import CombinedHierarchyBuilder, named
from sklearn_hierret.building._leaf_model import LeafModel, fit_alpha, fit_leaf_model
from sklearn_hierret.building._leaves import (
    NO_MASS,
    HeldOutLeaves,
    float_dtype,
    hard_leaves,
    joined_leaves,
    likeliest,
    soft_leaves,
    unassigned,
)
from sklearn_hierret.building._linkage import LinkageHierarchyBuilder
from sklearn_hierret.building._metric import FittedMetric, cosine_metric, fit_metric
from sklearn_hierret.building._text import TextHierarchyBuilder

__all__ = [
    "ALPHAS",
    "NO_MASS",
    "CombinedHierarchyBuilder",
    "FittedMetric",
    "HeldOutLeaves",
    "HierarchyBuilder",
    "LeafModel",
    "LinkageHierarchyBuilder",
    "TextHierarchyBuilder",
    "by_class",
    "cosine_metric",
    "expected_distances",
    "fit_alpha",
    "fit_leaf_model",
    "fit_metric",
    "float_dtype",
    "hard_leaves",
    "joined_leaves",
    "likeliest",
    "named",
    "soft_leaves",
    "unassigned",
]
