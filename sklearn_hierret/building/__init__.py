"""Builders of hierarchies from features and labels."""

from sklearn_hierret.building._builder import HierarchyBuilder
from sklearn_hierret.building._combined import CombinedHierarchyBuilder, named
from sklearn_hierret.building._linkage import LinkageHierarchyBuilder
from sklearn_hierret.building._text import TextHierarchyBuilder, encoded_names

__all__ = [
    "CombinedHierarchyBuilder",
    "HierarchyBuilder",
    "LinkageHierarchyBuilder",
    "TextHierarchyBuilder",
    "encoded_names",
    "named",
]
