"""Vectors whose dot products are hierarchical similarities."""

from sklearn_hierret.embedding._augmented import HierarchicalEmbedding
from sklearn_hierret.embedding._class_embedding import class_embedding

__all__ = ["HierarchicalEmbedding", "class_embedding"]
