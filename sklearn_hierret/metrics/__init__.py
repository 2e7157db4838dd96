"""Metrics of ranked lists, and scorers made of them."""

from sklearn_hierret.metrics._hierarchical import (
    average_hierarchical_precision_at_k,
    hierarchical_precision_at_k,
)
from sklearn_hierret.metrics._ranking import (
    average_precision_at_k,
    average_precision_at_r,
    map_at_k,
    map_at_r,
    precision_at_k,
    r_precision,
    recall_at_k,
)
from sklearn_hierret.metrics._retrieved import rank_labels, retriever_of
from sklearn_hierret.metrics._scorer import RetrievalScorer, evaluate_retrieval, make_retrieval_scorer

__all__ = [
    "RetrievalScorer",
    "average_hierarchical_precision_at_k",
    "average_precision_at_k",
    "average_precision_at_r",
    "evaluate_retrieval",
    "hierarchical_precision_at_k",
    "make_retrieval_scorer",
    "map_at_k",
    "map_at_r",
    "precision_at_k",
    "r_precision",
    "rank_labels",
    "recall_at_k",
    "retriever_of",
]
