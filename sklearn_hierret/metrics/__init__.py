"""Metrics of ranked lists of labels: arrays in, values out."""

from sklearn_hierret.metrics._hierarchical import (
    average_hierarchical_precision_at_k,
    average_set_intersection_at_k,
    hierarchical_average_precision,
    hierarchical_precision_at_k,
    mistake_severity_at_k,
    ndcg_at_k,
)
from sklearn_hierret.metrics._queries import count_relevant, labels_of_queries, query_chunks
from sklearn_hierret.metrics._ranking import (
    average_precision_at_k,
    average_precision_at_r,
    check_empty,
    class_weights,
    map_at_k,
    map_at_r,
    mean_over_queries,
    precision_at_k,
    r_precision,
    recall_at_k,
    reciprocal_rank_at_k,
)
from sklearn_hierret.metrics._registry import METRICS, Ranking, check_metric, ranks_needed, scores_of

__all__ = [
    "METRICS",
    "Ranking",
    "average_hierarchical_precision_at_k",
    "average_precision_at_k",
    "average_precision_at_r",
    "average_set_intersection_at_k",
    "check_empty",
    "check_metric",
    "class_weights",
    "count_relevant",
    "hierarchical_average_precision",
    "hierarchical_precision_at_k",
    "labels_of_queries",
    "map_at_k",
    "map_at_r",
    "mean_over_queries",
    "mistake_severity_at_k",
    "ndcg_at_k",
    "precision_at_k",
    "query_chunks",
    "r_precision",
    "ranks_needed",
    "recall_at_k",
    "reciprocal_rank_at_k",
    "scores_of",
]
