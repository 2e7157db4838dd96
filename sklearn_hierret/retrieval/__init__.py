"""The retrievers: of features and of binary codes."""

from sklearn_hierret.retrieval._hamming import HammingRetriever
from sklearn_hierret.retrieval._retriever import HierarchicalRetriever

__all__ = ["HammingRetriever", "HierarchicalRetriever"]
