"""Exact search: arrays in, arrays out, no estimator."""

from sklearn_hierret.search._copies import copies_first
from sklearn_hierret.search._faiss import require_faiss, search_by_faiss
from sklearn_hierret.search._index import Index, is_compiled
from sklearn_hierret.search._leaf_distance import LeafDistance
from sklearn_hierret.search._rows import COSINE
from sklearn_hierret.search._search import search

__all__ = [
    "COSINE",
    "Index",
    "LeafDistance",
    "copies_first",
    "is_compiled",
    "require_faiss",
    "search",
    "search_by_faiss",
]
