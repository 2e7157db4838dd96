"""Choosing what a retriever ranks by: one class model a fold, every candidate from it."""

from sklearn_hierret._state import publish
from sklearn_hierret.model_selection._retriever_cv import HierarchicalRetrieverCV

__all__ = ["HierarchicalRetrieverCV"]

publish(__name__, globals())
