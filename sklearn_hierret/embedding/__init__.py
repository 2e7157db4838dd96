"""Vectors whose dot products are similarities: of a hierarchy, or learned from triplets."""

from sklearn_hierret.embedding._augmented import HierarchicalEmbedding
from sklearn_hierret.embedding._class_embedding import class_embedding
from sklearn_hierret.embedding._oasis import OASIS

__all__ = ["OASIS", "HierarchicalEmbedding", "class_embedding"]
