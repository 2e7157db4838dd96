"""The retrievers: of features and of binary codes."""

from sklearn_hierret.retrieval._alpha import ALPHAS
from sklearn_hierret.retrieval._base import BaseRetriever, checked_queries, checked_samples
from sklearn_hierret.retrieval._discovered import discovered_labels
from sklearn_hierret.retrieval._fitting import fit_leaf_model, fit_ranking
from sklearn_hierret.retrieval._gallery import Gallery, LeafOrigin
from sklearn_hierret.retrieval._hamming import HammingRetriever
from sklearn_hierret.retrieval._hierarchical import HierarchicalRetriever, fit_retriever
from sklearn_hierret.retrieval._inside import fit_inside, routing_inside
from sklearn_hierret.retrieval._leaf_model import LeafModel
from sklearn_hierret.retrieval._metric import fit_metric
from sklearn_hierret.retrieval._novelty import POWER as POWER_OF_LEAF
from sklearn_hierret.retrieval._options import Options, constraints_of
from sklearn_hierret.retrieval._pipeline import RetrievalPipeline
from sklearn_hierret.retrieval._searcher import Result, Searcher
from sklearn_hierret.retrieval._tables import table_of
from sklearn_hierret.retrieval._transformer import HierarchicalNeighborsTransformer

__all__ = [
    "ALPHAS",
    "POWER_OF_LEAF",
    "BaseRetriever",
    "Gallery",
    "HammingRetriever",
    "HierarchicalNeighborsTransformer",
    "HierarchicalRetriever",
    "LeafModel",
    "LeafOrigin",
    "Options",
    "Result",
    "RetrievalPipeline",
    "Searcher",
    "checked_queries",
    "checked_samples",
    "constraints_of",
    "discovered_labels",
    "fit_inside",
    "fit_leaf_model",
    "fit_metric",
    "fit_ranking",
    "fit_retriever",
    "routing_inside",
    "table_of",
]
