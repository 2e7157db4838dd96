"""Trees over class labels."""

from sklearn_hierret.hierarchy._class_hierarchy import ClassHierarchy
from sklearn_hierret.hierarchy._linkage_matrix import levels_from_linkage

__all__ = ["ClassHierarchy", "levels_from_linkage"]
