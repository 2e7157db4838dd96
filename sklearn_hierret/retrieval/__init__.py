"""The retriever."""

from sklearn_hierret.retrieval._retriever import HierarchicalRetriever

__all__ = ["HierarchicalRetriever"]
