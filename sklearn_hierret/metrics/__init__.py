"""Metrics of ranked lists, and scorers made of them."""

from sklearn_hierret.metrics._hierarchical import (
    average_hierarchical_precision_at_k,
    average_set_intersection_at_k,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    mistake_severity_at_k,
    ndcg_at_k,
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
from sklearn_hierret.metrics._retrieved import retriever_of
from sklearn_hierret.metrics._scorer import RetrievalScorer, evaluate_retrieval, make_retrieval_scorer

__all__ = [
    "RetrievalScorer",
    "average_hierarchical_precision_at_k",
    "average_precision_at_k",
    "average_precision_at_r",
    "average_set_intersection_at_k",
    "evaluate_retrieval",
    "hierarchical_average_precision",
    "hierarchical_precision_at_k",
    "make_retrieval_scorer",
    "map_at_k",
    "map_at_r",
    "mistake_severity_at_k",
    "ndcg_at_k",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "retriever_of",
]
