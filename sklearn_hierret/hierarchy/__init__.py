"""Trees over class labels, and graphs of concepts above them."""

from sklearn_hierret.hierarchy._class_hierarchy import ClassHierarchy, check_min_probability
from sklearn_hierret.hierarchy._combined import CombinedHierarchy, check_weights
from sklearn_hierret.hierarchy._graph import ClassGraph
from sklearn_hierret.hierarchy._linkage_matrix import levels_from_linkage
from sklearn_hierret.hierarchy._nodes import plain_value, shorten

__all__ = [
    "ClassGraph",
    "ClassHierarchy",
    "CombinedHierarchy",
    "check_min_probability",
    "check_weights",
    "levels_from_linkage",
    "plain_value",
    "shorten",
]
