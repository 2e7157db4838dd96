"""Exact search: arrays in, arrays out, no estimator."""

from sklearn_hierret.search._code_index import CodeIndex
from sklearn_hierret.search._exact import search
from sklearn_hierret.search._hamming import search_codes
from sklearn_hierret.search._index import GalleryIndex
from sklearn_hierret.search._leaf_distance import HardLeafDistance, LeafDistance, SoftLeafDistance
from sklearn_hierret.search._pairs import cosine_pairs

__all__ = [
    "CodeIndex",
    "GalleryIndex",
    "HardLeafDistance",
    "LeafDistance",
    "SoftLeafDistance",
    "cosine_pairs",
    "search",
    "search_codes",
]
