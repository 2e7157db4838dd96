"""Builders: from features and labels to a `ClassHierarchy`."""

from sklearn_hierret.building._builder import HierarchyBuilder
from sklearn_hierret.building._combined import CombinedHierarchyBuilder
from sklearn_hierret.building._leaf_model import assign_leaves, fit_leaf_model
from sklearn_hierret.building._linkage import LinkageHierarchyBuilder

__all__ = [
    "CombinedHierarchyBuilder",
    "HierarchyBuilder",
    "LinkageHierarchyBuilder",
    "assign_leaves",
    "fit_leaf_model",
]
