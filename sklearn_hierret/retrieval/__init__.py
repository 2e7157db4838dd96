"""The retrievers: of features and of binary codes."""

from sklearn_hierret.retrieval._exported import ExportedRanking, exported_ranking
from sklearn_hierret.retrieval._gallery import Gallery
from sklearn_hierret.retrieval._hamming import HammingRetriever
from sklearn_hierret.retrieval._inside import fit_inside
from sklearn_hierret.retrieval._leaf_search import Found
from sklearn_hierret.retrieval._novelty import POWER as POWER_OF_LEAF
from sklearn_hierret.retrieval._retriever import HierarchicalRetriever
from sklearn_hierret.retrieval._transformer import HierarchicalNeighborsTransformer

__all__ = [
    "POWER_OF_LEAF",
    "ExportedRanking",
    "Found",
    "Gallery",
    "HammingRetriever",
    "HierarchicalNeighborsTransformer",
    "HierarchicalRetriever",
    "exported_ranking",
    "fit_inside",
]
