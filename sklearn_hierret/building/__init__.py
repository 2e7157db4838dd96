"""Hierarchies from features and labels, and the leaves of samples."""

from sklearn_hierret.building._alpha import by_class, choose_alpha, expected_distances
from sklearn_hierret.building._builder import HierarchyBuilder
from sklearn_hierret.building._combined import CombinedHierarchyBuilder
from sklearn_hierret.building._leaf_model import fit_leaf_model, with_stem
from sklearn_hierret.building._leaves import (
    HeldOutLeaves,
    assign_leaves,
    certain,
    held_out_leaves,
    likeliest,
    soft_leaves,
)
from sklearn_hierret.building._linkage import LinkageHierarchyBuilder

__all__ = [
    "CombinedHierarchyBuilder",
    "HeldOutLeaves",
    "HierarchyBuilder",
    "LinkageHierarchyBuilder",
    "assign_leaves",
    "by_class",
    "certain",
    "choose_alpha",
    "expected_distances",
    "fit_leaf_model",
    "held_out_leaves",
    "likeliest",
    "soft_leaves",
    "with_stem",
]
