"""Exact search: arrays in, arrays out, no estimator."""

from sklearn_hierret.search._exact import cosine_pairs, search
from sklearn_hierret.search._index import GalleryIndex, unit_rows
from sklearn_hierret.search._leaf_distance import HardLeafDistance, SoftLeafDistance

__all__ = ["GalleryIndex", "HardLeafDistance", "SoftLeafDistance", "cosine_pairs", "search", "unit_rows"]
